"""supervisor_node: who may activate, when, and why it ended.

    idle --start--> soft_start --all well for soft_start_s--> active --the device falls back--> fallback
      ^                                                          |                                 |
      '--reset-- stopped <--the ladder's end-- ending <-----stop-'---------------------------stop--'

Stop means the fallback first, to the end of its ladder, and then disarmed; E-stop means disarmed now.

Its heartbeat carries what it wishes of the device (`wish`: none, arm, fall_back, disarm) and the session of the policy
it means; the device arms on it, and falls back when it ceases. The supervisor commands no actuator and holds no latch.
In `fallback` it wishes nothing: the device's ladder is not cut short, and one that was started anew does not arm.

Services (relative to the node): start, stop, reset (std_srvs/Trigger), estop (std_srvs/SetBool). Topic: estop
(std_msgs/Bool, kept for latecomers); true from anybody stops.
"""

from __future__ import annotations

import time
from typing import Any

from robostack_real.nodes import wire
from robostack_real.nodes.node import Node

STATUS_AGE_S = 0.3
ARM_S = 2.0
"""that a device may take to arm when all is well"""
LADDER_S, DISARM_S = 5.0, 1.0
"""that the device may take to come to the end of its fallback, and to disarm"""
FLYING = ("taking_off", "armed", "fallback")
WISH = {
    "idle": "none", "soft_start": "none", "active": "arm", "fallback": "none", "ending": "fall_back",
    "stopped": "disarm",
}  # fmt: skip


