"""A recording fed to a policy, as it would have been on the machine, and where its actions differ from those logged.

The policy sits behind its envelope in the very Controller of a running stack, and ticks once for each logged action, on
the samples that had arrived by then, each as old as it then was: when the leading observation arrived whose stamp the
action bears, as our policy_node stamps it, else when the action did. What was applied is what was logged: the machine
in the recording moved by it, so each period asks what this policy would have done there. Where actions come at another
rate than the contract's, it ticks at its own and is compared with the newest logged one.

It is armed when all channels have been seen and, where the bag says who commands, the policy does; again, from its
reset state, when actions start anew after a pause; and after a trip as soon as may be, so that one trip does not hide
the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostack.evaluate.bag import ABOUT, TEXT, Messages
from robostack.evaluate.mend import MAGIC
from robostack.messages import Topic, Values, WrongMessage, action_topic, observation_topics
from robostack.runtime.controller import Controller
from robostack.runtime.runner import Runner
from robostack.spec import ContractError, PolicySpec

STATUS_TOPICS = {"status": TEXT, "device_status": "diagnostic_msgs/msg/DiagnosticStatus"}
"""Who commands, in a flight (robostack.evaluate.flight.STATUS) and in a stack, by its device node."""
COMMANDS = ("policy", "armed")
"""what they say when the policy does"""
PAUSE_S = 1.0
"""Without actions: what comes then is another activation."""
RATE_TOLERANCE = 0.1
"""of the contract's period, within which logged actions are this policy's ticks"""

Times = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """What came on one channel: (n,) arrival, ns, in order, and (n, elements) values."""

    time_ns: Times
    values: Floats


@dataclass(frozen=True)
class Recording:
    """What a bag holds of a contract."""

    path: Path
    observations: Mapping[str, Series]
    """by channel"""
    actions: Series
    """of all action channels, joined; the time is that of the tick"""
    commands: tuple[tuple[int, bool], ...] = ()
    """When the policy began to command, or ceased to; empty where the bag does not say"""
    policy_hash: str = ""
    """of the policy that was recorded; empty where the bag does not say"""


@dataclass(frozen=True)
class Trip:
    """The envelope would have acted from `at_s` for `periods` control periods."""

    at_s: float
    periods: int
    reason: str
    channel: str | None


@dataclass(frozen=True)
class Replay:
    """`logged` and `found` are (T, actions); `compared` (T,) is true where the policy acted in both."""

    spec: PolicySpec
    time_s: Floats
    """(T,) since the bag's first logged action"""
    logged: Floats
    found: Floats
    compared: NDArray[np.bool_]
    trips: tuple[Trip, ...] = ()
    late_s: float = 0.0
    """From the first period in which the policy commanded to the first in which all channels had been seen: its memory
    lacks as much."""

    @property
    def elements(self) -> list[Difference]:
        """One an action element, in the contract's order."""
        units = [c.unit for c in self.spec.actions for _ in c.elements]
        low, high = np.array(self.spec.action_limit("low")), np.array(self.spec.action_limit("high"))
        error = np.where(self.compared[:, None], np.abs(self.found - self.logged), 0.0)
        error = np.where(np.isfinite(error), error, np.inf)
        worst, count = error.argmax(axis=0), max(1, int(self.compared.sum()))
        return [
            Difference(
                name, units[i], float(error[worst[i], i]), float(np.sqrt((error[:, i] ** 2).sum() / count)),
                float(error[worst[i], i] / (high[i] - low[i])), float(self.time_s[worst[i]]),
            )
            for i, name in enumerate(self.spec.action_names)
        ]  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """Of one action element, found against logged, in its unit."""

    name: str
    unit: str
    largest: float
    rms: float
    share: float
    """the largest, of the element's range"""
    at_s: float


def read(path: Path, spec: PolicySpec, namespace: str | None = None) -> Recording:
    """The channels of `spec` from a bag of robostack.evaluate.bag, `robostack record` or `ros2 bag`.

    `namespace` is that of its topics; None: the only one that has them. Raises ContractError naming the topic,
    channel or time that does not fit, FileNotFoundError, MissingExtraError.
    """
    Messages()  # says which extra is missing
    from rosbags.highlevel import AnyReader

    if not path.exists():
        raise FileNotFoundError(2, "No such file or directory", str(path))
    try:
        with AnyReader([path]) as reader:
            return _read(reader, path, spec, namespace)
    except ContractError:
        raise
    except Exception as error:  # a reader of bytes from anywhere: struct, index and other errors besides its own
        raise ContractError(_damage(path, error)) from error


