"""Who supervises a machine, as the machine hears it: heartbeats with their wishes, and the E-stop.

One supervisor arms, and is the one whose silence or wish for the fallback ends the flight. A second that speaks keeps
the machine from arming; in flight it is told of and nothing but its `disarm` is obeyed: anybody may stop.
"""

from __future__ import annotations

from typing import Any

from robostack_real.nodes import wire

FORGOTTEN_S = 10.0


class Supervisors:
    def __init__(self, node: Any, max_age_s: float) -> None:
        self.max_age_s = max_age_s
        """silence that is borne"""
        self.session = ""
        """of the one that armed; empty on the ground"""
        self.estop = False
        self._hearts: dict[str, wire.Report] = {}
        node.create_subscription(wire.message_type(wire.STATUS_TYPE), "heartbeat", self._heard, wire.listened())
        node.create_subscription(wire.message_type("std_msgs/msg/Bool"), "estop", self._heard_estop, wire.kept())

    def wishing(self, wish: str) -> list[wire.Report]:
        return [h for h in self._speaking() if h.values.get("wish") == wish]

    def others(self) -> list[str]:
        """Sessions that speak beside the one that armed."""
        return [h.session for h in self._speaking() if self.session and h.session != self.session]

    def refusal(self, interface_hash: str) -> str:
        """What speaks against arming on such a wish; empty when nothing does."""
        speaking = self._speaking()
        if len(speaking) > 1:
            return f"{' and '.join(h.session for h in speaking)} both supervise this machine; end one"
        if any(h.values.get("interface_hash") != interface_hash for h in speaking):
            return "the policy's interface is not the device's: start both from one policy.onnx"
        return ""

    def doubt(self) -> str:
        """Why a flight cannot go on; empty when it can."""
        heart = self._hearts.get(self.session)
        if heart is None or heart.age_s() > self.max_age_s:
            return f"the supervisor has been silent for more than {self.max_age_s:g} s"
        return "the supervisor asks for the fallback" if heart.values.get("wish") == "fall_back" else ""

    def _speaking(self) -> list[wire.Report]:
        return [h for h in self._hearts.values() if h.age_s() <= self.max_age_s]

    def _heard(self, message: Any) -> None:
        heart = wire.Report.of(message)
        self._hearts = {s: h for s, h in self._hearts.items() if h.age_s() < FORGOTTEN_S} | {heart.session: heart}

    def _heard_estop(self, message: Any) -> None:
        self.estop = bool(message.data)
