"""The learners by name. Each is one file: settings, update equation with its source, and the loop."""

from __future__ import annotations

import importlib
from typing import Any

ALGORITHMS = {
    "shac": "robostack.learn.shac:SHAC",
    "ppo": "robostack.learn.ppo:PPO",
    "sac": "robostack.learn.sac:SAC",
    "td3": "robostack.learn.td3:TD3",
    "cloning": "robostack.distill.dagger:Cloning",
    "dagger": "robostack.distill.dagger:DAgger",
    "aacd": "robostack.distill.aacd:AACD",
}
"""name -> module:settings; imported on first use, since they need torch"""


def settings_of(name: str) -> Any:
    """The settings class of an algorithm. Raises LookupError listing what there is."""
    if name not in ALGORITHMS:
        raise LookupError(f"no algorithm is called {name!r}; there are {', '.join(ALGORITHMS)}")
    module, _, kind = ALGORITHMS[name].partition(":")
    return getattr(importlib.import_module(module), kind)


def name_of(config: Any) -> str:
    """The name under which a run's config.json keeps these settings."""
    home = f"{type(config).__module__}:{type(config).__qualname__}"
    return next(name for name, where in ALGORITHMS.items() if where == home)
