"""The learners by name. Each is one file: settings, update equation with its source, and the loop."""

from __future__ import annotations

from robostack.learn.named import Named

ALGORITHMS = {
    "shac": "robostack.learn.shac:SHAC",
    "ppo": "robostack.learn.ppo:PPO",
    "sac": "robostack.learn.sac:SAC",
    "td3": "robostack.learn.td3:TD3",
    "cloning": "robostack.distill.dagger:Cloning",
    "dagger": "robostack.distill.dagger:DAgger",
    "aacd": "robostack.distill.aacd:AACD",
}

_named = Named("algorithm", ALGORITHMS)
settings_of, name_of = _named.settings_of, _named.name_of
