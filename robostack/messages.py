"""The border to ROS: which standard message carries a contract's channels, and their values in and out of it.

    topics = observation_topics(spec)      # odom: position, velocity, attitude, body_rate; setpoint; ...
    values = topics[0].read(message)       # {"position": ..., ...} in the contract's units and frames

Nothing here is chosen by hand: a channel's shape, unit, frame and elements decide, so that a sender, a policy and a
recorder which know the same contract agree. Works on the message objects of rclpy and of rosbags alike, and imports
neither. REP-103 and REP-105: SI, ENU, FLU, quaternions as xyzw, `odom -> base_link`.

| message | carries |
|---|---|
| nav_msgs/Odometry | position, attitude, velocity, body rate of a body; the twist is in the body's frame there |
| trajectory_msgs/MultiDOFJointTrajectory | nine elements: position, velocity, acceleration asked for, as one point |
| geometry_msgs/PointStamped | three elements in m, in the world's frame, by themselves |
| geometry_msgs/PoseStamped | NAME_position, m, and NAME_rotation, a rotation vector, rad: three each, as NAME |
| sensor_msgs/JointState | named elements of one unit: m, rad as position; m/s, rad/s as velocity; N, N m as effort |
| the same, as `action` | all action channels together |
| sensor_msgs/BatteryState | one element in V |
| std_msgs/Float64MultiArray | all else: element names, joined by commas, are the label of its one dimension |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from robostack import quaternion
from robostack.spec import ActionChannel, Channel, PolicySpec

Values = dict[str, npt.NDArray[np.float64]]
"""By channel, flat, in the contract's element order, units and frames."""
WORLD, BODY, ATTITUDE = "world ENU", "body FLU", "body FLU to world ENU"
ROTATION = "rotation vector in world ENU"
WORLD_FRAME, BODY_FRAME = "odom", "base_link"
_JOINT_FIELD = {
    "m": "position",
    "rad": "position",
    "m/s": "velocity",
    "rad/s": "velocity",
    "N": "effort",
    "N m": "effort",
}


class WrongMessage(ValueError):
    """A message is of the right type and does not say what the contract needs; the text says what and the remedy."""


New = Callable[[str], Any]
"""Makes an empty message of a type such as "nav_msgs/msg/Odometry"."""


@dataclass(frozen=True)
class Topic(ABC):
    """A relative topic name, and the channels that its messages carry."""

    name: str
    channels: tuple[Channel | ActionChannel, ...]

    type = ""
    """as in "nav_msgs/msg/Odometry" """
    stamped = True
    """has a header"""

    def blank(self, new: New) -> Any:
        """A message that `write` can fill again and again."""
        return new(self.type)

    @abstractmethod
    def read(self, message: Any) -> Values:
        """What a message says. Raises WrongMessage."""

    @abstractmethod
    def write(self, message: Any, values: Mapping[str, npt.ArrayLike]) -> None:
        """Puts the channels' values into a message; whoever sends it stamps it."""


class OdometryTopic(Topic):
    """`channels`: position, attitude, velocity, body rate, in this order."""

    type = "nav_msgs/msg/Odometry"

    def read(self, message: Any) -> Values:
        if message.child_frame_id != BODY_FRAME:
            raise WrongMessage(
                f"child_frame_id is {message.child_frame_id!r}; the twist has to be in the body's frame, {BODY_FRAME!r}"
            )
        p, q, twist = message.pose.pose.position, message.pose.pose.orientation, message.twist.twist
        quat_wxyz = np.array([q.w, q.x, q.y, q.z])
        position, attitude, velocity, body_rate = (c.name for c in self.channels)
        return {
            position: np.array(_xyz(p)),
            attitude: quat_wxyz,
            velocity: rotated(quat_wxyz, np.array(_xyz(twist.linear))),
            body_rate: np.array(_xyz(twist.angular)),
        }

    def write(self, message: Any, values: Mapping[str, npt.ArrayLike]) -> None:
        position, quat_wxyz, velocity, body_rate = (np.asarray(values[c.name], float).ravel() for c in self.channels)
        message.header.frame_id, message.child_frame_id = WORLD_FRAME, BODY_FRAME
        _put_xyz(message.pose.pose.position, position)
        q = message.pose.pose.orientation
        q.w, q.x, q.y, q.z = quat_wxyz.tolist()
        _put_xyz(message.twist.twist.linear, rotated(quat_wxyz * (1.0, -1.0, -1.0, -1.0), velocity))
        _put_xyz(message.twist.twist.angular, body_rate)


