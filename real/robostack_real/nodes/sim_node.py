"""sim_node: any task as if it were the robot, stepped synchronously, in real time or faster.

In lockstep every period waits for the policy's answer to its observation, whatever the clock says; a policy that does
not answer within `answer_s` is a lost one, and the period goes on without. What is true, beside what was measured, goes
out as `truth`.
"""

from __future__ import annotations

import time
from typing import Any

from robostack.messages import topics
from robostack.spec import ContractError
from robostack_real.nodes import wire
from robostack_real.nodes.device_node import DeviceNode


class SimNode(DeviceNode):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.declare("lockstep", False, "as fast as the policy answers, instead of in real time")
        self.declare("answer_s", 1.0, "in lockstep: how long an answer is waited for", 0.01, 60.0)
        self.periods = 0

    def configure(self) -> None:
        super().configure()
        self._lockstep = bool(self.value("lockstep"))
        self._answer_s = float(self.value("answer_s"))
        self._began_ns = time.time_ns()
        body = [c for c in self.spec.observations if c.name in self.device.snapshot()]
        self._truth = next((t for t in topics(tuple(body)) if t.name == "odom"), None)
        if self._truth:
            self._truth_message = self._truth.blank(wire.new)
            self._truths = self.create_publisher(wire.message_type(self._truth.type), "truth", wire.newest())
        if self._lockstep and self.device.paces:
            raise ContractError(f"parameter lockstep: {self.device.where} keeps its own time")
        self.paced = self.paced and not self._lockstep

    def stamp_ns(self) -> int:
        """In lockstep a period is a period."""
        self.periods += 1
        in_step = self._began_ns + round(self.periods * self.period_s * 1e9)
        self._stamp_ns = in_step if self._lockstep else time.time_ns()
        return self._stamp_ns

    def await_answer(self, stamp_ns: int) -> None:
        if not self._lockstep:
            super().await_answer(stamp_ns)
            return
        end = time.monotonic() + (self._answer_s if self._policy else 0.5 * self.period_s)
        while self._answered_ns != stamp_ns and (left := end - time.monotonic()) > 0:
            self.rest(left)

    def tick(self, missed: int) -> None:
        super().tick(0 if self._lockstep else missed)
        self.tell_truth()

    def tell_truth(self) -> None:
        if self._truth:
            self._truth.write(self._truth_message, self.device.snapshot())
            wire.put_stamp(self._truth_message.header, self._stamp_ns)
            self._truths.publish(self._truth_message)
