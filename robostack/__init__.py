"""robostack: a policy from simulation to a machine, as one ONNX file that carries its whole contract.

    import robostack as rs

    task = rs.make("quadrotor", num_envs=256)
    policy = rs.load("policy.onnx")

Names are imported on first use (PEP 562): a robot that only runs a policy never loads torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robostack.evaluate.flight import Flight as Flight
    from robostack.evaluate.report import write_report as write_report
    from robostack.learn.run import train as train
    from robostack.registry import make as make
    from robostack.run_folder import RunFolder as RunFolder
    from robostack.runtime.runner import load as load
    from robostack.spec import ActionChannel as ActionChannel
    from robostack.spec import Channel as Channel
    from robostack.spec import ContractError as ContractError
    from robostack.spec import Envelope as Envelope
    from robostack.spec import PolicySpec as PolicySpec
    from robostack.task import Task as Task

_HOME = {
    "ActionChannel": "robostack.spec",
    "Channel": "robostack.spec",
    "ContractError": "robostack.spec",
    "Envelope": "robostack.spec",
    "Flight": "robostack.evaluate.flight",
    "PolicySpec": "robostack.spec",
    "RunFolder": "robostack.run_folder",
    "Task": "robostack.task",
    "load": "robostack.runtime.runner",
    "make": "robostack.registry",
    "train": "robostack.learn.run",
    "write_report": "robostack.evaluate.report",
}
_ROOMS = ("evaluate", "export", "learn", "nets", "runtime")

__all__ = [*_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("robostack")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"robostack.{name}")
    raise AttributeError(f"module 'robostack' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS, "__version__"])
