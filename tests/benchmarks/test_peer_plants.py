"""Claims: a peer that is given our numbers flies as MuJoCo does: a gap in the table is no fault of its adapter."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.mujoco_plant import MujocoPlant

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def plant_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of a peer's plant; skips where the peer is not installed, as the benchmark does."""

    def load(peer: str) -> Any:
        pytest.importorskip(peer)
        monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        return importlib.import_module(f"_plant_{peer}")

    return load


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("peer", "name", "vehicle", "options"),
    [
        ("l2f", "L2fPlant", "crazyflie_l2f", {"substeps": 10}),  # no drag in either
        ("crazyflow", "CrazyflowPlant", "crazyflie_2_1", {"integrator": "rk4", "freq_hz": 500}),
    ],
)
def test_with_our_numbers_a_peer_flies_as_mujoco(
    plant_of: Any, peer: str, name: str, vehicle: str, options: dict[str, Any]
) -> None:
    config = QuadrotorConfig(num_envs=8, vehicle=vehicle, box_m=100.0, moment_std=1e-3)
    theirs = getattr(plant_of(peer), name)(config, 3, **options)
    mujoco, draw = MujocoPlant(config, 3), torch.Generator().manual_seed(0)
    for _ in range(30):
        action = 1450.0 + 300.0 * (torch.rand(8, 4, generator=draw) - 0.5)
        theirs.step(action)
        mujoco.step(action)
    off = (theirs.state - mujoco.state).abs()
    assert off[:, 0:3].max() < 1e-4  # m
    assert off[:, 3:7].max() < 2e-3
    assert off[:, 7:10].max() < 2e-3  # m/s
    assert off[:, 13:17].max() < 0.1  # rad/s
