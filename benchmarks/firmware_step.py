"""One control period on an emulated Cortex-M4F, float32 and int16: counted instructions and modelled cycles, function
by function, and the memory that an image takes, object by object.

    python benchmarks/firmware_step.py [--policy policy.onnx]

By default the policy is a 22-64-64-4 network with random weights behind the quadrotor's features, normaliser
and rotor observer: what a period takes does not depend on the weights. Flash and RAM are those of policy, envelope and
link: what they add to a firmware that has memcpy and memset. The self-test's vectors are flash, too.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import row, write

from robostack.export import self_test
from robostack.export.board import BoardPolicy
from robostack.export.calibration import calibrated
from robostack.export.cycles import step_cost
from robostack.export.firmware import Precision, export_firmware
from robostack.export.footprint import footprint
from robostack.export.graph import Graph
from robostack.export.host import HostPolicy
from robostack.export.onnx import LoadedPolicy, export_onnx, load_policy
from robostack.features import Difference, FeatureStack, FirstOrderLag, Pick, RotationMatrix, Scale
from robostack.runtime.runner import Runner
from robostack.spec import (
    ActionChannel,
    Channel,
    ContractError,
    Cut,
    Envelope,
    LevelDescend,
    PolicySpec,
    State,
    Tumble,
)
from robostack.task import Layout

CORE_HZ = 168e6
CYCLES_BARS: dict[Precision, int] = {"float32": 38_000, "int16": 24_000}
FLASH_BARS: dict[Precision, int] = {"float32": 34 * 1024, "int16": 22 * 1024}
RAM_BAR = 2048
SUMMARY = 8
"""rows of a precision before its functions and objects"""
ADDED = ("policy", "kernels", "kernels_int16", "controller", "envelope", "frame", "protocol", "server")
SERVER = "main_usart.o"
"""Its RAM is the server: envelope, controller, and the link's buffers."""
L2F_INSTRUCTIONS = 53_400
"""L2F's 146-64-64-4 actor alone, -O3, counted on the same emulated board."""
TOP_RAD_S = 2273.0
CHANNELS = (
    Channel(name="position", shape=(3,), unit="m", low=(-100.0,), high=(100.0,)),
    Channel(name="velocity", shape=(3,), unit="m/s", low=(-30.0,), high=(30.0,)),
    Channel(name="attitude", shape=(4,), unit="quat_wxyz", low=(-1.01,), high=(1.01,)),
    Channel(name="body_rate", shape=(3,), unit="rad/s", low=(-40.0,), high=(40.0,)),
    Channel(name="setpoint", shape=(3,), unit="m", low=(-100.0,), high=(100.0,), source="command"),
)
FEATURES = (
    Difference(Pick("position"), Pick("setpoint"), limit=1.0),
    Scale(Pick("velocity")),
    RotationMatrix(Pick("attitude")),
    Scale(Pick("body_rate"), gain=0.1),
    FirstOrderLag(Pick("applied_action"), 0.072, reset=1450.0, gain=1 / TOP_RAD_S, bias=1450.0),
)
SPEC = PolicySpec(
    task="quadrotor",
    control_dt_s=0.01,
    observations=CHANNELS,
    actions=(
        ActionChannel(
            name="rotor_speed",
            elements=("m1", "m2", "m3", "m4"),
            unit="rad/s",
            low=(0.0,) * 4,
            high=(TOP_RAD_S,) * 4,
            neutral=(0.0,) * 4,
        ),
    ),
    state=State(reset=(1450.0,) * 4),
    envelope=Envelope(
        fallback=(LevelDescend(base=(1334.0,) * 4, gain=((0.0,) * 6,) * 4), Cut(value=(0.0,) * 4)),
        tumble=Tumble(max_tilt_rad=2.2, for_s=0.5),
    ),
)


