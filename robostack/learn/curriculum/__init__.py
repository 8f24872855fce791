"""Curricula by name: who says on which parameters of a task the next episodes are, learning from those that ended.

Each is one file: settings, and the method with its source.
"""

from __future__ import annotations

import importlib
from typing import Any

CURRICULA = {
    "uniform": "robostack.learn.curriculum.uniform:Uniform",
    "adr": "robostack.learn.curriculum.adr:ADR",
    "alp_gmm": "robostack.learn.curriculum.alp_gmm:AlpGmm",
    "plr": "robostack.learn.curriculum.plr:PLR",
}
"""name -> module:settings; imported on first use, since they need torch"""


def settings_of(name: str) -> Any:
    """The settings class of a curriculum. Raises LookupError listing what there is."""
    if name not in CURRICULA:
        raise LookupError(f"no curriculum is called {name!r}; there are {', '.join(CURRICULA)}")
    module, _, kind = CURRICULA[name].partition(":")
    return getattr(importlib.import_module(module), kind)


def name_of(settings: Any) -> str:
    """The name under which a run's config.json keeps these settings."""
    home = f"{type(settings).__module__}:{type(settings).__qualname__}"
    return next(name for name, where in CURRICULA.items() if where == home)