class SetpointTopic(Topic):
    """One channel: position, velocity and acceleration asked of a body, as a trajectory of one point."""

    type = "trajectory_msgs/msg/MultiDOFJointTrajectory"

    def blank(self, new: New) -> Any:
        message, point = new(self.type), new("trajectory_msgs/msg/MultiDOFJointTrajectoryPoint")
        point.transforms = [new("geometry_msgs/msg/Transform")]
        point.velocities, point.accelerations = [new("geometry_msgs/msg/Twist")], [new("geometry_msgs/msg/Twist")]
        message.joint_names, message.points = [BODY_FRAME], [point]
        return message

    def read(self, message: Any) -> Values:
        if len(message.points) != 1:
            raise WrongMessage(f"{len(message.points)} points; a setpoint is a trajectory of exactly one")
        if not all(len(part) == 1 for part in self._parts(message.points[0])):
            raise WrongMessage("its point needs one transform, one velocity and one acceleration")
        return {self.channels[0].name: np.array([c for part in self._vectors(message) for c in _xyz(part)])}

    def write(self, message: Any, values: Mapping[str, npt.ArrayLike]) -> None:
        value = np.asarray(values[self.channels[0].name], float).ravel()
        message.header.frame_id = WORLD_FRAME
        for i, part in enumerate(self._vectors(message)):
            _put_xyz(part, value[3 * i : 3 * i + 3])

    @staticmethod
    def _parts(point: Any) -> tuple[Any, ...]:
        return point.transforms, point.velocities, point.accelerations

    def _vectors(self, message: Any) -> tuple[Any, ...]:
        transforms, velocities, accelerations = self._parts(message.points[0])
        return transforms[0].translation, velocities[0].linear, accelerations[0].linear


class PointTopic(Topic):
    """One channel: a point in the world's frame."""

    type = "geometry_msgs/msg/PointStamped"

    def read(self, message: Any) -> Values:
        return {self.channels[0].name: np.array(_xyz(message.point))}

    def write(self, message: Any, values: Mapping[str, npt.ArrayLike]) -> None:
        message.header.frame_id = WORLD_FRAME
        _put_xyz(message.point, np.asarray(values[self.channels[0].name], float).ravel())


class PoseTopic(Topic):
    """`channels`: position and rotation vector of something in the world's frame."""

    type = "geometry_msgs/msg/PoseStamped"

    def read(self, message: Any) -> Values:
        position, rotation = (c.name for c in self.channels)
        q = message.pose.orientation
        quat_wxyz = np.array([q.w, q.x, q.y, q.z])
        if not np.linalg.norm(quat_wxyz) > 1e-6:
            raise WrongMessage("its orientation is a quaternion without length; no rotation is w = 1")
        turn = quaternion.to_rotation_vector(quaternion.normalise(quat_wxyz))
        return {position: np.array(_xyz(message.pose.position)), rotation: turn}

    def write(self, message: Any, values: Mapping[str, npt.ArrayLike]) -> None:
        position, rotation = (np.asarray(values[c.name], float).ravel() for c in self.channels)
        message.header.frame_id = WORLD_FRAME
        _put_xyz(message.pose.position, position)
        q = message.pose.orientation
        q.w, q.x, q.y, q.z = quaternion.from_rotation_vector(rotation).tolist()


