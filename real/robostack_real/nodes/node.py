"""What every node does alike: parameters with descriptions, its loop, and its life from start to Ctrl-C.

A node spins between the ticks of a fixed-rate loop, in one thread: what arrives is handled while the loop would sleep.
One whose period is longer than that of a status tells its state meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from robostack.export.onnx import LoadedPolicy
from robostack.runtime import loop
from robostack.signature import load_signed
from robostack.spec import ContractError
from robostack_real.nodes import wire
from robostack_real.nodes.realtime import RealTime


class Node(LifecycleNode):
    """A lifecycle node with a loop. Subclasses say what a period is (`period_s`, known once configured), what to do in
    it (`tick`), and how to come and go (`configure`, `activate`, `deactivate`), which may raise ContractError, OSError
    or ConnectionError: the transition then fails with that text."""

    ROLE: ClassVar[str]
    state: str

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(self.ROLE, **kwargs)
        self.session = wire.session(self.ROLE)
        self.period_s = 0.05
        self.active = False
        self.crashed = False
        """a tick raised; what happens next is no end in good order"""
        self.paced = True
        """by the clock; else a period follows the other"""
        self.wait: Callable[[float], object] = time.sleep
        """handles what arrives, for at most so many seconds; returns early when something did"""
        self.timing = loop.Timing(self.period_s)
        self.failed = ""
        """why the last transition failed"""
        self.realtime = RealTime(self)
        self._diagnostics = self.create_publisher(
            wire.message_type("diagnostic_msgs/msg/DiagnosticArray"), "/diagnostics", 10
        )
        self._teller = wire.Teller(self, f"{self.ROLE}_status")
        self._diagnosed_s = 0.0

    def declare(self, name: str, default: Any, description: str, low: float | None = None, high: float = 0.0) -> None:
        """A parameter; with `low` a float within [low, high]."""
        ranges = [] if low is None else [FloatingPointRange(from_value=low, to_value=high, step=0.0)]
        about = ParameterDescriptor(description=description, floating_point_range=ranges, read_only=True)
        self.declare_parameter(name, default, about)

    def value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def configure(self) -> None: ...
    def activate(self) -> None: ...
    def deactivate(self) -> None: ...
    def tick(self, missed: int) -> None: ...

    def meanwhile(self) -> None:
        """Between the ticks of a slow loop, and while one lasts: as often as a status is due at least."""
        self.tell(self.state)

    def report(self) -> wire.Report:
        raise NotImplementedError

    def declare_policy(self, description: str) -> None:
        self.declare("policy", "", description)
        self.declare("require_signature", "", "file of public keys, one of which has to have signed the policy")

    def load(self) -> LoadedPolicy:
        """The file that parameter `policy` names, signed where that is asked for; nothing in it is executed."""
        path, keys = str(self.value("policy")), str(self.value("require_signature"))
        if not path:
            raise ContractError("parameter policy: give the path of a policy.onnx")
        return load_signed(path, [keys] if keys else [])

    def tell(self, state: str) -> None:
        """The node's report, when it is time; and /diagnostics once a second."""
        self._teller.tell(self.report, state)
        now = time.monotonic()
        if now - self._diagnosed_s >= 1.0:
            self._diagnosed_s = now
            self._diagnostics.publish(self._diagnosis())

    def _diagnosis(self) -> Any:
        report, summary = self.report(), self.timing.as_dict()
        report.name = f"{self.get_namespace().rstrip('/')}/{report.name}"
        report.values |= wire.texts({"loop_ticks": summary["ticks"], "loop_late": summary["late"]})
        for part in ("jitter", "work"):
            report.values |= wire.texts({f"loop_{part}_{k}": summary[part][k] for k in ("p50_s", "p99_s", "max_s")})
        array = wire.new("diagnostic_msgs/msg/DiagnosticArray")
        wire.put_stamp(array.header, time.time_ns())
        array.status = [report.put(wire.new(wire.STATUS_TYPE))]
        return array

    def _tick(self, missed: int) -> None:
        if not self.active:
            self.wait(self.period_s)
            return
        try:
            self.tick(missed)
        except Exception:
            self.crashed = True
            raise

    # the transitions of a lifecycle node

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(self.configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        done = self._transition(self.activate)
        self.active = done == TransitionCallbackReturn.SUCCESS
        if self.active:
            self.realtime.settle()
            super().on_activate(state)
        return done

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active = False
        super().on_deactivate(state)
        return self._transition(self.deactivate)

    def _transition(self, what: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            what()
        except (ContractError, OSError, ImportError, LookupError) as error:
            self.failed = str(error)
            self.get_logger().error(self.failed)
            return TransitionCallbackReturn.FAILURE
        self.failed = ""
        return TransitionCallbackReturn.SUCCESS

    def start(self) -> bool:
        """Configures and activates; false, with `failed` saying why, when it could not."""
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                return False
        return True

    def spin(self, executor: Any, periods: int | None = None) -> loop.Timing:
        """Runs the loop until Ctrl-C; leaving deactivates the node."""
        self.wait = executor.spin_once
        return self.run(self._tick, lambda: self.trigger_deactivate() if self.active else None, periods)

    def rest(self, seconds: float) -> None:
        """`wait`, and `meanwhile` where the loop is slow."""
        if self.period_s <= wire.STATUS_PERIOD_S:
            self.wait(seconds)
        else:
            self.wait(min(seconds, wire.STATUS_PERIOD_S))
            self.meanwhile()

    def run(self, tick: Callable[[int], None], stop: Callable[[], object], periods: int | None = None) -> loop.Timing:
        """loop.run at the node's pace."""
        self.timing = loop.Timing(self.period_s)
        return loop.run(
            tick,
            self.period_s,
            stop=stop,
            periods=periods,
            sleep=self.rest,
            timing=self.timing,
            clock=time.monotonic if self.paced else lambda: self.timing.ticks * self.period_s,
        )