class SupervisorNode(Node):
    ROLE = "supervisor"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.declare(
            "soft_start_s", 0.5, "for how long everything has to be well before the device is armed", 0.0, 60.0
        )
        self.declare("heartbeat_hz", 50.0, "how often the device hears of it", 10.0, 500.0)
        self.declare("autostart", False, "start as soon as policy and device are there")
        self.state, self.why = "idle", ""
        self._policy: wire.Report | None = None
        self._device: wire.Report | None = None
        self._speakers = wire.Speakers()

    def configure(self) -> None:
        self.period_s = 1.0 / float(self.value("heartbeat_hz"))
        self._heart = self.create_publisher(wire.message_type(wire.STATUS_TYPE), "heartbeat", wire.newest())
        self._estop = self.create_publisher(wire.message_type("std_msgs/msg/Bool"), "estop", wire.kept())
        status = wire.message_type(wire.STATUS_TYPE)
        self.create_subscription(status, "policy_status", self._heard_policy, wire.listened())
        self.create_subscription(status, "device_status", self._heard_device, wire.listened())
        self.create_subscription(status, "heartbeat", self._heard_heart, wire.listened())
        self.create_subscription(wire.message_type("std_msgs/msg/Bool"), "estop", self._heard_estop, wire.kept())
        from std_srvs.srv import SetBool, Trigger

        for name, act in (("start", self.start_flight), ("stop", self.stop), ("reset", self.reset)):
            self.create_service(Trigger, f"~/{name}", self._service(act))
        self.create_service(SetBool, "~/estop", self._serve_estop)
        self._message = wire.new(wire.STATUS_TYPE)
        self._autostart = bool(self.value("autostart"))
        self._since_s = time.monotonic()
        self._session: str = ""

    def deactivate(self) -> None:
        """Whoever ends the supervisor in good order wants the machine still. One that crashes falls silent instead, and
        the machine stays in its fallback."""
        if self.crashed:
            return
        self.stop()
        end = time.monotonic() + LADDER_S + DISARM_S
        while self._device and self._device.state in FLYING and time.monotonic() < end:
            if self.state == "ending":
                self._ending()
            self._beat()
            next_s = time.monotonic() + self.period_s
            while (left := next_s - time.monotonic()) > 0:  # its own heartbeat comes back at once and ends a wait
                self.wait(left)

    def tick(self, missed: int) -> None:
        acts = {"idle": self._idle, "soft_start": self._soft_start, "active": self._active, "ending": self._ending}
        acts.get(self.state, lambda: None)()
        self._beat()
        self.tell(self.state)

    def report(self) -> wire.Report:
        rivals = self._speakers.others(self.session)
        level = {"fallback": 2, "stopped": 1}.get(self.state, 1 if rivals else 0)
        device = self._device.state if self._device else ""
        policy = self._policy.state if self._policy else ""
        values = {"why": self.why, "device": device, "policy": policy, "other_supervisors": " ".join(rivals)}
        return wire.Report(self.ROLE, self.session, self.state, values, level)

    # what may be asked of it; each returns what was wrong, or nothing

    def start_flight(self) -> str:
        if self.state != "idle":
            return f"it is {self.state}, not idle" + ("; reset it first" if self.state == "stopped" else "")
        doubt = self._doubt()
        if not doubt:
            assert self._policy is not None
            self._session = self._policy.session
            self._go("soft_start", "asked")
        return doubt

    def stop(self) -> str:
        if self.state in ("active", "fallback"):
            self._go("ending", "asked to stop")
        elif self.state in ("idle", "soft_start"):
            self._go("stopped", "asked to stop")
        return ""

    def reset(self) -> str:
        if self.state != "stopped":
            return f"it is {self.state}; only what is stopped can be reset"
        device = self._device
        if device is not None and device.state in FLYING:  # the E-stop would be taken back before it has heard of it
            return f"the device was {device.state} when last heard; reset once it has stopped"
        self._say_estop(False)
        self._autostart = False
        self._go("idle", "reset")
        return ""

    # states

    def _idle(self) -> None:
        device = self._device
        if device is not None and device.age_s() < STATUS_AGE_S and device.state == "fallback":
            self._go("fallback", f"found it so: {device.values.get('why', '')}")  # its own supervisor was lost
        elif self._autostart and not self._doubt():
            self.start_flight()

    def _soft_start(self) -> None:
        doubt = self._doubt()
        if doubt:
            self._go("idle", f"soft start given up: {doubt}")
        elif time.monotonic() - self._since_s >= float(self.value("soft_start_s")):
            self._go("active", "all well")

    def _active(self) -> None:
        device = self._device
        if device is None or device.age_s() > STATUS_AGE_S:
            self._go("fallback", "the device does not tell its state any more")
        elif device.state == "fallback":
            self._go("fallback", device.values.get("why", ""))
        elif device.state == "stopped":
            self._go("stopped", "the device was stopped")
        elif device.state == "disarmed" and time.monotonic() - self._since_s > ARM_S:
            self._go("idle", f"the device did not arm: {device.values.get('refused') or 'no reason given'}")

    def _ending(self) -> None:
        device = self._device
        late = time.monotonic() - self._since_s > LADDER_S
        if device is None or device.state not in FLYING or device.values.get("last_rung") == "True" or late:
            self._go("stopped", "the fallback is at its end")

    def _doubt(self) -> str:
        """What speaks against a start; empty when nothing does."""
        policy, device = self._policy, self._device
        if policy is None or policy.age_s() > STATUS_AGE_S:
            return "no policy_node tells its state"
        if device is None or device.age_s() > STATUS_AGE_S:
            return "no device tells its state"
        if self._session and self.state == "soft_start" and policy.session != self._session:
            return "the policy was started anew"
        if policy.values.get("interface_hash") != device.values.get("interface_hash"):
            return "policy and device have different contracts: start both from one policy.onnx"
        if policy.state != "ready":
            why = policy.values.get("complaint") or policy.values.get("why") or "not all of its channels have come"
            return f"the policy is {policy.state}: {why}"
        rivals = self._speakers.others(self.session)
        rivalry = f"{' and '.join(rivals)} also supervises; end one" if rivals else ""
        return rivalry if device.state == "disarmed" else f"the device is {device.state}, not disarmed"

    def _go(self, state: str, why: str) -> None:
        text = f"{self.state} -> {state}: {why}"
        if state == "fallback":
            self.get_logger().warning(text)
        else:
            self.get_logger().info(text)
        self.state, self.why, self._since_s = state, why, time.monotonic()

    def _beat(self) -> None:
        interface = self._policy.values.get("interface_hash", "") if self._policy else ""
        values = {"wish": WISH[self.state], "policy": self._session, "interface_hash": interface}
        self._heart.publish(wire.Report(self.ROLE, self.session, self.state, values).put(self._message))

    def _say_estop(self, on: bool) -> None:
        message = wire.new("std_msgs/msg/Bool")
        message.data = on
        self._estop.publish(message)

    def _heard_estop(self, message: Any) -> None:
        if message.data and self.state != "stopped":
            self._go("stopped", "E-stop")

    def _serve_estop(self, request: Any, response: Any) -> Any:
        if request.data:
            self._say_estop(True)
            self._go("stopped", "E-stop")
            response.success, response.message = True, "stopped"
        else:
            response.message = self.reset()
            response.success = not response.message
        return response

    def _service(self, act: Any) -> Any:
        def serve(request: Any, response: Any) -> Any:
            response.message = act()
            response.success = not response.message
            return response

        return serve

    def _heard_heart(self, message: Any) -> None:
        self._speakers.heard(message.hardware_id)

    def _heard_policy(self, message: Any) -> None:
        self._policy = wire.Report.of(message)

    def _heard_device(self, message: Any) -> None:
        self._device = wire.Report.of(message)
