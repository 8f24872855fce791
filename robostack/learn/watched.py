"""A training that somebody watches writes its policy down twice a second, where `robostack view --live` takes it up.

Who watches touches `.watched` in the run folder again and again; a mark that is seconds old asks for nothing. A
training that nobody watches looks for that file twice a second, and no bit of any training changes by it.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from torch import nn

from robostack.learn import checkpoint
from robostack.run_folder import RunFolder

EVERY_S = 0.5
STALE_S = 3.0


class Watched:
    """The training's side."""

    def __init__(self, run: RunFolder) -> None:
        self._mark, self._policy = run.path / ".watched", run.path / "watched.pt"
        self._due_s = 0.0

    def show(self, actor: nn.Module, iteration: int) -> None:
        """Writes the policy down where it is due and asked for. Where it cannot be written training goes on without."""
        now = time.monotonic()
        if now < self._due_s:
            return
        self._due_s = now + EVERY_S
        with contextlib.suppress(OSError):
            if time.time() - self._mark.stat().st_mtime < STALE_S:
                checkpoint.save(self._policy, {"actor": actor.state_dict(), "iteration": iteration})


class Watching:
    """The other side: `ask` at least every STALE_S; `newest` gives each policy once, as it comes."""

    def __init__(self, run: RunFolder) -> None:
        self._mark = run.path / ".watched"
        self._policies = run.path / "watched.pt", run.checkpoints / "best.pt"
        self._seen_s = 0.0

    def ask(self) -> None:
        self._mark.touch()

    def newest(self) -> dict[str, Any] | None:
        """`actor`, and `iteration` of one that is being trained; None where none is newer than the last one given.

        Raises ContractError for a damaged file.
        """
        there = [(p.stat().st_mtime, p) for p in self._policies if p.exists()]
        if not there or max(there)[0] <= self._seen_s:
            return None
        self._seen_s, path = max(there)
        return checkpoint.load(path, "cpu")

    def close(self) -> None:
        self._mark.unlink(missing_ok=True)
