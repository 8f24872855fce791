"""board_node: hardware in the loop. The policy and its envelope run on a board; ROS 2 asks and watches.

The board is the clock and owns the latch: this node carries what the simulated machine measures to it by serial line,
and its actions back, as many periods as passed on the board. What ROS 2 sends reaches it as a channel with an age, the
setpoint; a supervisor that falls silent or asks for the fallback is answered by no longer passing that on, so that the
board's own envelope acts. A board that is lost leaves the motor controllers to their time-out: the last command for
ESC_TIMEOUT_S, then neutral.

To the supervisor this node is the device and the policy both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from robostack import boards
from robostack.export.firmware import export_firmware
from robostack.messages import Topic, WrongMessage, observation_topics
from robostack.runtime.controller import Sample
from robostack.runtime.envelope import Array, Reason, Status
from robostack.spec import PolicySpec
from robostack_real.nodes import wire
from robostack_real.nodes.device_node import ARRIVED, ENDED
from robostack_real.nodes.sim_node import SimNode
from robostack_real.twins.behind_board import ESC_TIMEOUT_S

READY_S = 0.2


class Remote:
    """A board in the place of a robostack.runtime.controller.Controller."""

    def __init__(self, board: boards.Session, spec: PolicySpec) -> None:
        self._board, self.spec = board, spec
        self._ages_s = {c.name: 0.0 for c in spec.observations}
        self._last: Any = None
        self.periods = 1
        """that passed on the board in the last tick"""
        self.misses = 0

    @property
    def status(self) -> Status:
        last = self._last
        if last is None:
            return Status(False, False, Reason.NONE, None, -1, self._ages_s)
        name = None if last.channel is None else self.spec.observations[last.channel].name
        return Status(last.armed, last.tripped, last.reason, name, -1 if last.rung is None else last.rung, self._ages_s)

    def arm(self, armed: bool = True) -> None:
        """Raises ConnectionError when it is lost, Refused when it says no."""
        if armed:
            self._board.arm()
        else:
            self._board.disarm()

    def tick(self, samples: Mapping[str, Sample | None], missed: int = 0) -> Array:
        values, fresh, ages = np.zeros(self.spec.observation_size, np.float32), [], []
        start = 0
        for c in self.spec.observations:
            sample = samples.get(c.name)
            fresh.append(sample is not None)
            ages.append(sample[1] if sample else 0.0)
            if sample:
                values[start : start + c.size] = np.ravel(sample[0])
            self._ages_s[c.name] = sample[1] if sample else self._ages_s[c.name] + self.spec.control_dt_s
            start += c.size
        answer = self._board.observe(values, fresh, ages)
        self.periods = max(1, answer.tick - self._last.tick) if self._last else 1
        self.misses = answer.deadline_misses
        self._last = answer
        return np.array(answer.action, np.float32)


class BoardNode(SimNode):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.declare("board", "auto", "which board (`robostack list`); auto: emulated where its tools are")
        self._policy_teller = wire.Teller(self, "policy_status")
        self._lost = ""

    def configure(self) -> None:
        super().configure()
        self.paced = False  # the board's timer does it
        kind = boards.choose(str(self.value("board")))
        self._folder = TemporaryDirectory(prefix="robostack-")
        firmware = Path(self._folder.name) / "firmware"
        export_firmware(self.policy, firmware)
        self._serial = kind.serial(firmware)
        board = self._serial.__enter__()
        board.check(self.spec, self.policy.policy_hash)
        board.disarm()
        board.reset()
        self.get_logger().info(f"{kind.name}: runs policy {self.policy.policy_hash[:12]}")
        self.controller: Any = Remote(board, self.spec)
        self._commanded: dict[str, tuple[Any, float]] = {}
        self._whole_since_s = time.monotonic()
        measured = set(self.device.channels)
        for topic in observation_topics(self.spec):
            if not {c.name for c in topic.channels} & measured:
                self.create_subscription(wire.message_type(topic.type), topic.name, self._listener(topic),
                                         wire.listened())  # fmt: skip
        self._last_s = time.monotonic()

    def deactivate(self) -> None:
        try:
            super().deactivate()
        except ConnectionError as error:
            self.get_logger().error(str(error))
        self._serial.__exit__(None, None, None)
        self._folder.cleanup()

    def _flies(self) -> bool:
        return super()._flies() and not self._lost

    def tick(self, missed: int) -> None:
        for _ in range(ARRIVED):  # what has arrived; the board's answer is what paces us
            self.wait(0.0)
        stamp_ns = self.stamp_ns()
        samples: dict[str, Sample | None] = dict(self.device.read())
        self._publish(samples, stamp_ns)
        now = time.monotonic()
        silent = self._silence()
        if not silent:
            samples |= {name: (value, now - came) for name, (value, came) in self._commanded.items()}
        self._commanded.clear()
        try:
            if not self._lost:
                self._obey()
                self._got, self._last_s = self.controller.tick(samples), now
        except ConnectionError as error:
            self._lost = str(error)
            self.state, self.why = "fallback", f"the board is lost: {error}"
            self.get_logger().error(self.why)
        if self._lost:
            self._without_a_board(now)
        for _ in range(self.controller.periods):
            self.device.write(self._got)
        status = self.controller.status
        if status.tripped and self.state == "armed":
            self.state, self.fallbacks = "fallback", self.fallbacks + 1
            self.why = silent or f"{status.reason.name.lower()} {status.channel or ''}".strip()
            self.get_logger().error(f"fallback: {self.why}")
        self._tell_applied(self._got, stamp_ns)
        self.tell_truth()
        self.tell(self.state)
        whole = all(self.controller.status.age_s[c.name] <= c.max_age_s for c in self.spec.observations)
        self._whole_since_s = self._whole_since_s if whole else now
        self._policy_teller.tell(self._policy_report, self._policy_state())

    def _without_a_board(self, now: float) -> None:
        """The plant's motor controllers, of which nobody asks anything any more."""
        time.sleep(self.period_s)
        self.controller.periods = 1
        if now - self._last_s > ESC_TIMEOUT_S:
            self._got = np.array(self.spec.action_limit("neutral"), np.float32)

    def _silence(self) -> str:
        """Why the setpoint is not passed on, in flight."""
        if self.state not in ("armed", "fallback"):
            return ""
        if self._ending:
            return ENDED
        return self.supervisors.doubt()

    def _refusal(self, policy: str) -> str:
        late = [c.name for c in self.spec.observations if self.controller.status.age_s[c.name] > c.max_age_s]
        return f"channels are old: {' '.join(late)}" if late else ""

    def _policy_state(self) -> str:
        if self.state in ("armed", "fallback"):
            return "acting" if self.state == "armed" else "tripped"
        return "ready" if time.monotonic() - self._whole_since_s > READY_S and not self._lost else "waiting"

    def _policy_report(self) -> wire.Report:
        values = {
            "policy_hash": self.policy.policy_hash, "interface_hash": self.policy.interface_hash, "why": self._lost,
            "deadline_misses": self.controller.misses,
            **{f"age_{n}_s": a for n, a in self.controller.status.age_s.items()},
        }  # fmt: skip
        return wire.Report("policy", self.session, self._policy_state(), wire.texts(values), 2 if self._lost else 0)

    def _listener(self, topic: Topic) -> Any:
        def heard(message: Any) -> None:
            try:
                values = topic.read(message)
            except WrongMessage as error:
                self.refused = f"{topic.name}: {error}"
                return
            self._commanded |= {name: (value, time.monotonic()) for name, value in values.items()}

        return heard