class RandomActor:
    """The features above, a normaliser, and three random tanh layers."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        applied = Channel(name="applied_action", shape=(4,))
        self.stack = FeatureStack(FEATURES, Layout((*CHANNELS, applied)), SPEC.control_dt_s)
        self.mean = random.normal(0, 0.1, self.stack.output_size).astype(np.float32)
        widths = (self.stack.output_size, 64, 64, 4)
        self.layers = [
            (
                random.normal(0, i**-0.5, (o, i)).astype(np.float32),
                random.normal(0, 0.1, o).astype(np.float32),
            )
            for i, o in pairwise(widths)
        ]

    def onnx(
        self, graph: Graph, channel_names: dict[str, str], applied_action: str, state: str | None
    ) -> tuple[str, str | None]:
        y, next_state = self.stack.onnx(graph, {**channel_names, "applied_action": applied_action}, state or "")
        y = graph.op("Mul", graph.op("Sub", y, graph.constant(self.mean)), graph.constant(np.array([2.0], np.float32)))
        for weights, bias in self.layers:
            y = graph.op("Gemm", y, graph.constant(weights), graph.constant(bias), transB=1)
            y = graph.op("Tanh", y)
        half = graph.constant(np.array([TOP_RAD_S / 2], np.float32))
        return graph.op("Add", graph.op("Mul", y, half), half), next_state

    def __call__(
        self, observation: Mapping[str, np.ndarray], applied_action: np.ndarray, state: np.ndarray | None, /
    ) -> tuple[np.ndarray, np.ndarray | None]:
        packed = np.concatenate([*observation.values(), applied_action], 1)
        features, next_state = self.stack(torch.from_numpy(packed), torch.from_numpy(np.array(state)))
        y = (features.numpy() - self.mean) * np.float32(2.0)
        for weights, bias in self.layers:
            y = np.tanh(y @ weights.T + bias)
        return y * np.float32(TOP_RAD_S / 2) + np.float32(TOP_RAD_S / 2), next_state.numpy()


def measure(policy: LoadedPolicy, precision: Precision, periods: int, folder: Path) -> list[dict[str, Any]]:
    """A period near home, whether 1000 rows give the same bits as on this machine, and the image's memory."""
    board = BoardPolicy(policy, folder / f"replay_{precision}", precision)
    assert policy.spec.self_test is not None
    home = np.array(policy.spec.self_test.inputs[:1], np.float32)[:, : policy.spec.observation_size]
    cost = step_cost(board, np.tile(home, (periods, 1)))
    drawn = self_test.draw(policy.spec, Runner(policy).infer, 1000, seed=1)
    on_board, on_host = board.rows(drawn), HostPolicy(policy, precision).rows(drawn)
    same = bool((on_board.view(np.uint32) == on_host.view(np.uint32)).all())
    alone = sum(f.instructions for f in cost.functions if f.name.startswith(("rs_dense", "rs_tanh", "rs_sigmoid")))

    export_firmware(policy, folder / precision, precision)
    subprocess.run(["make", "-s", "-C", folder / precision, f"BUILD={folder / precision}"], check=True)
    objects = footprint(folder / precision / "firmware.elf").by_object
    added = [objects[f"{name}.o"] for name in ADDED if f"{name}.o" in objects]
    vectors = 4 * sum(len(v) for v in (*policy.spec.self_test.inputs, *policy.spec.self_test.outputs))
    ram = sum(bytes_ for _, bytes_ in added) + objects[SERVER][1]
    return [
        row(f"control period, {precision}, modelled cycles", cost.cycles, "cycles", CYCLES_BARS[precision]),
        row(f"control period, {precision}", cost.instructions, "instructions"),
        row(f"network alone, {precision}", alone, "instructions", reference="L2F's actor alone",
            reference_value=L2F_INSTRUCTIONS),
        row(f"control period at 168 MHz, {precision}", cost.cycles / CORE_HZ * 1e6, "us"),
        row(f"bit for bit as host C, {precision}, 1000 rows", float(same), "of 1", 1, better="higher"),
        row(f"flash of policy, envelope and link, {precision}", sum(f for f, _ in added), "B", FLASH_BARS[precision]),
        row(f"of it self-test vectors, {precision}", vectors, "B"),
        row(f"RAM of policy, envelope and link, {precision}", ram, "B", RAM_BAR),
        *(row(f"{precision}, {f.name}", f.cycles, "cycles") for f in cost.functions),
        *(row(f"{precision}, {name}: flash", size, "B") for name, (size, _) in objects.items() if size),
        *(row(f"{precision}, {name}: RAM", size, "B") for name, (_, size) in objects.items() if size),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policy", type=Path, help="an exported policy instead of the default one")
    parser.add_argument("--quick", action="store_true", help="20 periods instead of 200")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="robostack-") as name:
        folder, actor = Path(name), RandomActor(seed=0)
        policy = calibrated(
            load_policy(options.policy)
            if options.policy
            else export_onnx(actor, SPEC, folder / "policy.onnx", reference=actor)
        )
        periods = 20 if options.quick else 200
        measured = [measure(policy, precision, periods, folder) for precision in CYCLES_BARS]
    rows = [r for found in measured for r in found[:SUMMARY]] + [r for found in measured for r in found[SUMMARY:]]
    write("firmware_step", rows, options.out)
    missed = [
        r["what"] for r in rows if r["bar"] and (r["value"] - r["bar"]) * (-1 if r["better"] == "higher" else 1) > 0
    ]
    if missed:
        raise SystemExit(f"firmware_step: missed {'; '.join(missed)}")


if __name__ == "__main__":
    try:
        main()
    except ContractError as error:
        raise SystemExit(f"firmware_step: {error}") from error
