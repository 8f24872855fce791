"""What is installed: tasks, devices, hosts, guards, boards, stacks, commands, report panels; by Python entry points.

A third party adds a task without touching robostack, by one line in its own pyproject.toml:

    [project.entry-points."robostack.tasks"]
    pendulum = "my_package.pendulum:Pendulum"  # a Task with a dataclass Config; or "...:Pendulum [extra]"
"""

from __future__ import annotations

import difflib
import re
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from robostack.task import Task

Kind = Literal["task", "device", "host", "guard", "board", "stack", "command", "panel"]
KINDS: tuple[Kind, ...] = ("task", "device", "host", "guard", "board", "stack", "command", "panel")

_IMPORT_NAME = {
    "warp-lang": "warp", "pyepics": "epics", "pyserial": "serial", "rsl-rl-lib": "rsl_rl", "pillow": "PIL",
    "opencv-python-headless": "cv2",
}  # fmt: skip
"""Distributions whose import name differs from their own."""


class UnknownNameError(LookupError):
    """Nothing of that name is installed; the message lists what is."""


class MissingExtraError(ImportError):
    """A part is installed but something it needs is not; the message names the extra."""


def entries(kind: Kind) -> dict[str, metadata.EntryPoint]:
    """Installed entry points of a kind by name, in alphabetical order."""
    found = metadata.entry_points(group=f"robostack.{kind}s")
    return {e.name: e for e in sorted(found, key=lambda e: e.name)}


def load(kind: Kind, name: str) -> Any:
    """The object behind an entry point.

    Raises UnknownNameError, listing what exists, or MissingExtraError, naming what to install.
    """
    known = entries(kind)
    name = plain if (plain := name.replace("-", "_")) in known else name
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        listed = ", ".join(_with_extra(e) for e in known.values()) or "none (is robostack itself installed?)"
        raise UnknownNameError(f"no {kind} is called {name!r}.{hint} Installed {kind}s: {listed}.")
    try:
        return known[name].load()
    except ModuleNotFoundError as error:
        distribution = owner(known[name])
        extra = extra_for(error.name or "", distribution)
        if extra is None:
            raise
        raise MissingExtraError(
            f"{kind} {name!r} needs {error.name!r}, which the {extra!r} extra installs: "
            f"pip install '{distribution}[{extra}]'",
            name=error.name,
        ) from error


def make(task: str, **kwargs: Any) -> Task:
    """A task by its name: `make("quadrotor", num_envs=256)`. Keyword arguments are the task's own."""
    kind = load("task", task)
    return cast("Task", kind(kind.Config(**kwargs)))


def extra_for(module: str, distribution: str = "robostack") -> str | None:
    """The extra of `distribution` that installs the top-level `module`, or None."""
    top = module.partition(".")[0]
    try:
        requirements = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return None
    for requirement in requirements:
        match = re.match(r"""([\w.-]+).*;.*extra\s*==\s*['"]([\w-]+)['"]""", requirement)
        if match and _IMPORT_NAME.get(match[1], match[1].replace("-", "_")) == top:
            return match[2]
    return None


def owner(entry: metadata.EntryPoint) -> str:
    """Name of the distribution that declares an entry point."""
    return entry.dist.name if entry.dist else entry.module.partition(".")[0]


def _with_extra(entry: metadata.EntryPoint) -> str:
    return f"{entry.name} (extra: {', '.join(entry.extras)})" if entry.extras else entry.name
