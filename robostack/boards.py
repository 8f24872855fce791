"""Boards by name: what a `robostack.boards` entry point has to offer, and which board is used.

A board runs a policy's firmware itself. The library knows none: `real/robostack_real/twins/kinds.py` has the emulated
ones, and another package adds its own by one line in its pyproject.toml.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from robostack import registry
from robostack.runtime.envelope import Reason
from robostack.spec import ContractError, PolicySpec

EMULATED = ("netduinoplus2", "host")
"""Need no hardware; `auto` tries them in turn."""


class Answer(Protocol):
    """What a board says of one control period."""

    action: np.ndarray
    tick: int
    """control periods of the board's own since its reset"""
    armed: bool
    tripped: bool
    ticks_spent: int
    deadline_misses: int
    reason: Reason
    channel: int | None
    rung: int | None


class SelfTested(Protocol):
    """What a board says of one self-test vector."""

    outputs: np.ndarray | None
    """(action + state,) float32 that its own build computes; None when it has no such vector"""


class Session(Protocol):
    """A running board; see robostack_real.link.session.BoardSession. A lost board is a ConnectionError."""

    def check(self, spec: PolicySpec, policy_hash: str) -> Any: ...
    def reset(self) -> None: ...
    def arm(self) -> None: ...
    def disarm(self) -> None: ...
    def observe(
        self, values: np.ndarray, fresh: Sequence[bool] | None = None, age_s: Sequence[float] | None = None
    ) -> Answer: ...
    def self_test(self, vector: int | None = None) -> SelfTested: ...
    def echo(self) -> float: ...


class BoardKind(Protocol):
    """A kind of board: builds an export's firmware and starts it. A build that fails is a ContractError."""

    name: str

    def missing(self) -> list[str]: ...
    def remedy(self) -> str: ...
    def image(self, firmware: Path) -> Path:
        """Builds what would be flashed, and returns the ELF file."""

    def lockstep(self, firmware: Path) -> AbstractContextManager[Session]: ...
    def serial(self, firmware: Path) -> AbstractContextManager[Session]: ...


def choose(name: str) -> BoardKind:
    """A board kind by name; `auto` takes the first whose tools are here, and says so when it is not the first.

    Raises ContractError naming the tools that are missing and the line that installs them.
    """
    if name != "auto":
        board: BoardKind = registry.load("board", name)
        if board.missing():
            raise ContractError(f"board {name} needs {', '.join(board.missing())}: {board.remedy()}")
        return board
    for candidate in EMULATED:
        board = registry.load("board", candidate)
        if not board.missing():
            return board
        print(f"board {candidate} left out, it needs {', '.join(board.missing())}: {board.remedy()}", file=sys.stderr)
    raise ContractError("no board can be built here; see the lines above for what to install")
