"""The tiny policy: its contract, its arithmetic in numpy, and its firmware."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from robostack.export.contract_c import contract_table
from robostack.export.firmware import firmware_source
from robostack.spec import ActionChannel, Channel, Envelope, PolicySpec, RampTo, SelfTest, State
from robostack_real.twins.build import build_firmware, install_line, missing_tools

HERE = Path(__file__).parent / "tiny_policy"
POLICY_HASH = "c0" * 32
CHANNELS = ("position", "rate", "load")
SPEC = PolicySpec(
    task="tiny",
    control_dt_s=0.01,
    observations=(
        Channel(name="position", shape=(2,), low=(-10.0,), high=(10.0,)),
        Channel(name="rate", shape=(2,), low=(-10.0,), high=(10.0,)),
        Channel(name="load", shape=(1,), unit="1000 iterations", low=(0.0,), high=(1e6,)),
    ),
    actions=(ActionChannel(name="push", elements=("x", "y"), unit="N", low=(-1, -1), high=(1, 1), neutral=(0, 0)),),
    state=State(reset=(0.25, -0.25)),
    envelope=Envelope(fallback=(RampTo(target=(-0.5, 0.5), rate_per_s=(10.0, 10.0)),)),
    self_test=SelfTest(  # position, rate, load, applied action, state -> action, next state; exact in binary
        inputs=((1, -1, 0.5, 0.5, 0, 0, 0, 0, 0), (0, 0, 0, 1, 0, 0.5, -0.5, 0.25, -0.25)),
        outputs=((0.375, -0.625, 0.0625, -0.0625), (0.3125, -0.5625, 0.125, -0.125)),
    ),
)


class TinyPolicy:
    """What the board must compute, step by step, while nothing trips."""

    def __init__(self) -> None:
        self.applied = np.zeros(2, dtype=np.float32)
        self.state = np.array(SPEC.state.reset, dtype=np.float32)

    def step(self, values: np.ndarray) -> np.ndarray:
        x = values.astype(np.float32)
        half, quarter, eighth, sixteenth = (np.float32(2.0**-k) for k in (1, 2, 3, 4))
        action = half * x[:2] - quarter * x[2:4] + eighth * self.applied + self.state
        self.state = half * self.state + sixteenth * x[:2]
        self.applied = np.clip(action, np.float32(-1), np.float32(1))
        return self.applied


def write_generated(folder: Path, spec: PolicySpec = SPEC, policy_hash: str = POLICY_HASH) -> Path:
    """What the export would generate for the tiny policy."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "infer.c", folder)
    (folder / "contract.c").write_text(contract_table(spec, policy_hash))
    sizes = {"OBSERVATION": 5, "ACTION": 2, "STATE": 2, "CHANNELS": 3}
    (folder / "policy_sizes.h").write_text("".join(f"#define RS_MAX_{k} {n}u\n" for k, n in sizes.items()))
    return folder


def build(folder: Path, board: str, transport: str) -> Path:
    """The tiny policy's firmware; skips the test where the tools are missing, under CI=true fails it."""
    need(missing_tools(board), f"for {board}, tools")
    generated = folder / "generated"
    if not generated.exists():
        write_generated(generated)
    return build_firmware(
        firmware_source(), generated, folder / f"{board}-{transport}", board=board, transport=transport
    )


@pytest.fixture(scope="session")
def firmware(tmp_path_factory):
    """Builds the tiny policy's firmware for a board and a transport, each once a session."""
    folder = tmp_path_factory.mktemp("firmware")
    return functools.cache(lambda board, transport: build(folder, board, transport))


def need(missing: list[str], what: str) -> None:
    if missing:
        reason = f"{what} missing: {', '.join(missing)} ({install_line(missing)})"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}; under CI=true that is a failure")
        pytest.skip(reason)
