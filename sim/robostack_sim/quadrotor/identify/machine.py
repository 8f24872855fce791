"""What is looked for in a log: numbers of a vehicle file, and what a flight has besides.

`theta` (p,) holds, in this order, what is to be found and then what only this flight had. Where it is zero the machine
is the vehicle file's, without delay. Factors are kept as logarithms, so that one of a half is as far as one of two.

- mass, thrust, rise, fall, torque, inertia: the logarithm of a factor on the file's number; of thrust, on its curve.
- curve: how much of the quadratic part of the thrust curve is linear instead, about the thrust at hover speed, which
  stays: c1 + curve c2 w_hover, c2 (1 - curve).
- delay: s, of all between the time of a command in the log and its effect there.
- of the flight: a wind along the floor (share of weight), drag beyond the file's (share of weight a m/s, all axes
  alike) and a steady moment (share of weight times arm), as a centre of mass off the middle makes. Drag in newtons
  would tell mass, and no file knows it that well. A steady vertical force is no part of it: a little more weight looks
  the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from robostack.spec import ContractError
from robostack_sim.quadrotor.identify.names import Name
from robostack_sim.quadrotor.physics import P
from robostack_sim.quadrotor.vehicle import GRAVITY_M_S2, Vehicle, load_vehicle

FLIGHT = ("wind_x", "wind_y", "moment_x", "moment_y", "moment_z", "air")
DELAY_SCALE_S = 0.05
"""what is to a delay as the whole number is to a factor"""
FACTORS: dict[str, tuple[int, ...]] = {
    "mass": (P.MASS,),
    "thrust": (P.THRUST_0, P.THRUST_1, P.THRUST_2),
    "rise": (P.RISE,),
    "fall": (P.FALL,),
    "torque": (P.TORQUE,),
    "inertia": (P.INERTIA, P.INERTIA + 1, P.INERTIA + 2),
}
"""columns of a simulator's parameter row"""


@dataclass(frozen=True)
class Machine:
    """`file` is a vehicle's, a shipped name or a path, and `names` what is to be found. Raises ContractError."""

    file: str
    names: tuple[Name, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise ContractError("--fit: name one number at least")
        if twice := [n for n in self.names if self.names.count(n) > 1]:
            raise ContractError(f"--fit: {twice[0]} is there twice")

    @cached_property
    def vehicle(self) -> Vehicle:
        return load_vehicle(self.file)

    @property
    def size(self) -> int:
        return len(self.names) + len(FLIGHT)

    @property
    def scales(self) -> Tensor:
        """(len(names),) of each: 1 is a factor of e, or a delay of DELAY_SCALE_S."""
        return torch.tensor([DELAY_SCALE_S if n == "delay" else 1.0 for n in self.names], dtype=torch.float64)

    def start(self, delay_s: float) -> Tensor:
        """(p,) the file's machine."""
        theta = torch.zeros(self.size, dtype=torch.float64)
        if "delay" in self.names:
            theta[self.names.index("delay")] = delay_s
        return theta

    def delay_s(self, theta: Tensor) -> float:
        return float(theta[self.names.index("delay")]) if "delay" in self.names else 0.0

    def row(self, theta: Tensor, base: Tensor, before_s: float) -> Tensor:
        """(P.SIZE,) from the file's `base`; differentiable in `theta`. Of the delay, what is beyond `before_s`."""
        of = dict(zip((*self.names, *FLIGHT), theta, strict=True))
        columns = list(base.unbind())
        weight = self.vehicle.mass * GRAVITY_M_S2
        arm = max(map(abs, (*self.vehicle.rotor_x, *self.vehicle.rotor_y)))
        if "curve" in of:
            bent = of["curve"] * columns[P.THRUST_2]
            columns[P.THRUST_1] = columns[P.THRUST_1] + self.vehicle.hover_speed_rad_s * bent
            columns[P.THRUST_2] = columns[P.THRUST_2] - bent
        for name, places in FACTORS.items():
            if name in of:
                for place in places:
                    columns[place] = columns[place] * torch.exp(of[name])
        if "delay" in of:
            columns[P.ACTION_DELAY] = of["delay"] - before_s
        for k, name in enumerate(FLIGHT[:2]):
            columns[P.FORCE + k] = weight * of[name]
        for k, name in enumerate(FLIGHT[2:5]):
            columns[P.MOMENT + k] = weight * arm * of[name]
        for k in range(3):
            columns[P.DRAG + k] = columns[P.DRAG + k] + weight * of["air"]
        return torch.stack(columns)

    def found(self, theta: Tensor) -> Vehicle:
        """The file's vehicle with what was found."""
        of = dict(zip(self.names, theta.tolist(), strict=False))
        v = self.vehicle
        factor = {name: float(torch.tensor(of.get(name, 0.0)).exp()) for name in FACTORS}
        c0, c1, c2 = v.thrust_curve
        bent = of.get("curve", 0.0) * c2
        curve = (c0, c1 + bent * v.hover_speed_rad_s, c2 - bent)
        return replace(
            v,
            mass=v.mass * factor["mass"],
            thrust_curve=_scaled(curve, factor["thrust"]),
            rotor_rise_time=v.rotor_rise_time * factor["rise"],
            rotor_fall_time=v.rotor_fall_time * factor["fall"],
            torque_to_thrust=v.torque_to_thrust * factor["torque"],
            inertia=_scaled(v.inertia, factor["inertia"]),
        )


def _scaled(values: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    a, b, c = values
    return a * factor, b * factor, c * factor
