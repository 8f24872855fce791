"""The quadrotor in MuJoCo: the same vehicle file, another simulator's rigid body.

The model is made from the vehicle's numbers: a free body with its mass and inertia, a thruster at each rotor's site,
linear drag along the body's axes as velocity-dependent actuators. Rotor lag, thrust curve and battery are those of the
vehicle file, outside MuJoCo and exact; MuJoCo integrates the body, by its Runge-Kutta of fourth order in steps of 5 ms
unless told otherwise, under thrusts taken at the middle of each step (its error: tests/quadrotor/test_mujoco_plant.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.foreign_plant import BODY, Drive, ForeignPlant
from robostack_sim.quadrotor.physics import P, S
from robostack_sim.quadrotor.vehicle import GRAVITY_M_S2, Vehicle

DEFAULT_TIMESTEP_S = 0.005
AXES = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def build(vehicle: Vehicle, timestep_s: float = DEFAULT_TIMESTEP_S, integrator: str = "RK4") -> Any:
    """The vehicle as an mjSpec. Controls: thrust of each rotor (N), a moment about each body axis (N m), a force along
    each (N), to which drag is added. `integrator` is one of MuJoCo's: Euler, RK4, implicit, implicitfast.

    Raises ImportError when MuJoCo is not installed.
    """
    try:
        import mujoco
    except ImportError as error:
        raise ImportError("MuJoCo is not installed: pip install 'robostack[mujoco]'") from error

    spec = mujoco.MjSpec()
    spec.modelname = vehicle.name
    spec.option.timestep = timestep_s
    spec.option.integrator = getattr(mujoco.mjtIntegrator, f"mjINT_{integrator.upper()}")
    spec.option.gravity = (0.0, 0.0, -GRAVITY_M_S2)
    body = spec.worldbody.add_body(name="quadrotor", mass=vehicle.mass, inertia=vehicle.inertia, explicitinertial=True)
    body.add_freejoint(name="free")
    body.add_site(name="centre")

    def actuator(name: str, site: str, force: tuple[float, ...], moment: tuple[float, ...], drag: float = 0.0) -> None:
        made = spec.add_actuator(name=name, target=site, trntype=mujoco.mjtTrn.mjTRN_SITE, gear=(*force, *moment))
        made.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        made.biasprm[2] = -drag

    for k, (x, y, spin) in enumerate(zip(vehicle.rotor_x, vehicle.rotor_y, vehicle.rotor_spin, strict=True)):
        body.add_site(name=f"rotor_{k}", pos=(x, y, 0.0))
        actuator(f"rotor_{k}", f"rotor_{k}", (0, 0, 1), (0, 0, spin * vehicle.torque_to_thrust))
    for name, axis in zip("xyz", AXES, strict=True):
        actuator(f"moment_{name}", "centre", (0, 0, 0), axis)
    for name, axis, drag in zip("xyz", AXES, vehicle.drag, strict=True):
        actuator(f"drag_{name}", "centre", axis, (0, 0, 0), drag)
    return spec


class MujocoPlant(ForeignPlant):
    """See the module's docstring. Every environment's own mass, inertia, arms, torque and drag are MuJoCo's as well."""

    def __init__(
        self,
        config: QuadrotorConfig | None = None,
        seed: int = 0,
        timestep_s: float = DEFAULT_TIMESTEP_S,
        integrator: str = "RK4",
    ) -> None:
        super().__init__(config, seed)
        self.substeps = round(self.step_dt / timestep_s)
        if abs(self.substeps * timestep_s - self.step_dt) > 1e-9:
            raise ValueError(f"timestep_s = {timestep_s}: must divide the control period of {self.step_dt} s")
        model = build(self.vehicle, timestep_s, integrator).compile()
        from mujoco.batch import Batch

        self._batch = Batch(model, self.num_envs, nthread=1)
        self._control = np.zeros((self.num_envs, self.substeps, model.nu))
        self._known = torch.full_like(self.params[:, : P.RATE_BIAS], torch.nan)

    def fly(self, drive: Drive) -> Tensor:
        self._set_models()
        batch, control, n = self._batch, self._control, self.substeps
        body = self.state[:, BODY].double()
        # MuJoCo's free joint: position and quat_wxyz; velocity in the world, angular velocity in the body
        batch.bind("qpos")[:] = body[:, :7]
        batch.bind("qvel")[:] = body[:, 7:13]
        batch.bind("xfrc_applied")[:, 1, :3] = drive.force_n
        for k in range(n):
            control[:, k, :4] = self._thrust(self._rotors(drive, (k + 0.5) / n * self.step_dt))
        control[:, :, 4:7] = self.params[:, None, P.MOMENT : P.MOMENT + 3]
        batch.rollout(n, control, record=())
        after = [torch.from_numpy(batch.bind(name)) for name in ("qpos", "qvel")]
        return torch.cat([*after, self._rotors(drive, self.step_dt)], 1)

    def _rotors(self, drive: Drive, t: float) -> Tensor:
        """(num_envs, 4) rad/s, float64, t seconds into the period."""
        rise, fall = (self.params[:, column, None].double() for column in (P.RISE, P.FALL))

        def settle(speed: Tensor, goal: Tensor, seconds: Tensor) -> Tensor:
            lag = torch.where(goal > speed, rise, fall)
            return goal + (speed - goal) * torch.exp(-seconds / lag)

        switch = drive.switch_s.double()[:, None]
        speed = settle(self.state[:, S.ROTOR : S.COMMAND_1].double(), drive.older.double(), switch.clamp(max=t))
        return settle(speed, drive.newer.double(), (t - switch).clamp(min=0.0))

    def _thrust(self, speed: Tensor) -> Tensor:
        c0, c1, c2 = (self.params[:, P.THRUST_0 + k, None].double() for k in range(3))
        return c0 + speed * (c1 + c2 * speed)

    def _set_models(self) -> None:
        """Hands MuJoCo the parameters that have changed since they were last handed over."""
        params = self.params[:, : P.RATE_BIAS]
        if torch.equal(params, self._known):
            return
        self._known.copy_(params)
        p, expand = params.double().numpy(), self._batch.expand
        expand("body_mass")[:, 1] = p[:, P.MASS]
        expand("body_inertia")[:, 1] = p[:, P.INERTIA : P.INERTIA + 3]
        expand("site_pos")[:, 1:, 0] = p[:, P.ROTOR_X : P.ROTOR_X + 4]
        expand("site_pos")[:, 1:, 1] = p[:, P.ROTOR_Y : P.ROTOR_Y + 4]
        expand("actuator_gear")[:, :4, 5] = p[:, P.TORQUE, None] * p[:, P.ROTOR_SPIN : P.ROTOR_SPIN + 4]
        expand("actuator_biasprm")[:, 7:, 2] = -p[:, P.DRAG : P.DRAG + 3]
        self._batch.set_const()
