"""PyPI's l2f as a plant: its rotors and its rigid body, one Runge-Kutta step of fourth order a control period.

Its parameters are written over by the task's, by its own JSON. It has no drag. A constant force is part of its gravity,
and a constant moment an offset of its rotors' thrust, because its disturbances cannot be set from Python.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import l2f
import numpy as np
import torch
from torch import Tensor

from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.foreign_plant import BODY, Drive, ForeignPlant
from robostack_sim.quadrotor.physics import P
from robostack_sim.quadrotor.vehicle import GRAVITY_M_S2, Vehicle


def shipped(like: Vehicle) -> Vehicle:
    """l2f's own numbers as a vehicle; what it does not have (sensors, battery, top rotor speed) is that of `like`."""
    device, environment, made = l2f.Device(), l2f.Environment(), l2f.Parameters()
    l2f.initialize_environment(device, environment)
    l2f.initial_parameters(device, environment, made)
    found = json.loads(l2f.parameters_to_json(device, environment, made))["dynamics"]
    top = like.rotor_speed_max
    c0, c1, c2 = found["rotor_thrust_coefficients"][0]  # N, of a rotor speed between 0 and 1
    return replace(
        like,
        name="l2f_shipped",
        mass=found["mass"],
        inertia=tuple(1.0 / found["J_inv"][k][k] for k in range(3)),  # J itself is printed to one digit
        rotor_x=tuple(p[0] for p in found["rotor_positions"]),
        rotor_y=tuple(p[1] for p in found["rotor_positions"]),
        rotor_spin=tuple(d[2] for d in found["rotor_torque_directions"]),
        thrust_curve=(c0, c1 / top, c2 / top**2),
        torque_to_thrust=found["rotor_torque_constants"][0],
        rotor_rise_time=found["rotor_time_constants_rising"][0],
        rotor_fall_time=found["rotor_time_constants_falling"][0],
        drag=(0.0, 0.0, 0.0),
    )


class L2fPlant(ForeignPlant):
    """`substeps` of its steps a control period; within a step it holds a command, here the time average."""

    def __init__(self, config: QuadrotorConfig | None = None, seed: int = 0, substeps: int = 1) -> None:
        super().__init__(config, seed)
        if self.config.gust_std:
            raise ValueError(f"gust_std = {self.config.gust_std}: this plant's forces are constant in an episode")
        self.substeps = substeps
        self._device, self._environment, self._rng = l2f.Device(), l2f.Environment(), l2f.Rng()
        l2f.initialize_environment(self._device, self._environment)
        l2f.initialize_rng(self._device, self._rng, 0)
        self._machines = [(l2f.Parameters(), l2f.State(), l2f.State()) for _ in range(self.num_envs)]
        for parameters, *states in self._machines:
            l2f.initial_parameters(self._device, self._environment, parameters)
            for state in states:
                l2f.initial_state(self._device, self._environment, parameters, state)
        self._shipped = json.loads(l2f.parameters_to_json(self._device, self._environment, self._machines[0][0]))
        self._known = torch.full_like(self.params, math.nan)

    def fly(self, drive: Drive) -> Tensor:
        changed = (self.params != self._known).any(1)
        for i in changed.nonzero()[:, 0].tolist():
            text = json.dumps(self._parameters(self.params[i].double().numpy()))
            l2f.parameters_from_json(self._device, self._environment, text, self._machines[i][0])
        self._known.copy_(self.params)
        top = self.params[:, P.ROTOR_HIGH, None]
        actions = (2.0 * drive.mean_commands(self.substeps, self.step_dt) / top - 1.0).tolist()
        body = self.state[:, BODY]
        after = np.empty(body.shape, np.float32)
        for i, row in enumerate(body.tolist()):
            parameters, state, following = self._machines[i]
            state.position, state.orientation = row[0:3], row[3:7]
            state.linear_velocity, state.angular_velocity, state.rpm = row[7:10], row[10:13], row[13:17]
            for commands in actions:
                l2f.step(self._device, self._environment, parameters, state, commands[i], following, self._rng)
                state.assign(following)
            parts = (state.position, state.orientation, state.linear_velocity, state.angular_velocity, state.rpm)
            after[i] = np.concatenate(parts)
        return torch.from_numpy(after)

    def _parameters(self, p: np.ndarray) -> dict[str, Any]:
        """l2f's JSON for one environment's row of `params`; its rpm are rad/s here."""
        x, y, spin = (p[c : c + 4] for c in (P.ROTOR_X, P.ROTOR_Y, P.ROTOR_SPIN))
        force, moment, inertia = (p[c : c + 3] for c in (P.FORCE, P.MOMENT, P.INERTIA))
        offsets = np.linalg.solve(np.stack([np.ones(4), y, -x, p[P.TORQUE] * spin]), [0.0, *moment])
        curve = p[P.THRUST_0 : P.THRUST_0 + 3] + np.outer(offsets, [1.0, 0.0, 0.0])
        dynamics = {
            "rotor_positions": np.stack([x, y, np.zeros(4)], 1).tolist(),
            "rotor_torque_directions": [[0.0, 0.0, s] for s in spin],
            "rotor_thrust_coefficients": curve.tolist(),
            "rotor_torque_constants": [p[P.TORQUE]] * 4,
            "rotor_time_constants_rising": [p[P.RISE]] * 4,
            "rotor_time_constants_falling": [p[P.FALL]] * 4,
            "mass": p[P.MASS],
            "gravity": (force / p[P.MASS] - [0.0, 0.0, GRAVITY_M_S2]).tolist(),
            "J": np.diag(inertia).tolist(),
            "J_inv": np.diag(1.0 / inertia).tolist(),
            "action_limit": {"min": 0.0, "max": p[P.ROTOR_HIGH]},
        }
        return {
            **self._shipped,
            "dynamics": {**self._shipped["dynamics"], **dynamics},
            "integration": {"dt": self.step_dt / self.substeps},
        }
