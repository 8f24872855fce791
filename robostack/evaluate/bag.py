"""A flight as one MCAP file that Foxglove and `ros2 bag` open; nothing of ROS has to be installed here.

Needs rosbags (the `record` extra). Topics and messages are those of a running stack (robostack.messages).
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from robostack import messages
from robostack.evaluate.flight import STATUS, Column, Flight
from robostack.registry import MissingExtraError
from robostack.run_folder import RunFolderError
from robostack.spec import Channel

FRAMES = {
    "position": messages.WORLD, "velocity": messages.WORLD, "reference": messages.WORLD,
    "attitude": messages.ATTITUDE, "body_rate": messages.BODY,
}  # fmt: skip
"""of a flight's columns"""


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


def save(flight: Flight, path: Path, began_ns: int = 0) -> Path:
    """Writes `path`, all or nothing; row k carries the time `began_ns` (Unix) plus k periods.

    Raises MissingExtraError without rosbags, RunFolderError when it cannot be written.
    """
    make = Messages()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".bag-", dir=path.parent) as name:
            bag = Path(name) / "bag"
            _write(flight, bag, began_ns, make)
            (bag / "bag.mcap").replace(path)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {error}") from error
    return path


def _write(flight: Flight, folder: Path, began_ns: int, make: Messages) -> None:
    from rosbags.rosbag2 import StoragePlugin, Writer

    columns = dict(flight.columns)
    if {"position", "attitude", "velocity"} <= set(columns) and "body_rate" not in columns:
        columns["body_rate"] = Column(np.full((len(flight), 3), np.nan), "rad/s")  # Odometry has a place for it
    topics = messages.topics(tuple(_channel(name, column) for name, column in columns.items()))
    with Writer(folder, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP) as writer:
        lines = [(t, t.blank(make.new), writer.add_connection(t.name, t.type, typestore=make.store)) for t in topics]
        text, told = make.new("std_msgs/msg/String"), -1
        about = writer.add_connection("about", "std_msgs/msg/String", typestore=make.store)
        status = writer.add_connection("status", "std_msgs/msg/String", typestore=make.store)
        text.data = json.dumps({"name": flight.name, **flight.about})
        writer.write(about, began_ns, make.store.serialize_cdr(text, "std_msgs/msg/String"))
        for row in range(len(flight)):
            now_ns = began_ns + round(row * flight.dt_s * 1e9)
            for topic, message, connection in lines:
                topic.write(message, {c.name: columns[c.name].values[row] for c in topic.channels})
                if topic.stamped:
                    message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, 10**9)
                writer.write(connection, now_ns, make.store.serialize_cdr(message, topic.type))
            if flight.status[row] != told:
                told = int(flight.status[row])
                text.data = STATUS[told]
                writer.write(status, now_ns, make.store.serialize_cdr(text, "std_msgs/msg/String"))


def _channel(name: str, column: Column) -> Channel:
    size = column.values.shape[1]
    return Channel(name=name, shape=(size,), elements=column.elements, unit=column.unit, frame=FRAMES.get(name, ""))
