"""device_node: a machine behind topics, and the last live element before its actuators.

Each period it reads the machine, publishes what was measured, waits up to half a period for the policy's answer, and
writes what its own envelope lets through. It owns the latch: it trips on its own sensors, on an action that is old, not
a number, or from somebody else than agreed, and on a supervisor that has fallen silent; then the contract's fallback
ladder acts on the machine's own sensors, until the supervisor disarms.

    disarmed --supervisor wishes, all is well--> arming --> armed --trip--> fallback
        ^------------ supervisor disarms, or E-stop: stopped ------------------'

Who may arm: the supervisor that wishes it, with the one policy session it names. Who may stop: anybody.

A machine that keeps a slow time of its own, whose readings and moves take seconds, is read and moved in a thread of its
own, one call after the other. The node tells its state meanwhile, trips as soon as its supervisor is silent or asks for
it (the move that has begun is the machine's to end), and stops the machine in the middle of a move when it is disarmed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from robostack import devices
from robostack.messages import ActionTopic, WrongMessage, action_topic, observation_topics
from robostack.runtime import loop
from robostack.runtime.controller import Controller
from robostack.runtime.envelope import Array
from robostack.runtime.margins import margins
from robostack.spec import ContractError, PolicySpec, State
from robostack_real.nodes import wire
from robostack_real.nodes.node import Node
from robostack_real.nodes.supervisors import Supervisors

T = TypeVar("T")

HEARTBEAT_AGE_S = 0.25
LADDER_S = 5.0
"""that a device which is ended in flight takes to come down"""
ARRIVED = 16
"""messages that are handled at a look"""
LOOK_S = 0.01
"""between two looks whether the machine is done"""
ENDED = "the device is being ended"


class DeviceNode(Node):
    ROLE = "device"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.declare_policy("path of the policy.onnx; only its contract is read here")
        self.declare("device", "sim://hover", "URI of the machine")
        self.declare(
            "action_max_age_s", 0.0, "oldest action that is written; 0: as old as the quickest sensor may be", 0.0, 10.0
        )
        self.declare("heartbeat_max_age_s", HEARTBEAT_AGE_S, "silence of the supervisor that is borne", 0.02, 10.0)
        self.state = "unconfigured"
        self.device: Any = None

    def configure(self) -> None:
        policy = self.policy = self.load()
        spec = self.spec = policy.spec
        self.period_s = spec.control_dt_s
        self.device = devices.connect(str(self.value("device")), policy)
        slow = self.device.paces and self.period_s > wire.STATUS_PERIOD_S
        self._thread = ThreadPoolExecutor(1, "machine") if slow else None
        if self._thread:
            self._thread.submit(self.device.__enter__).result()
        else:
            self.device.__enter__()
        self.paced = not self.device.paces
        self.controller = Controller(self, _measured_here(spec, self.device.channels))
        self._action_max_age_s = float(self.value("action_max_age_s")) or min(
            c.max_age_s for c in spec.observations if c.name in self.device.channels
        )
        here = set(self.device.channels)
        self._topics = [
            (t, t.blank(wire.new), self.create_publisher(wire.message_type(t.type), t.name, wire.newest()))
            for t in reversed(observation_topics(spec))  # the leading one last: what it is answered by has come then
            if {c.name for c in t.channels} <= here
        ]
        applied = ActionTopic("applied_action", spec.actions)
        publisher = self.create_publisher(wire.message_type(applied.type), applied.name, wire.newest())
        self._applied = (applied, applied.blank(wire.new), publisher)
        self._commands = action_topic(spec)
        kind = wire.message_type(self._commands.type)
        self.create_subscription(kind, self._commands.name, self._heard_action, wire.listened())
        self.supervisors = Supervisors(self, float(self.value("heartbeat_max_age_s")))
        self._speakers = wire.Speakers(self.period_s)
        self._action: Array | None = None
        self._got: Array = np.array(spec.action_limit("neutral"), np.float32)
        self._neutral = self._got.copy()
        self._action_s, self._answered_ns, self._asked_ns, self._sender = 0.0, 0, 0, ""
        self._policy: str | None = None
        self._ending = False
        self.why = self.refused = self.lost = ""
        self.fallbacks = 0
        self.state = "disarmed"

    def activate(self) -> None:
        self.device.stop()

    def deactivate(self) -> None:
        """Ended in good order in flight it comes down first, by its own fallback, whoever else is still there: a launch
        ends all nodes at once. A second Ctrl-C disarms."""
        if self._flies() and not self.crashed:
            self._ending, end = True, time.monotonic() + LADDER_S

            def come_down(missed: int) -> None:
                self.tick(missed)
                if not self._flies() or self._on_last_rung() or time.monotonic() > end:
                    raise loop.Stop

            self.run(come_down, lambda: None)
        self._disarm("disarmed")
        self.tell(self.state)

    def destroy_node(self) -> None:
        if self.device is not None:
            self._done(self.device.__exit__, None, None, None)
            self.device = None
        super().destroy_node()

    def _flies(self) -> bool:
        return self.state in ("armed", "fallback")

    def _on_last_rung(self) -> bool:
        return self.controller.status.rung == len(self.spec.envelope.fallback) - 1

    def tick(self, missed: int) -> None:
        if self.device.paces:
            for _ in range(ARRIVED):  # nothing was handled while the last write lasted
                self.wait(0.0)
        try:
            samples = self._done(self.device.read)
            self.lost = ""
            stamp_ns = self._asked_ns = self.stamp_ns()
            self._publish(samples, stamp_ns)
            self.await_answer(stamp_ns)
            self._obey()
            self._got = self._done(self.device.write, self.controller.tick(samples, missed))
        except ConnectionError as error:
            self._lose(str(error))
            return
        status = self.controller.status
        if self.state == "armed" and (self.device.tripped or status.tripped):
            reason = f"{status.reason.name.lower()} {status.channel or ''}".strip()
            self._trip(self.why or self.device.tripped or reason)
        self._tell_applied(self._got, stamp_ns)
        self.tell(self.state)

    def meanwhile(self) -> None:
        if not self._obey_stop() and self.state == "armed":
            doubt = ENDED if self._ending else self.supervisors.doubt()
            if doubt:
                self._trip(doubt)
        self.tell(self.state)

    def _done(self, call: Callable[..., T], *arguments: Any) -> T:
        """What a call of the machine gives, however long it takes."""
        if self._thread is None:
            return call(*arguments)
        work = self._thread.submit(call, *arguments)
        while not work.done():
            self.wait(LOOK_S)
            self.meanwhile()
        return work.result()

    def _trip(self, why: str) -> None:
        self.controller.fall_back()
        self.state, self.why, self.fallbacks = "fallback", why, self.fallbacks + 1
        self.get_logger().error(f"fallback: {why}")

    def _lose(self, why: str) -> None:
        """The machine does not answer, or has left our commands: that latches in flight. A period passes."""
        if why != self.lost:
            self.get_logger().error(why)
        self.lost = why
        if self.state == "armed":
            self._trip(why)
        elif self.state == "disarmed" and self.supervisors.wishing("arm"):
            self.refused = why
        end = time.monotonic() + self.period_s
        while (left := end - time.monotonic()) > 0:
            self.rest(left)
        self.tell(self.state)

    def stamp_ns(self) -> int:
        return time.time_ns()

    def await_answer(self, stamp_ns: int) -> None:
        """Until the answer to this period's observation is here, or half a period has passed; in flight a slow machine
        waits for as long as an action may be old, since nothing is late there."""
        patient = self._thread is not None and self.state == "armed"
        end = time.monotonic() + (self._action_max_age_s if patient else 0.5 * self.period_s)
        while self._answered_ns != stamp_ns and self._policy_speaks() and (left := end - time.monotonic()) > 0:
            self.rest(left)

    def infer(self, observation: Any, applied_action: Array, state: Array | None, /) -> tuple[Array, Array | None]:
        """The envelope's policy: what was sent to us. Not a number when there is a reason not to act on it."""
        self.why = self._doubt()
        if self.why or self._action is None:
            return np.full(self.spec.action_size, np.nan, np.float32), None
        if self.device.changes and self._answered_ns != self._asked_ns:
            return self._neutral, None  # a change is not made twice
        return self._action, None

    def report(self) -> wire.Report:
        status = self.controller.status
        others, rivals = self._speakers.others(self._policy), self.supervisors.others()
        level = 0 if self.state in ("armed", "arming", "disarmed") and not self.lost else 2
        return wire.Report(self.ROLE, self.session, self.state, wire.texts({
            "interface_hash": self.policy.interface_hash, "device": self.device.where,
            "why": self.why or self.lost, "refused": self.refused, "rung": status.rung,
            "last_rung": self._on_last_rung(), "supervisor": self.supervisors.session,
            "other_supervisors": " ".join(rivals),
            "policy": self._policy or "", "other_senders": " ".join(others) if self._policy else "",
            "fallbacks": self.fallbacks, **margins(self.controller.spec, status, self._got),
            **{f"age_{n}_s": a for n, a in status.age_s.items()},
        }), max(level, 1 if self.refused or rivals or (self._policy and others) else 0))  # fmt: skip

    def _policy_speaks(self) -> bool:
        """Or may be about to: a slow machine asked it the last time long ago."""
        return self._thread is not None or time.monotonic() - self._action_s < self._action_max_age_s

    def _doubt(self) -> str:
        """Why what was sent is not acted on; empty when it is."""
        if self._ending:
            return ENDED
        if doubt := self.supervisors.doubt():
            return doubt
        age = time.monotonic() - self._action_s
        if self._action is None or age > self._action_max_age_s:
            return f"no action for {age:.3f} s, more than {self._action_max_age_s:g} s"
        if not np.isfinite(self._action).all():
            return "the policy asks for the fallback"
        return ""

    def _obey_stop(self) -> bool:
        """Whether somebody stops the machine."""
        if self.supervisors.estop:
            if self.state != "stopped":
                self._disarm("stopped")
            return True
        if self.supervisors.wishing("disarm") or self.state == "stopped":
            if self.state != "disarmed":
                self._disarm("disarmed")
            return True
        return False

    def _obey(self) -> None:
        """What the supervisors wish, and the E-stop."""
        if self._obey_stop():
            return
        wishes = self.supervisors.wishing("arm")
        if self.state == "disarmed" and wishes:
            self.refused = self.supervisors.refusal(self.policy.interface_hash) or self._refusal(
                wishes[0].values["policy"]
            )
            if not self.refused:
                self._arm(wishes[0])
        elif not wishes:
            self.refused = ""

    def _arm(self, wish: wire.Report) -> None:
        """That may take its time, in which the wish may cease."""
        self.why, self.state = "", "arming"
        try:
            self._done(self.device.arm)
        except (ContractError, ConnectionError) as error:
            self.refused = str(error)
        wished = wish.session in [h.session for h in self.supervisors.wishing("arm")]
        if self.state != "arming" or not wished or self.refused:
            refused = self.refused
            self._disarm(self.state if self.state == "stopped" else "disarmed")
            self.refused = refused
            return
        self.supervisors.session, self._policy = wish.session, wish.values["policy"]
        self.state, self._answered_ns = "armed", 0  # what was answered before is not acted on, where it is a change
        self._action_s = time.monotonic()  # nor too old, because arming took its time
        self.controller.arm()
        self.get_logger().info(f"armed by {self.supervisors.session} for {self._policy}")

    def _refusal(self, policy: str) -> str:
        """What of the machine's own speaks against arming for a policy's session; empty when nothing does."""
        if self.device.tripped:
            return self.device.tripped
        if others := self._speakers.others(policy):
            return f"{' and '.join(others)} also sends actions; stop it"
        age = time.monotonic() - self._action_s
        if self._action is None or age > self._action_max_age_s or not np.isfinite(self._action).all():
            return "no action that could be acted on has come"
        if self._sender != policy:
            return f"actions come from {self._sender}, the supervisor names {policy}"
        late = [c for c, age in self.controller.status.age_s.items() if age > self._max_age_s(c)]
        return f"the device's own channels are old: {' '.join(late)}" if late else ""

    def _max_age_s(self, name: str) -> float:
        return next(c.max_age_s for c in self.spec.observations if c.name == name)

    def _disarm(self, state: str) -> None:
        self.controller.arm(False)
        self.device.stop()
        self.supervisors.session, self._policy = "", None
        if state != self.state:
            self.get_logger().info(state)
        self.state, self.refused = state, ""

    def _publish(self, samples: Any, stamp_ns: int) -> None:
        for topic, message, publisher in self._topics:
            if all(c.name in samples for c in topic.channels):
                topic.write(message, {c.name: samples[c.name][0] for c in topic.channels})
                if topic.stamped:
                    wire.put_stamp(message.header, stamp_ns)
                publisher.publish(message)

    def _tell_applied(self, action: Array, stamp_ns: int) -> None:
        topic, message, publisher = self._applied
        topic.write_packed(message, action)
        wire.put_stamp(message.header, stamp_ns)
        publisher.publish(message)

    def _heard_action(self, message: Any) -> None:
        sender = message.header.frame_id
        self._speakers.heard(sender)
        if self._policy is not None and sender != self._policy:
            return
        try:
            action = self._commands.read_packed(message)
        except WrongMessage as error:
            self.refused = f"action: {error}"
            return
        self._action = action.astype(np.float32)
        self._sender, self._action_s = sender, time.monotonic()
        self._answered_ns = wire.stamp_ns(message.header)


def _measured_here(spec: PolicySpec, channels: tuple[str, ...]) -> PolicySpec:
    """The contract without memory and without what others command: the device's envelope judges its own sensors.

    Raises ContractError when the fallback needs something that the device does not measure.
    """
    plain = spec.model_dump() | {"state": State().model_dump(), "self_test": None, "calibration": None}
    plain["observations"] = [c for c in plain["observations"] if c["name"] in channels]
    try:
        return PolicySpec.model_validate(plain)
    except ValueError as error:
        raise ContractError(f"the device measures {', '.join(channels)}: {error}") from error
