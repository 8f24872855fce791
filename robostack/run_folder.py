"""RunFolder: everything one training run made, in one place, and nothing half-written is ever seen.

    logs/<task>/<YYYY-MM-DD_HH-MM-SS>[_name]/
      config.json          what was asked for
      checkpoints/         the learner's own files
      exported/            policy.onnx, firmware/
      flights/             one .npz a flight (robostack.evaluate.flight)
      metrics.json         what was measured: one section a stage
      report.html          all of it on one page
    logs/<task>/latest     -> the newest of them

Every file is written beside its place, synced and renamed: a full disk or a lost process leaves the version
before. A writer holds `.lock`, which the kernel releases when the writer dies: a stale lock blocks nobody.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import fcntl
import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class RunFolderError(OSError):
    """A run folder is busy, missing, damaged, or cannot be written; the message says which and what to do."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run. Reading needs no lock; take `with run.locked():` around a stage that writes."""

    path: Path

    @classmethod
    def create(cls, task: str, name: str | None = None, root: str | Path = "logs") -> RunFolder:
        """A new folder `root/task/<time>[_name]`; `root/task/latest` points to it.

        Raises RunFolderError when it cannot be made.
        """
        for word in (task, *([name] if name else [])):
            if not _NAME.fullmatch(word):
                raise RunFolderError(f"run name {word!r}: use letters, digits, '.', '_' and '-' only")
        stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S") + (f"_{name}" if name else "")
        parent = Path(root) / task
        for attempt in range(1, 100):  # several runs may start within one second
            path = parent / (stamp if attempt == 1 else f"{stamp}-{attempt}")
            try:
                parent.mkdir(parents=True, exist_ok=True)
                path.mkdir()
            except FileExistsError:
                continue
            except OSError as error:
                raise RunFolderError(f"cannot make the run folder {path}: {error.strerror}") from error
            run = cls.at(path)
            run.make_latest()
            return run
        raise RunFolderError(f"{parent}: a hundred runs in one second; give each a --name")

    @classmethod
    def at(cls, path: str | Path) -> RunFolder:
        """The run folder at `path`, made with its subfolders where they are missing."""
        run = cls(Path(path))
        for folder in (run.checkpoints, run.exported, run.flights):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RunFolderError(f"cannot make {folder}: {error.strerror}") from error
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """An existing run folder. Raises RunFolderError when there is none."""
        run = cls(Path(path).resolve())
        if not run.checkpoints.is_dir():
            raise RunFolderError(f"{path} is not a run folder (it has no checkpoints/); `robostack list` shows them")
        return run

    @classmethod
    def latest(cls, task: str, root: str | Path = "logs") -> RunFolder:
        """The newest run of a task. Raises RunFolderError when there is none."""
        link = Path(root) / task / "latest"
        if not link.exists():
            raise RunFolderError(f"no run of {task!r} under {root}/; make one: robostack train {task}")
        return cls.open(link)

    @classmethod
    def find(cls, what: str | Path | None = None, root: str | Path = "logs") -> RunFolder:
        """The run that a user means: a folder, a task (its newest run), or None (the newest of all).

        Raises RunFolderError when there is none.
        """
        if what is None:
            links = [link for link in Path(root).glob("*/latest") if link.exists()]
            if not links:
                raise RunFolderError(f"no run under {root}/; make one: robostack train quadrotor")
            return cls.open(max(links, key=lambda link: link.stat().st_mtime))
        # a task of one's own often lies in a folder of its name: runs of it go before what is no run
        is_run = (Path(what) / "checkpoints").is_dir()
        taken = Path(what).is_dir() and (is_run or not (Path(root) / str(what) / "latest").exists())
        return cls.open(what) if taken else cls.latest(str(what), root)

    @classmethod
    def find_policy(cls, what: str | Path | None = None, root: str | Path = "logs") -> Path:
        """Like `find`, for its policy.onnx; `what` may be an .onnx file itself."""
        if what is not None and (Path(what).is_file() or Path(what).suffix == ".onnx"):
            return Path(what)
        run = cls.find(what, root)
        if not run.policy.exists():
            raise RunFolderError(f"{run.path} has no exported policy yet: robostack export {run.path}")
        return run.policy

    @classmethod
    def of_policy(cls, policy: Path) -> RunFolder | None:
        """The run whose exported policy this file is; None for a file by itself."""
        folder = policy.resolve().parent.parent
        return cls.open(folder) if policy.name == "policy.onnx" and (folder / "checkpoints").is_dir() else None

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def exported(self) -> Path:
        return self.path / "exported"

    @property
    def policy(self) -> Path:
        """Where the exported policy lies: `exported/policy.onnx`."""
        return self.exported / "policy.onnx"

    @property
    def flights(self) -> Path:
        return self.path / "flights"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def make_latest(self) -> None:
        """Points `latest`, beside this folder, to it."""
        _point(self.path.parent / "latest", self.path.name)

    @contextlib.contextmanager
    def locked(self) -> Iterator[RunFolder]:
        """Holds the folder for writing. Raises RunFolderError, naming the holder, when another has it."""
        path = self.path / ".lock"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunFolderError(f"cannot lock {path}: {error.strerror}") from error
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
                raise RunFolderError(
                    f"{self.path} is in use by process {holder}: wait for it or end it, or start another run"
                ) from error
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
            yield self
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[RunFolder]:
        """`locked`, and notes in metrics.json how long the stage took, where, with which versions."""
        from robostack import machine

        with self.locked():
            start = time.perf_counter()
            yield self
            seconds = round(time.perf_counter() - start, 3)
            stages = {**self.metrics().get("stages", {}), name: seconds}
            self.record(stages=stages, machine=machine.describe(), versions=machine.versions())

    def write(self, name: str, data: bytes) -> Path:
        """Writes `name` in the folder all or not at all: after a RunFolderError the old file stays."""
        path = self.path / name
        write_atomic(path, data)
        return path

    def write_config(self, config: Any) -> Path:
        """Writes config.json from a dataclass or a mapping."""
        return self.write("config.json", to_json(config))

    def config(self) -> dict[str, Any]:
        return self._read_json("config.json")

    def metrics(self) -> dict[str, Any]:
        """Sections of metrics.json by stage; empty before the first is recorded."""
        return self._read_json("metrics.json")

    def record(self, **sections: Any) -> None:
        """Sets sections of metrics.json (`record(verify=[...])`) and keeps the others."""
        self.write("metrics.json", to_json({**self.metrics(), **sections}))

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        if not path.exists():
            return {}
        try:
            value = json.loads(path.read_bytes())
        except ValueError as error:
            raise RunFolderError(f"{path} is not valid JSON ({error}); restore it, or move it away") from error
        if not isinstance(value, dict):
            raise RunFolderError(f"{path} holds a {type(value).__name__} where an object belongs; move it away")
        return value


def write_atomic(path: Path, data: bytes) -> None:
    """Puts `data` at `path` in one step: after any failure the file is what it was before.

    Raises RunFolderError with the remedy when the disk is full or the folder cannot be written.
    """
    temporary = None
    try:
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the rename itself must survive a power cut
        finally:
            os.close(folder)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if error.errno in _FULL:
            free = shutil.disk_usage(path.parent).free
            raise RunFolderError(
                error.errno,
                f"no room for {path}: {len(data):,} bytes wanted, {free:,} free. "
                "What was there before is untouched; free some space and run the command again",
            ) from error
        raise RunFolderError(error.errno, f"cannot write {path}: {error.strerror}") from error


def to_json(value: Any) -> bytes:
    """Readable JSON of dataclasses, paths, numpy and plain values; NaN and infinity become null."""
    return (json.dumps(_plain(value), indent=2, allow_nan=False) + "\n").encode()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    elif hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    elif hasattr(value, "tolist"):  # numpy and torch
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple, set)) else str(value)


def _point(link: Path, target: str) -> None:
    """Makes `link` a symlink to `target` in one step."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        os.replace(temporary, link)
    except OSError as error:
        raise RunFolderError(f"cannot point {link} to {target}: {error.strerror}") from error
