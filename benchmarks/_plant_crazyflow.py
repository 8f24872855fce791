"""PyPI's crazyflow as a plant: its first-principles dynamics and its integrator, on JAX.

`Terms` says which of its parts that we have no counterpart for take part; with none the equations are ours, and its
parameters the task's. Its floor and its limits on commands are left out: a policy knows no floor, and has limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from crazyflow.control import Control
from crazyflow.dynamics import Dynamics, load_params
from crazyflow.sim import Sim
from crazyflow.sim.integration import Integrator
from torch import Tensor

from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.foreign_plant import BODY, Drive, ForeignPlant
from robostack_sim.quadrotor.physics import P
from robostack_sim.quadrotor.vehicle import Vehicle

DRONE = "cf2x_L250"
"""the Crazyflie 2.x among its drones"""
RPM = 60.0 / (2.0 * math.pi)
"""in a rad/s"""


@dataclass(frozen=True)
class Terms:
    """Parts of its physics, as it ships them, that a vehicle file cannot say."""

    rotor_law: bool = False
    """a rotor falls by the square of its speed"""
    torque_curve: bool = False
    """torque has a curve of its own, not a share of thrust"""
    spin: bool = False
    """angular momentum of the rotors: gyroscopic and reaction torque"""


def own() -> dict[str, Any]:
    return {k: np.asarray(v, np.float64) for k, v in load_params(Dynamics.first_principles, DRONE).items()}


def shipped(like: Vehicle) -> Vehicle:
    """Its own numbers as a vehicle, where a vehicle file can say them: a rotor falls as it does close to hover, and
    torque is a share of thrust, as at hover. Sensors and battery are those of `like`."""
    found = own()
    k0, k1, k2 = found["rpm2thrust"]
    low, high = (
        float((-k1 + math.sqrt(k1 * k1 - 4 * k2 * (k0 - found[end]))) / (2 * k2)) / RPM
        for end in ("thrust_min", "thrust_max")
    )
    mix, arm = found["mixing_matrix"], float(found["L"])
    made = replace(
        like,
        name="crazyflow_shipped",
        mass=float(found["mass"]),
        inertia=tuple(np.diag(found["J"]).tolist()),
        rotor_x=tuple((-arm * mix[1]).tolist()),
        rotor_y=tuple((arm * mix[0]).tolist()),
        rotor_spin=tuple(mix[2].tolist()),
        thrust_curve=(float(k0), float(k1) * RPM, float(k2) * RPM**2),
        rotor_speed_min=low,
        rotor_speed_max=high,
        drag=tuple((-np.diag(found["drag_matrix"])).tolist()),
    )
    hover = made.hover_speed_rad_s * RPM
    up, up2, down, down2 = found["rotor_dyn_coef"]
    return replace(
        made,
        torque_to_thrust=float(found["rpm2torque"] @ [1.0, hover, hover**2]) / made.thrust_n(hover / RPM),
        rotor_rise_time=1.0 / float(up + 2 * hover * up2),
        rotor_fall_time=1.0 / float(down + 2 * hover * down2),
    )


@cache
def simulator(num_envs: int, integrator: Integrator, freq_hz: int) -> tuple[Any, Any]:
    """Its data, and a function of (data, body (num_envs, 17), force (num_envs, 3), commands (substeps, num_envs, 4))
    that flies a period. Compiled once for each batch size: that takes seconds."""
    sim = Sim(
        n_worlds=num_envs,
        drone=DRONE,
        dynamics=Dynamics.first_principles,
        control=Control.rotor_vel,
        integrator=integrator,
        freq=freq_hz,
    )
    for left_out in ("clip_rotor_vel_cmd", "clip_floor_pos"):
        del sim.step_pipeline[left_out]
    step = sim.build_step_fn()

    @jax.jit
    def period(data: Any, body: Any, force: Any, commands: Any) -> Any:
        body = body[:, None]
        states = data.states.replace(
            pos=body[..., 0:3], quat=jnp.roll(body[..., 3:7], -1, -1), vel=body[..., 7:10], ang_vel=body[..., 10:13],
            rotor_vel=body[..., 13:17] * RPM, force=force[:, None],
        )  # fmt: skip

        def hold(data: Any, command: Any) -> tuple[Any, None]:
            return step(data.replace(controls=data.controls.replace(rotor_vel=command[:, None] * RPM))), None

        s = jax.lax.scan(hold, data.replace(states=states), commands)[0].states
        parts = (s.pos, jnp.roll(s.quat, 1, -1), s.vel, s.ang_vel, s.rotor_vel / RPM)
        return jnp.concatenate(parts, -1)[:, 0]

    return sim.data, period


class CrazyflowPlant(ForeignPlant):
    """Its default is explicit Euler at 500 Hz."""

    def __init__(
        self,
        config: QuadrotorConfig | None = None,
        seed: int = 0,
        terms: Terms | None = None,
        integrator: str = "euler",
        freq_hz: int = 500,
    ) -> None:
        super().__init__(config, seed)
        self.terms = terms or Terms()
        self.substeps = round(self.step_dt * freq_hz)
        self._data, self._fly = simulator(self.num_envs, Integrator(integrator), freq_hz)
        self._known = torch.full_like(self.params, math.nan)
        self._own = own()

    def fly(self, drive: Drive) -> Tensor:
        if not torch.equal(self.params, self._known):
            self._known.copy_(self.params)
            self._data = self._data.replace(params=self._data.params.replace(**self._parameters()))
        commands = drive.mean_commands(self.substeps, self.step_dt)
        given = (self.state[:, BODY], drive.force_n, commands)
        return torch.from_numpy(np.array(self._fly(self._data, *(jnp.asarray(g.numpy(), jnp.float32) for g in given))))

    def _parameters(self) -> dict[str, Any]:
        """Its parameters for every environment, (num_envs, 1 drone, ...). A constant moment is an offset of the rotors'
        thrust and torque: its disturbance torque is in the world."""
        p = self.params.double().numpy()
        x, y, spin = (p[:, c : c + 4] for c in (P.ROTOR_X, P.ROTOR_Y, P.ROTOR_SPIN))
        inertia, moment = (p[:, c : c + 3] for c in (P.INERTIA, P.MOMENT))
        zero, one = np.zeros(len(p)), np.ones(len(p))
        thrust = p[:, P.THRUST_0 : P.THRUST_0 + 3] / [1.0, RPM, RPM**2]
        torque = self._own["rpm2torque"] if self.terms.torque_curve else thrust * p[:, P.TORQUE, None]
        lag = np.stack([1 / p[:, P.RISE], zero, 1 / p[:, P.FALL], zero], 1)
        rotor = self._own["rotor_dyn_coef"] if self.terms.rotor_law else lag
        shape = (len(p), 4, 3)
        rpm2thrust, rpm2torque = (np.broadcast_to(np.atleast_2d(c)[:, None], shape).copy() for c in (thrust, torque))
        wanted = np.stack([zero, moment[:, 0], moment[:, 1], zero], 1)[..., None]
        rpm2thrust[:, :, :1] += np.linalg.solve(np.stack([np.ones_like(x), y, -x, spin], 1), wanted)
        rpm2torque[:, :, 0] += moment[:, 2, None] * spin / 4
        made = {
            "mass": p[:, P.MASS, None],
            "L": one[:, None],
            "prop_inertia": one[:, None] * (self._own["prop_inertia"] if self.terms.spin else 0.0),
            "J": inertia[:, :, None] * np.eye(3),
            "J_inv": np.eye(3) / inertia[:, :, None],
            "rpm2thrust": rpm2thrust,
            "rpm2torque": rpm2torque,
            "mixing_matrix": np.stack([y, -x, spin], 1),
            "drag_matrix": -p[:, P.DRAG : P.DRAG + 3, None] * np.eye(3),
            "rotor_dyn_coef": np.broadcast_to(rotor, lag.shape)[:, None],
        }
        return {name: jnp.asarray(value[:, None], jnp.float32) for name, value in made.items()}
