"""host_node: a machine that carries the policy itself, such as a Crazyflie, behind the topics of a stack.

    disarmed --supervisor wishes--> taking_off --its own controller hovers--> armed --any doubt--> fallback --> disarmed

`armed` means that the policy on the machine flies; `fallback` that its own controller has it again and lands it.
Limits and checks are those of `robostack fly --uri` (robostack.evaluate.guarded). What a machine does against a bad
policy or a lost link it does by itself. To the supervisor this node is the device and the policy both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from robostack import hosts
from robostack.evaluate.guarded import SETTLE_S, TAKE_OFF_S, Limits, doubt_of
from robostack.messages import ActionTopic, WrongMessage, observation_topics
from robostack.spec import ContractError
from robostack_real.nodes import wire
from robostack_real.nodes.device_node import HEARTBEAT_AGE_S
from robostack_real.nodes.node import Node
from robostack_real.nodes.supervisors import Supervisors

PERIOD_S, CHECK_S, SETPOINT_AGE_S, LAND_S = 0.02, 0.5, 0.5, 2.0
FLYING = ("taking_off", "armed", "fallback")


class HostNode(Node):
    ROLE = "device"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.declare_policy("path of the policy.onnx that the machine has to carry")
        self.declare("device", "udp://127.0.0.1:19850", "URI of the machine")
        self.declare(
            "dead_man", "", "input device of a switch that a hand holds down; needed where somebody may be hurt"
        )
        self.declare("height_m", 0.5, "that it takes off to", 0.2, 1.5)
        self.state, self.why, self.refused = "unconfigured", "", ""
        self._policy_teller = wire.Teller(self, "policy_status")

    def configure(self) -> None:
        self.period_s = PERIOD_S
        self._policy = self.load()
        self._limits = Limits()
        self.host = hosts.connect(str(self.value("device")))
        switch = str(self.value("dead_man"))
        if self.host.needs_dead_man and not switch:
            raise ContractError(
                f"{self.host.where} is a machine that can hurt somebody: it flies only while a hand holds a switch "
                "down; give parameter dead_man, /dev/input/event..."
            )
        self._switch = hosts.dead_man(Path(switch)) if switch else None
        if self._switch:
            self._switch.__enter__()
        self.host.__enter__()
        found = observation_topics(self._policy.spec)
        self._odom = next((t for t in found if t.name == "odom"), None)
        setpoint = next((t for t in found if t.name == "setpoint"), None)
        if self._odom is None or setpoint is None:
            raise ContractError(f"{self._policy.origin}: a flying machine needs a body's state and a setpoint")
        self._setpoint_topic = setpoint
        self._odom_message = self._odom.blank(wire.new)
        self._odoms = self.create_publisher(wire.message_type(self._odom.type), "odom", wire.newest())
        self._applied = ActionTopic("applied_action", self._policy.spec.actions)
        self._applied_message = self._applied.blank(wire.new)
        self._applieds = self.create_publisher(wire.message_type(self._applied.type), "applied_action", wire.newest())
        kind = wire.message_type(setpoint.type)
        self.create_subscription(kind, setpoint.name, self._heard_setpoint, wire.listened())
        self.supervisors = Supervisors(self, HEARTBEAT_AGE_S)
        self._may_arm = False
        """one wish, one flight: after it the wish has to cease before the next"""
        self._setpoint, self._setpoint_s = np.zeros(9), 0.0
        self._home = np.zeros(3)
        self._checked_s = self._since_s = 0.0
        self._errands = ThreadPoolExecutor(1)
        self._errand: Future[None] | None = None
        self._told: hosts.Telemetry | None = None
        self.state = "disarmed"

    def deactivate(self) -> None:
        """Lands it, if it flies."""
        if self.state in FLYING and self._errand is None:
            self._bring_down("the node was ended")
        self._errands.shutdown(wait=True)
        self.host.__exit__(None, None, None)
        if self._switch:
            self._switch.__exit__(None, None, None)
        self.state = "disarmed"
        self.tell(self.state)

    def tick(self, missed: int) -> None:
        try:
            self._told = self.host.telemetry()
            self._publish(self._told)
            self._act(self._told)
        except ConnectionError as error:
            self.state, self.why = "fallback", f"lost, and on its own: {error}"
        self.tell(self.state)
        self._policy_teller.tell(self._policy_report, self._policy_state())

    def report(self) -> wire.Report:
        level = {"armed": 0, "disarmed": 0, "taking_off": 0}.get(self.state, 2)
        rivals = self.supervisors.others()
        return wire.Report("device", self.session, self.state, {
            "interface_hash": self._policy.interface_hash, "device": self.host.where, "why": self.why,
            "refused": self.refused, "supervisor": self.supervisors.session,
            "other_supervisors": " ".join(rivals), "policy": self.session,
            "last_rung": "False",
        }, max(level, 1 if self.refused or rivals else 0))  # fmt: skip

    def _act(self, told: hosts.Telemetry) -> None:
        now = time.monotonic()
        if self.supervisors.estop and self.state != "stopped":
            self.host.stop()
            self._go("stopped", "E-stop")
        elif self.state == "stopped":
            if not self.supervisors.estop:
                self._go("disarmed", "")
        elif self._errand is not None:
            self._await_errand()
        elif self.state == "disarmed":
            self._on_the_ground(now)
        elif self.state == "taking_off":
            self._taking_off(told, now)
        elif self.state == "armed":
            self._in_the_air(told, now)

    def _on_the_ground(self, now: float) -> None:
        if now - self._checked_s > CHECK_S:
            self._checked_s = now
            failed = [c for c in self.host.preflight(self._policy) if not c.ok]
            self.refused = "; ".join(f"{c.what}: {c.found} ({c.remedy})" for c in failed)
        wishes = self.supervisors.wishing("arm")
        self._may_arm |= not wishes
        if not wishes or self.refused or not self._may_arm:
            return
        self.refused = self.supervisors.refusal(self._policy.interface_hash)
        if self.refused:
            return
        self.supervisors.session, self.why, self._may_arm = wishes[0].session, "", False
        height = float(self.value("height_m"))
        assert self._told is not None
        self._home = self._told.position_m + np.array([0.0, 0.0, height])
        self._go("taking_off", f"for {self.supervisors.session}")

        def take_off() -> None:
            self.host.arm()
            self.host.take_off(height, TAKE_OFF_S)

        self._send(take_off)

    def _taking_off(self, told: hosts.Telemetry, now: float) -> None:
        if doubt := self._doubt(told):
            self._bring_down(doubt)
        elif now - self._since_s > TAKE_OFF_S + SETTLE_S:
            self._follow(told)
            if now - self._since_s > TAKE_OFF_S + SETTLE_S + self._limits.hand_over_s + 0.5:
                self._bring_down(told.ended or "the policy did not take over")
            elif not told.policy_flies:
                self.host.hand_over()
            else:
                self._go("armed", "the policy flies")

    def _in_the_air(self, told: hosts.Telemetry, now: float) -> None:
        reference = self._follow(told)
        doubt = self._doubt(told, reference)
        if not told.policy_flies:
            doubt = told.ended or "the policy does not fly any more"
        if doubt:
            self._bring_down(doubt)

    def _doubt(self, told: hosts.Telemetry, reference_m: np.ndarray | None = None) -> str:
        if doubt := self.supervisors.doubt():
            return doubt
        if self.supervisors.wishing("disarm"):
            return "a supervisor asks to disarm"
        if self._switch and not self._switch.held():
            return "the dead man's switch was let go"
        if self.state == "armed" and time.monotonic() - self._setpoint_s > SETPOINT_AGE_S:
            return f"no setpoint for more than {SETPOINT_AGE_S:g} s"
        return doubt_of(told, self._home, self._limits, reference_m)

    def _follow(self, told: hosts.Telemetry) -> np.ndarray:
        """What was asked for last goes to the machine; home, before anything was."""
        fresh = time.monotonic() - self._setpoint_s <= SETPOINT_AGE_S and self.state == "armed"
        asked = self._setpoint if fresh else np.concatenate([self._home, np.zeros(6)])
        if fresh or self.state == "taking_off":
            self.host.setpoint(asked[:3], asked[3:6], asked[6:])
        return np.asarray(asked[:3])

    def _bring_down(self, why: str) -> None:
        self._go("fallback", why)
        self.why = why
        self.get_logger().error(f"its own controller lands it: {why}")

        def land() -> None:
            self.host.hand_back()
            self.host.land(LAND_S)

        self._send(land)

    def _send(self, errand: Callable[[], None]) -> None:
        """Whatever takes its time goes by a thread of its own, one at a time."""
        self._errand = self._errands.submit(errand)

    def _await_errand(self) -> None:
        assert self._errand is not None
        if not self._errand.done():
            return
        error, self._errand = self._errand.exception(), None
        if error is not None:
            self.why = str(error)
            self.get_logger().error(self.why)
        if self.state == "fallback":
            self.supervisors.session = ""
            self._go("disarmed", "landed" if error is None else self.why)
        elif error is not None:
            self._bring_down(self.why)

    def _go(self, state: str, why: str) -> None:
        if state != self.state:
            self.get_logger().info(f"{self.state} -> {state}: {why}")
        self.state, self._since_s = state, time.monotonic()

    def _publish(self, told: hosts.Telemetry) -> None:
        """A body rate is not told, so it is no number."""
        assert self._odom is not None
        parts = (told.position_m, told.attitude_wxyz, told.velocity_m_s, np.full(3, np.nan))
        self._odom.write(self._odom_message, {c.name: p for c, p in zip(self._odom.channels, parts, strict=True)})
        wire.put_stamp(self._odom_message.header, time.time_ns())
        self._odoms.publish(self._odom_message)
        self._applied.write_packed(self._applied_message, told.action)
        wire.put_stamp(self._applied_message.header, time.time_ns())
        self._applieds.publish(self._applied_message)

    def _policy_state(self) -> str:
        if self.state == "disarmed":
            return "waiting" if self.refused or not self._checked_s else "ready"
        return "acting" if self.state == "armed" else "ready" if self.state == "taking_off" else "tripped"

    def _policy_report(self) -> wire.Report:
        values = {"policy_hash": self._policy.policy_hash, "interface_hash": self._policy.interface_hash,
                  "why": self.refused or self.why, "complaint": self.refused}  # fmt: skip
        return wire.Report("policy", self.session, self._policy_state(), values, 1 if self.refused else 0)

    def _heard_setpoint(self, message: Any) -> None:
        try:
            values = self._setpoint_topic.read(message)
        except WrongMessage as error:
            self.refused = f"setpoint: {error}"
            return
        self._setpoint, self._setpoint_s = values[self._setpoint_topic.channels[0].name], time.monotonic()
