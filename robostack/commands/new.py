"""`robostack new`"""

from __future__ import annotations

import importlib.util
import keyword
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from robostack import registry
from robostack.commands.answer import answer
from robostack.spec import ContractError

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
NEXT = {
    "task": "pip install -e {folder} && robostack train {name}",
    "vehicle": "robostack train quadrotor --vehicle {folder}/{name}.toml",
    "device": "pip install -e {folder} && pytest {folder}",
}


@dataclass(frozen=True)
class Command:
    """Begin a task, a vehicle or a device of your own: a folder that works as it is, with its test, to change bit by
    bit.

    A task trains in seconds: a cart on a rail. A vehicle is a quadrotor's file of numbers, each to be measured. A
    device is a machine of yours behind a URI, here at the other end of a UDP line. Tasks and devices are packages,
    which robostack finds once they are installed.

    Example: robostack new task hello && pip install -e hello && robostack train hello
    Example: robostack new vehicle my_drone && robostack train quadrotor --vehicle my_drone/my_drone.toml
    """

    kind: Annotated[Literal["task", "vehicle", "device"], tyro.conf.Positional]
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Small letters, digits and _: it is a Python module, a channel's word and a folder."""
    into: Path = Path()
    """Where the folder goes."""
    json: bool = False
    """Print folder and files as JSON for a script."""

    def run(self) -> int:
        self._check()
        folder = self.into / self.name
        try:
            with tempfile.TemporaryDirectory(dir=self.into, prefix=f".{self.name}.") as place:
                whole = Path(place) / self.name
                self._write(whole)
                whole.rename(folder)
        except OSError as error:
            raise ContractError(f"{folder}: cannot be made: {error.strerror}") from error
        files = sorted(str(p) for p in folder.rglob("*") if p.is_file())
        following = NEXT[self.kind].format(folder=folder, name=self.name)
        if self.json:
            answer({"folder": folder, "files": files, "next": following})
        else:
            print("\n".join([*files, f"next: {following}"]))
        return 0

    def _check(self) -> None:
        """Raises ContractError for what cannot be a name, or is one already."""
        if not NAME.fullmatch(self.name) or keyword.iskeyword(self.name):
            near = re.sub(r"[^a-z0-9_]+", "_", self.name.lower()).strip("_0123456789")[:48]
            hint = f", such as {near}" if NAME.fullmatch(near) and not keyword.iskeyword(near) else ""
            raise ContractError(
                f"{self.name!r} is no name for a {self.kind}: small letters, digits and _, a letter first, at most 48, "
                f"and no word of Python's{hint}"
            )
        if (folder := self.into / self.name).exists():
            raise ContractError(f"{folder} exists already; give another name, or another place with --into")
        if not self.into.is_dir():
            raise ContractError(f"--into {self.into}: there is no such folder")
        if self.kind == "vehicle":
            return
        if self.name in registry.entries(self.kind):
            whose = registry.owner(registry.entries(self.kind)[self.name])
            raise ContractError(f"a {self.kind} called {self.name!r} comes with {whose}; give another name")
        spec = importlib.util.find_spec(self.name)
        if spec is not None and spec.origin:  # a folder that merely lies here has none
            raise ContractError(f"{self.name!r} is a Python module that is installed; give another name")

    def _write(self, folder: Path) -> None:
        """The template with its own names in the place of `my_task`, `MyTask`."""
        own = f"my_{self.kind}"
        names = {own: self.name, _class_name(own): _class_name(self.name)}
        for source in sorted((TEMPLATES / self.kind).rglob("*")):
            if source.is_dir() or "__pycache__" in source.parts:
                continue
            target = folder / _renamed(str(source.relative_to(TEMPLATES / self.kind)), names)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_renamed(source.read_text(encoding="utf-8"), names), encoding="utf-8")


def _renamed(text: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        text = text.replace(old, new)
    return text


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))
