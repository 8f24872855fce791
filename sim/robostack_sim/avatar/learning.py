"""How an avatar's policy is learned by default: by PPO, a critic for each of the reward's terms."""

from __future__ import annotations

from robostack.learn.ppo import PPO
from robostack.nets.actor import ActorConfig
from robostack.nets.critic import CriticConfig

TERMS = (("imitation", 1.0), ("contact", 0.5), ("action", 0.1))
STD = 0.05
"""of the exploration: 0.04 rad of each drive, which halves how long a body stands that no policy holds"""
LEARNER = PPO(
    iterations=400,
    epochs=4,
    learning_rate=5e-4,
    critic_learning_rate=5e-4,
    gamma=0.98,
    desired_kl=0.015,
    std=STD,
    terms=TERMS,
    actor=ActorConfig(hidden=(256, 128)),
    critic=CriticConfig(hidden=(256, 128)),
)
