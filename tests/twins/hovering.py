"""A linear controller as a policy of the quadrotor's contract: it hovers, and needs no training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from robostack.export.graph import Graph
from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack.spec import PolicySpec
from robostack_sim.quadrotor import interface
from robostack_sim.quadrotor.vehicle import load_vehicle

VEHICLE = load_vehicle("crazyflie_2_1")
SPEC = PolicySpec(
    task="quadrotor",
    control_dt_s=0.01,
    observations=interface.channels(VEHICLE)[:5],
    actions=interface.actions(VEHICLE),
    envelope=interface.envelope(VEHICLE),
    provenance={"machine": VEHICLE.numbers},
)


class LinearHover:
    """Tilts against the error in position (rad/m) and the velocity (rad s/m); holds its attitude as the fallback."""

    def __init__(self, position: float, velocity: float) -> None:
        tilt_x, tilt_y, *rates, climb = np.array(interface.level_descend(VEHICLE).gain).T
        none = np.zeros(4)
        columns = [
            position * tilt_y, -position * tilt_x, 20.0 * climb,  # x, y, z of the error
            velocity * tilt_y, -velocity * tilt_x, 6.0 * climb,
            none, 2 * tilt_x, 2 * tilt_y, none,  # the quaternion, small
            *rates,
        ]  # fmt: skip
        self.weights = np.stack(columns, 1).astype(np.float32)
        self.bias = np.full(4, VEHICLE.hover_speed_rad_s, np.float32)

    def onnx(
        self, graph: Graph, channel_names: dict[str, str], applied_action: str, state: str | None
    ) -> tuple[str, str | None]:
        wanted = graph.op("Gather", channel_names["setpoint"], graph.constant(np.arange(3)), axis=1)
        error = graph.op("Sub", channel_names["position"], wanted)
        x = graph.op("Concat", error, *(channel_names[n] for n in ("velocity", "attitude", "body_rate")), axis=1)
        return graph.op("Gemm", x, graph.constant(self.weights), graph.constant(self.bias), transB=1), None

    def __call__(
        self, observation: Mapping[str, np.ndarray], applied_action: np.ndarray, state: np.ndarray | None, /
    ) -> tuple[np.ndarray, np.ndarray | None]:
        error = observation["position"] - observation["setpoint"][:, :3]
        x = np.concatenate([error, *(observation[n] for n in ("velocity", "attitude", "body_rate"))], 1)
        return x @ self.weights.T + self.bias, None


def hovering(path: Path, position: float, velocity: float, self_test_rows: int = 4, **changes: object) -> LoadedPolicy:
    actor = LinearHover(position, velocity)
    return export_onnx(actor, SPEC.model_copy(update=changes), path, reference=actor, self_test_rows=self_test_rows)