def _damage(path: Path, error: Exception) -> str:
    if path.is_file():
        with path.open("rb") as file:
            begins = file.read(len(MAGIC)) == MAGIC
            file.seek(max(0, path.stat().st_size - len(MAGIC)))
            ends = file.read() == MAGIC
        if begins and not ends:
            return f"{path}: cut before its end; complete it as far as it goes: robostack record --mend {path}"
    return f"{path}: no bag, or a damaged one ({error}); give a .mcap file, or a folder of `ros2 bag`"


def _read(reader: Any, path: Path, spec: PolicySpec, given: str | None) -> Recording:
    topics = (*observation_topics(spec), action_topic(spec))
    namespace = _namespace(path, {c.topic for c in reader.connections}, [t.name for t in topics], given)
    lines = {c.topic: c for c in reader.connections if c.topic.startswith(namespace)}
    for topic in topics:
        _check(path, topic, lines.get(namespace + topic.name), sorted(c.topic for c in reader.connections))
    times: dict[str, list[int]] = {t.name: [] for t in topics}
    stamps: dict[str, list[int]] = {t.name: [] for t in topics}
    values: dict[str, list[Values]] = {t.name: [] for t in topics}
    commands: list[tuple[int, bool]] = []
    about: dict[str, Any] = {}
    by_name = {namespace + t.name: t for t in topics}
    others = [lines[namespace + n] for n in (*STATUS_TOPICS, ABOUT) if namespace + n in lines]
    for line, time_ns, raw in reader.messages([*(lines[n] for n in by_name), *others]):
        message = reader.deserialize(raw, line.msgtype)
        if line.topic not in by_name:
            name = line.topic.removeprefix(namespace)
            if name == ABOUT and line.msgtype == TEXT:
                about = _object(message.data)
            elif STATUS_TOPICS.get(name) == line.msgtype:
                commands.append((time_ns, (message.data if line.msgtype == TEXT else message.message) in COMMANDS))
            continue
        topic = by_name[line.topic]
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec if topic.stamped else 0
        if stamp and topic is not topics[-1] and stamps[topic.name][-1:] == [stamp]:
            continue  # an old sample sent again is no new one
        try:
            values[topic.name].append(topic.read(message))
        except WrongMessage as error:
            since = (time_ns - reader.start_time) * 1e-9
            raise ContractError(
                f"{path}: {line.topic} at {since:.3f} s: {error}; replay the policy that the recording was made for, "
                "or record with this one's names"
            ) from error
        times[topic.name].append(time_ns)
        stamps[topic.name].append(stamp)

    def series(topic: Topic, *channels: str) -> Series:
        rows = [np.concatenate([v[c] for c in channels]) for v in values[topic.name]]
        return Series(np.array(times[topic.name], np.int64), np.array(rows))

    observations = {c.name: series(t, c.name) for t in topics[:-1] for c in t.channels}
    actions = series(topics[-1], *(c.name for c in spec.actions))
    sensors = {c.name for c in spec.observations if c.source == "sensor"}
    leading = next((t for t in topics[:-1] if sensors & {c.name for c in t.channels}), topics[0]).name
    arrived = {s: t for s, t in zip(stamps[leading], times[leading], strict=True) if s}
    answered = [arrived.get(s, t) for s, t in zip(stamps[topics[-1].name], times[topics[-1].name], strict=True)]
    ticks = np.maximum.accumulate(np.array(answered, np.int64))
    recorded = str(about.get("policy_hash", ""))
    return Recording(path, observations, Series(ticks, actions.values), tuple(commands), recorded)


def _namespace(path: Path, found: set[str], wanted: list[str], given: str | None) -> str:
    """What the names of a stack's topics begin with, "/stack/" or nothing. Raises ContractError where two would do."""
    if given is not None:
        return f"/{given.strip('/')}/" if given.strip("/") else "/"
    ends = {name[: -len(w)]: name for w in wanted for name in found if name == w or name.endswith("/" + w)}
    have = {begin: sum(begin + w in found for w in wanted) for begin in ends}
    best = sorted(begin for begin in have if have[begin] == max(have.values()))
    if len(best) > 1:
        raise ContractError(f"{path}: several stacks are in it ({', '.join(best)}); say which with --namespace")
    return best[0] if best else ""