class JointTopic(Topic):
    """One channel of named elements of one unit; a message may have them in any order."""

    type = "sensor_msgs/msg/JointState"

    def read(self, message: Any) -> Values:
        (channel,) = self.channels
        values = getattr(message, _JOINT_FIELD[channel.unit])
        names, found = element_names(channel), list(message.name)
        if len(values) != len(found):
            field = _JOINT_FIELD[channel.unit]
            raise WrongMessage(f"{len(found)} names and {len(values)} values in {field}, where {channel.unit} belongs")
        if found == list(names):
            return {channel.name: np.array(values, float)}
        if sorted(found) != sorted(names):
            raise WrongMessage(f"names are {_short(found)}, the contract's are {_short(names)}")
        return {channel.name: np.array([values[found.index(n)] for n in names], float)}

    def write(self, message: Any, values: Mapping[str, npt.ArrayLike]) -> None:
        (channel,) = self.channels
        message.name = list(element_names(channel))
        _put_floats(message, _JOINT_FIELD[channel.unit], values[channel.name])


class ActionTopic(JointTopic):
    """All action channels in one message, so that they arrive together. Each array in use is as long as the names, with
    NaN for elements whose unit belongs elsewhere; what is neither length, angle, speed nor force is called an effort.
    """

    @cached_property
    def names(self) -> list[str]:
        return [n for c in self.channels for n in element_names(c)]

    def read(self, message: Any) -> Values:
        found, names = list(message.name), self.names
        if found != names and sorted(found) != sorted(names):
            raise WrongMessage(f"names are {_short(found)}, the contract's are {_short(names)}")
        order = list(range(len(names))) if found == names else [found.index(n) for n in names]
        values: Values = {}
        start = 0
        for c in self.channels:
            field = _JOINT_FIELD.get(c.unit, "effort")
            numbers = getattr(message, field)
            if len(numbers) != len(found):
                raise WrongMessage(f"{len(found)} names and {len(numbers)} values in {field}, where {c.name} belongs")
            values[c.name] = np.array([numbers[i] for i in order[start : start + c.size]], np.float64)
            start += c.size
        return values

    def write(self, message: Any, values: Mapping[str, npt.ArrayLike]) -> None:
        if message.name != self.names:  # setting them takes longer than all the rest
            message.name = self.names
        fields: dict[str, npt.NDArray[np.float64]] = {}
        start = 0
        for c in self.channels:
            into = fields.setdefault(_JOINT_FIELD.get(c.unit, "effort"), np.full(len(self.names), np.nan))
            into[start : start + c.size] = np.asarray(values[c.name], float).ravel()
            start += c.size
        for field, numbers in fields.items():
            _put_floats(message, field, numbers)

    def read_packed(self, message: Any) -> npt.NDArray[np.float64]:
        """(actions,) in the contract's order."""
        return np.concatenate(list(self.read(message).values()))

    def write_packed(self, message: Any, action: npt.ArrayLike) -> None:
        """(actions,) in the contract's order."""
        flat, values, start = np.asarray(action, float), {}, 0
        for c in self.channels:
            values[c.name] = flat[start : start + c.size]
            start += c.size
        self.write(message, values)


class BatteryTopic(Topic):
    """One channel of one element, V."""

    type = "sensor_msgs/msg/BatteryState"

    def read(self, message: Any) -> Values:
        return {self.channels[0].name: np.array([message.voltage], float)}

    def write(self, message: Any, values: Mapping[str, npt.ArrayLike]) -> None:
        message.voltage = float(np.asarray(values[self.channels[0].name]).item())
        message.present = True


