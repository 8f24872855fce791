"""Learners: one file an algorithm, and the run around them. `rs.learn.SHAC(horizon=50)` is imported on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from robostack.learn.algorithms import ALGORITHMS
from robostack.learn.curriculum import CURRICULA

if TYPE_CHECKING:
    from robostack.distill.aacd import AACD as AACD
    from robostack.distill.dagger import Cloning as Cloning
    from robostack.distill.dagger import DAgger as DAgger
    from robostack.learn.curriculum.adr import ADR as ADR
    from robostack.learn.curriculum.alp_gmm import AlpGmm as AlpGmm
    from robostack.learn.curriculum.plr import PLR as PLR
    from robostack.learn.curriculum.uniform import Uniform as Uniform
    from robostack.learn.ppo import PPO as PPO
    from robostack.learn.sac import SAC as SAC
    from robostack.learn.shac import SHAC as SHAC
    from robostack.learn.td3 import TD3 as TD3

_HOME = {where.partition(":")[2]: where.partition(":")[0] for where in (*ALGORITHMS.values(), *CURRICULA.values())}
__all__ = [*_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'robostack.learn' has no attribute {name!r}")