def _check(path: Path, topic: Topic, line: Any, found: list[str]) -> None:
    carries = ", ".join(c.name for c in topic.channels)
    if line is None or not line.msgcount:
        what = "no topic" if line is None else "no message of"
        has = ", ".join(found) or "nothing"
        raise ContractError(
            f"{path}: {what} {topic.name}, which carries {carries}; it has {has}. Record with this policy's contract: "
            "robostack record --policy POLICY"
        )
    if line.msgtype != topic.type:
        raise ContractError(f"{path}: {line.topic} is {line.msgtype}; the contract has {carries} as {topic.type}")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@dataclass
class _Trips:
    """Periods on end with one reason are one trip."""

    found: list[Trip] = field(default_factory=list)
    _last: int = -2

    def add(self, period: int, at_s: float, reason: str, channel: str | None) -> None:
        old = self.found[-1] if self.found else None
        if old and self._last == period - 1 and (old.reason, old.channel) == (reason, channel):
            self.found[-1] = Trip(old.at_s, old.periods + 1, reason, channel)
        else:
            self.found.append(Trip(at_s, 1, reason, channel))
        self._last = period


def replay(policy: Runner, recording: Recording, tell: Callable[[int, int], None] = lambda done, of: None) -> Replay:
    """`tell` gets how many periods are done now and then. Raises ContractError where there is nothing to compare."""
    spec = policy.spec
    ticks, logged = _ticks(recording.actions, spec.control_dt_s)
    newest = {n: np.searchsorted(s.time_ns, ticks, side="right") - 1 for n, s in recording.observations.items()}
    obeyed = commanded(recording.commands, ticks)
    periods = np.maximum(np.round(np.diff(ticks, prepend=ticks[0]) * 1e-9 / spec.control_dt_s), 1).astype(int)
    time_s = (ticks - ticks[0]) * 1e-9
    controller, trips = Controller(policy, spec), _Trips()
    found, compared = np.empty_like(logged), np.zeros(len(ticks), dtype=bool)
    seen, armed, began = dict.fromkeys(newest, -1), False, None
    for k, now_ns in enumerate(ticks.tolist()):
        samples = {}
        for name, indices in newest.items():
            i = int(indices[k])
            if i > seen[name]:
                series = recording.observations[name]
                samples[name] = (series.values[i], (now_ns - int(series.time_ns[i])) * 1e-9)
                seen[name] = i
        paused = periods[k] * spec.control_dt_s > PAUSE_S
        ready = bool(obeyed[k]) and min(seen.values()) >= 0
        if ready and began is None:
            began = k
        if ready != armed or paused:
            controller.arm(False)
            armed = ready
        controller.arm(armed)  # after a trip, too
        found[k] = controller.tick(samples, missed=0 if paused else int(periods[k]) - 1)
        status = controller.status
        if status.tripped:
            trips.add(k, float(time_s[k]), status.reason.name.lower(), status.channel)
        compared[k] = armed and not status.tripped and np.isfinite(logged[k]).all()
        if np.isfinite(logged[k]).all():
            controller.applied(logged[k])
        if k % 1000 == 0:
            tell(k, len(ticks))
    if began is None:
        raise ContractError(
            f"{recording.path}: in no period did the policy command while every channel had been seen; record from "
            "before the policy is activated"
        )
    late_s = float(time_s[began] - time_s[int(obeyed.argmax())])
    return Replay(spec, time_s, logged, found, compared, tuple(trips.found), late_s)


def _ticks(actions: Series, dt_s: float) -> tuple[Times, Floats]:
    """When the policy ticks, and the action logged at each tick."""
    between = np.diff(actions.time_ns) * 1e-9
    if len(between) == 0 or abs(np.median(between) / dt_s - 1) <= RATE_TOLERANCE:
        return actions.time_ns, actions.values
    ticks = np.arange(actions.time_ns[0], actions.time_ns[-1] + 1, round(dt_s * 1e9), dtype=np.int64)
    return ticks, actions.values[np.searchsorted(actions.time_ns, ticks, side="right") - 1]


def commanded(commands: tuple[tuple[int, bool], ...], ticks: Times) -> NDArray[np.bool_]:
    """(T,) whether the logged actions were obeyed."""
    if not commands:
        return np.ones(len(ticks), dtype=bool)
    newest = np.searchsorted(np.array([t for t, _ in commands]), ticks, side="right") - 1
    return (newest >= 0) & np.array([policy for _, policy in commands])[newest]