class LabelledTopic(Topic):
    """One channel of named elements."""

    type = "std_msgs/msg/Float64MultiArray"
    stamped = False

    def blank(self, new: New) -> Any:
        message, dimension = new(self.type), new("std_msgs/msg/MultiArrayDimension")
        dimension.label = ",".join(element_names(self.channels[0]))
        dimension.size = dimension.stride = self.channels[0].size
        message.layout.dim = [dimension]
        return message

    def read(self, message: Any) -> Values:
        (channel,) = self.channels
        names = element_names(channel)
        found = message.layout.dim[0].label.split(",") if len(message.layout.dim) == 1 else []
        if sorted(found) != sorted(names) or len(message.data) != len(names):
            raise WrongMessage(
                f"{len(message.data)} values labelled {_short(found)}; the contract wants one dimension whose label is "
                f"{_short(names)}"
            )
        return {channel.name: np.array([message.data[found.index(n)] for n in names], float)}

    def write(self, message: Any, values: Mapping[str, npt.ArrayLike]) -> None:
        _put_floats(message, "data", values[self.channels[0].name])


def observation_topics(spec: PolicySpec) -> tuple[Topic, ...]:
    """What a policy listens to, each channel in exactly one."""
    return topics(spec.observations)


def action_topic(spec: PolicySpec) -> ActionTopic:
    """What a policy sends."""
    return ActionTopic("action", spec.actions)


def topics(channels: tuple[Channel, ...]) -> tuple[Topic, ...]:
    """The parts of a body's state, the first channel of each kind, in one topic `odom` where all four are there; a
    NAME_position and its NAME_rotation in one topic NAME; each other channel has a topic of its own."""
    body = _body(channels)
    found: list[Topic] = [OdometryTopic("odom", body)] if body else []
    turns = {c.name: c for c in channels if (c.shape, c.unit, c.frame) == ((3,), "rad", ROTATION)}
    taken = {c.name for c in body}
    for channel in channels:
        name = channel.name.removesuffix("_position")
        turn = turns.get(f"{name}_rotation")
        if channel.name in taken:
            continue
        if turn and name != channel.name and (channel.shape, channel.unit, channel.frame) == ((3,), "m", WORLD):
            taken.add(turn.name)
            found.append(PoseTopic(name, (channel, turn)))
        else:
            found.append(_kind(channel)(channel.name, (channel,)))
    return tuple(found)


def _body(channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
    wanted = (((3,), "m", WORLD), ((4,), "1", ATTITUDE), ((3,), "m/s", WORLD), ((3,), "rad/s", BODY))
    sensors = [c for c in channels if c.source == "sensor"]
    parts = [[c for c in sensors if (c.shape, c.unit, c.frame) == kind] for kind in wanted]
    return tuple(part[0] for part in parts) if all(parts) else ()


def _kind(channel: Channel) -> type[Topic]:
    if channel.frame == WORLD:
        special = {("m, m/s, m/s2", 9): SetpointTopic, ("m", 3): PointTopic}.get((channel.unit, channel.size))
        if special is not None:
            return special
    if channel.unit in _JOINT_FIELD:
        return JointTopic
    return BatteryTopic if (channel.unit, channel.size) == ("V", 1) else LabelledTopic


def element_names(channel: Channel | ActionChannel) -> tuple[str, ...]:
    return channel.element_names if isinstance(channel, Channel) else channel.elements


def rotated(quat_wxyz: npt.NDArray[np.float64], vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A (3,) vector by a unit quaternion, body to world: v + 2 w (q x v) + 2 q x (q x v)."""
    w, x, y, z = quat_wxyz.tolist()
    a, b, c = vector.tolist()
    s, t, u = 2.0 * (y * c - z * b), 2.0 * (z * a - x * c), 2.0 * (x * b - y * a)
    return np.array([a + w * s + y * u - z * t, b + w * t + z * s - x * u, c + w * u + x * t - y * s])


def _xyz(message: Any) -> tuple[float, float, float]:
    return message.x, message.y, message.z


def _put_xyz(message: Any, value: npt.NDArray[np.float64]) -> None:
    message.x, message.y, message.z = value.tolist()


def _put_floats(message: Any, field: str, values: npt.ArrayLike) -> None:
    """rclpy's fields are array.array, rosbags' are NumPy's."""
    flat = np.asarray(values, float).ravel()
    setattr(message, field, array("d", flat.tobytes()) if isinstance(getattr(message, field), array) else flat)


def _short(names: Any) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:8])} and {len(names) - 8} more"
