"""Curricula by name: who says on which parameters of a task the next episodes are, learning from those that ended.

Each is one file: settings, and the method with its source.
"""

from __future__ import annotations

from robostack.learn.named import Named

CURRICULA = {
    "uniform": "robostack.learn.curriculum.uniform:Uniform",
    "adr": "robostack.learn.curriculum.adr:ADR",
    "alp_gmm": "robostack.learn.curriculum.alp_gmm:AlpGmm",
    "plr": "robostack.learn.curriculum.plr:PLR",
}

_named = Named("curriculum", CURRICULA)
settings_of, name_of = _named.settings_of, _named.name_of
