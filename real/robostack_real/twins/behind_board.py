"""A simulated machine whose actuators hang on an emulated board; the policy is elsewhere.

The board is a plain device: it gets an action each period, and its envelope, the policy's own, stands before the
actuators. Its firmware is generated as any other, from a policy that passes on what it is told: channel
`commanded_action`, which may be as old as the machine's quickest sensor. So an action beyond its limits is clamped, and
on one that is late or no number, or on a tumble, the board falls back by the contract's ladder, whoever is still alive.

URIs are board://BOARD/SCENARIO: board://auto/hover; boards are those of `robostack list`, scenarios the task's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import onnx
from onnx import TensorProto, helper

from robostack import boards
from robostack.export.firmware import export_firmware
from robostack.export.onnx import LoadedPolicy, wrap_onnx
from robostack.export.profile import IR_VERSION, OPSET
from robostack.runtime.controller import Sample
from robostack.runtime.envelope import Array
from robostack.spec import Channel, ContractError, PolicySpec
from robostack_real.twins.simulated import Simulated

COMMAND = "commanded_action"
ESC_TIMEOUT_S = 0.1
"""on the last command, after which a motor controller without news stops its rotor"""


class BehindBoard:
    """See robostack.devices.Device. Its period is the board's: a write returns when one has passed."""

    paces = True

    def __init__(self, uri: str, policy: LoadedPolicy) -> None:
        board, _, scenario = uri.partition("://")[2].partition("/")
        if not scenario:
            raise ContractError(f"{uri}: give a board and a scenario, such as board://auto/hover")
        self.where, self.tripped = uri, ""
        self._plant = Simulated(f"sim://{scenario}", policy)
        self.channels, self.changes = self._plant.channels, self._plant.changes
        self._kind = boards.choose(board)
        self._policy, self._open = policy, ExitStack()
        self._applied = self._neutral = np.array(policy.spec.action_limit("neutral"), np.float32)
        self._tick, self._answered_s = 0, time.monotonic()
        self._lost = ""

    def __enter__(self) -> Self:
        """Builds the board's firmware and starts it. Raises ContractError, ConnectionError."""
        with ExitStack() as opened:
            folder = Path(opened.enter_context(TemporaryDirectory(prefix="robostack-")))
            relay = relay_of(self._policy.spec, self.channels, folder / "relay.onnx")
            export_firmware(relay, folder / "firmware")
            self._board = opened.enter_context(self._kind.serial(folder / "firmware"))
            self._board.check(relay.spec, relay.policy_hash)
            self._board.disarm()
            self._board.reset()
            self._names = [c.name for c in relay.spec.observations]
            self._open = opened.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def read(self) -> Mapping[str, Sample]:
        return self._plant.read()

    def arm(self) -> None:
        self._plant.arm()
        self._board.arm()

    def write(self, action: Array) -> Array:
        try:
            periods = self._exchange(action)
        except ConnectionError as error:
            self._lost = self.tripped = f"the board is lost: {error}"
        if self._lost:
            periods = self._without_a_board()
        for _ in range(periods):
            self._plant.write(self._applied)
        return self._applied

    def stop(self) -> None:
        self._plant.stop()
        try:
            if not self._lost:
                self._board.disarm()
        except ConnectionError as error:
            self._lost = f"the board is lost: {error}"
        self.tripped = self._lost

    def snapshot(self) -> Mapping[str, Array]:
        return self._plant.snapshot()

    def _exchange(self, action: Array) -> int:
        """What the board makes of this period; how many passed there."""
        if self._lost:
            return 0
        sent = {**{name: value for name, (value, _) in self.read().items()}, COMMAND: action}
        values = np.concatenate([np.ravel(sent[name]) for name in self._names]).astype(np.float32)
        answer = self._board.observe(values)
        periods = max(1, answer.tick - self._tick) if self._tick else 1
        self._tick, self._answered_s, self._applied = answer.tick, time.monotonic(), np.array(answer.action, np.float32)
        if answer.armed and answer.tripped and not self.tripped:
            channel = "" if answer.channel is None else f" {self._names[answer.channel]}"
            self.tripped = f"the board fell back: {answer.reason.name.lower()}{channel}"
        return periods

    def _without_a_board(self) -> int:
        """The motor controllers, of which nobody asks anything any more."""
        time.sleep(self._policy.spec.control_dt_s)
        if time.monotonic() - self._answered_s > ESC_TIMEOUT_S:
            self._applied = self._neutral
        return 1


def relay_of(spec: PolicySpec, channels: tuple[str, ...], path: Path) -> LoadedPolicy:
    """Writes a policy that passes on the action it is told, behind the envelope of `spec`; it reads `channels`, those
    that the machine measures, and the command.

    Raises ContractError when the envelope needs a channel that is not measured.
    """
    measured = tuple(c for c in spec.observations if c.name in channels)
    ends = [(low, high) for low, high in zip(spec.action_limit("low"), spec.action_limit("high"), strict=True)]
    command = Channel(
        name=COMMAND, shape=(spec.action_size,), elements=spec.action_names, source="command", hold_periods=0,
        unit=", ".join(dict.fromkeys(a.unit for a in spec.actions)), max_age_s=min(c.max_age_s for c in measured),
        low=tuple(2 * low - high for low, high in ends), high=tuple(2 * high - low for low, high in ends),
    )  # fmt: skip
    changed: dict[str, Any] = {
        "observations": (*measured, command),
        "state": {},
        "self_test": None,
        "calibration": None,
    }
    try:
        relayed = PolicySpec.model_validate({**dict(spec), **changed})
    except ValueError as error:
        raise ContractError(f"the machine measures {', '.join(channels)}: {error}") from error
    inputs = [*((c.name, c.shape) for c in relayed.observations), ("applied_action", (spec.action_size,))]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]) for name, shape in inputs]
    action = helper.make_tensor_value_info("action", TensorProto.FLOAT, ["N", spec.action_size])
    graph = helper.make_graph([helper.make_node("Identity", [COMMAND], ["action"], "relay")], "relay", infos, [action])
    plain = path.with_suffix(".plain.onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION), plain)
    return wrap_onnx(plain, relayed, path)
