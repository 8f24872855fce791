"""Bags: one MCAP file each, that Foxglove and `ros2 bag` open; nothing of ROS has to be installed here.

`Bag` is any being written, `save` makes one of a flight. Needs rosbags (the `record` extra). Topics and messages are
those of a running stack (robostack.messages).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from robostack import messages
from robostack.evaluate.flight import STATUS, Column, Flight
from robostack.evaluate.mend import mend
from robostack.registry import MissingExtraError
from robostack.run_folder import RunFolderError
from robostack.spec import Channel

FRAMES = {
    "position": messages.WORLD, "velocity": messages.WORLD, "reference": messages.WORLD,
    "setpoint": messages.WORLD,
    "attitude": messages.ATTITUDE, "body_rate": messages.BODY,
}  # fmt: skip
"""of a flight's columns"""


TEXT = "std_msgs/msg/String"
ABOUT = "about"
"""Topic with one message: JSON on what the bag holds."""


class Messages:
    """Empty messages of ROS 2 Jazzy's standard types, and their bytes. Raises MissingExtraError."""

    def __init__(self) -> None:
        try:
            from rosbags.typesys import Stores, get_typestore
            from rosbags.typesys.base import Nodetype
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "a bag needs rosbags, which the 'record' extra installs: pip install 'robostack[record]'"
            ) from error
        self.store: Any = get_typestore(Stores.ROS2_JAZZY)
        self._node = Nodetype

    def new(self, name: str) -> Any:
        return self.store.types[name](*(self._blank(kind) for _, kind in self.store.fielddefs[name][1]))

    def _blank(self, kind: Any) -> Any:
        node, detail = kind
        if node == self._node.NAME:
            return self.new(detail)
        if node == self._node.BASE:
            return {"string": "", "bool": False}.get(detail[0], 0)
        (inner, what), size = detail
        numbers = inner == self._node.BASE and what[0] != "string"
        return np.zeros(size if node == self._node.ARRAY else 0, what[0]) if numbers else []


class Bag:
    """An MCAP file that grows in place. Leaving the context completes it, whatever the reason; when the disk is full,
    what was written stays readable.

    Raises FileExistsError, and RunFolderError when it cannot be written.
    """

    def __init__(self, path: Path, make: Messages) -> None:
        self.path, self._make = path, make
        self._text = make.new(TEXT)

    def __enter__(self) -> Self:
        from rosbags.rosbag2 import StoragePlugin, Writer

        if self.path.exists():
            raise FileExistsError(errno.EEXIST, "exists already, and a bag is never overwritten", str(self.path))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # the writer insists on a folder of its own
            self._folder = tempfile.TemporaryDirectory(prefix=".bag-", dir=self.path.parent)
            bag = Path(self._folder.name) / "bag"
            self._writer: Any = Writer(bag, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
            (bag / "bag.mcap").rename(self.path)
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be written: {error}") from error
        return self

    def topic(self, name: str, kind: str) -> Any:
        """What `write` takes; `kind` is a message type. Raises RunFolderError for one that is not known here."""
        if kind not in self._make.store.types:
            raise RunFolderError(
                f"{name}: {kind} is none of ROS 2 Jazzy's standard message types, which alone are kept"
            )
        return self._writer.add_connection(name, kind, typestore=self._make.store)

    def write(self, topic: Any, time_ns: int, raw: bytes | memoryview) -> None:
        """A message as CDR."""
        with self._sealed_when_full():
            self._writer.write(topic, time_ns, raw)

    def put(self, topic: Any, time_ns: int, message: Any) -> None:
        self.write(topic, time_ns, self._make.store.serialize_cdr(message, topic.msgtype))

    def say(self, topic: Any, time_ns: int, text: str) -> None:
        """A std_msgs/String."""
        self._text.data = text
        self.put(topic, time_ns, self._text)

    def flush(self) -> None:
        """Hands all so far to the operating system: a process that is killed loses no more than what came since."""
        storage = self._writer.storage
        with self._sealed_when_full():
            if storage.chunk.bio.tell():
                storage.close_chunk()
            storage.bio.flush()

    def __exit__(self, *exc: object) -> None:
        try:
            if self._writer.storage is not None:
                with self._sealed_when_full():
                    self._writer.close()
        finally:
            self._folder.cleanup()

    @contextlib.contextmanager
    def _sealed_when_full(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):
                self._writer.abort()
            self._writer.storage = None
            mend(self.path, may_grow=False)
            raise RunFolderError(
                error.errno, f"{self.path}: {error.strerror}; what was written until then is kept and can be read"
            ) from error


def save(flight: Flight, path: Path, began_ns: int = 0) -> Path:
    """Writes `path`, all or nothing; row k carries the time `began_ns` (Unix) plus k periods.

    Raises MissingExtraError without rosbags, RunFolderError when it cannot be written.
    """
    make = Messages()
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with Bag(part, make) as bag:
            _write(flight, bag, began_ns, make)
        part.replace(path)
    except OSError as error:  # of the part's, too: whoever asked knows `path`
        raise RunFolderError(f"{path} cannot be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return path


def _write(flight: Flight, bag: Bag, began_ns: int, make: Messages) -> None:
    columns = dict(flight.columns)
    if {"position", "attitude", "velocity"} <= set(columns) and "body_rate" not in columns:
        columns["body_rate"] = Column(np.full((len(flight), 3), np.nan), "rad/s")  # Odometry has a place for it
    topics = messages.topics(tuple(_channel(name, column) for name, column in columns.items()))
    lines = [(t, t.blank(make.new), bag.topic(t.name, t.type)) for t in topics]
    about, status, told = bag.topic(ABOUT, TEXT), bag.topic("status", TEXT), -1
    bag.say(about, began_ns, json.dumps({"name": flight.name, **flight.about}))
    for row in range(len(flight)):
        now_ns = began_ns + round(row * flight.dt_s * 1e9)
        for topic, message, line in lines:
            topic.write(message, {c.name: columns[c.name].values[row] for c in topic.channels})
            if topic.stamped:
                message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, 10**9)
            bag.put(line, now_ns, message)
        if flight.status[row] != told:
            told = int(flight.status[row])
            bag.say(status, now_ns, STATUS[told])


def _channel(name: str, column: Column) -> Channel:
    size = column.values.shape[1]
    return Channel(name=name, shape=(size,), elements=column.elements, unit=column.unit, frame=FRAMES.get(name, ""))
