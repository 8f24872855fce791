"""How an avatar's policy is learned by default: by PPO, a critic for each of the reward's terms."""

from __future__ import annotations

from robostack.learn.ppo import PPO
from robostack.nets.actor import ActorConfig
from robostack.nets.critic import CriticConfig

TERMS = (("imitation", 1.0), ("contact", 0.5), ("action", 0.1))
LEARNER = PPO(
    iterations=400,
    epochs=4,
    learning_rate=5e-4,
    critic_learning_rate=5e-4,
    gamma=0.98,
    std=0.08,
    terms=TERMS,
    actor=ActorConfig(hidden=(256, 128)),
    critic=CriticConfig(hidden=(256, 128)),
)
