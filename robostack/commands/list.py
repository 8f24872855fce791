"""`robostack list`"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robostack import registry
from robostack.commands.answer import answer


@dataclass(frozen=True)
class Command:
    """List what is installed (tasks, devices, boards, extra commands) and the runs made here.

    Example: robostack list
    """

    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print JSON for a script."""

    def run(self) -> int:
        found = {f"{kind}s": {n: e.value for n, e in registry.entries(kind).items()} for kind in registry.KINDS}
        runs = sorted(str(p.parent) for p in self.root.glob("*/*/checkpoints") if not p.parent.is_symlink())
        if self.json:
            answer({**found, "runs": runs})
            return 0
        for kind, names in found.items():
            if names:
                print(kind)
                for name, where in names.items():
                    print(f"  {name:<18} {where}")
        print("runs" if runs else "no runs yet; make one: robostack train quadrotor")
        for run in runs:
            print(f"  {run}")
        return 0
