"""The contract of the policy written by hand, and somebody who flies an app a millisecond at a time."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from robostack.export.contract_c import contract_table
from robostack.export.machine_c import machine_header
from robostack.spec import PolicySpec, SelfTest, State
from robostack_real.devices.crazyflie_obstacle import Obstacle
from robostack_real.twins.crazyflie_app import (
    CrazyflieApp,
    Motion,
    Setpoint,
    position_setpoint,
)
from robostack_sim.quadrotor import interface
from robostack_sim.quadrotor.vehicle import load_vehicle

VEHICLE = load_vehicle("crazyflie_2_1")
HOVER = VEHICLE.hover_speed_rad_s
AT_HOME = (0.0, 0.0, 1.0)


def make_spec(**changes: object) -> PolicySpec:
    """The quadrotor task's contract around tests/crazyflie/policy/infer.c, which hovers exactly at the setpoint."""
    level = [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, *[0.0] * 6]
    inputs = (*level, *[0.0] * 4, 0.0)
    fields: dict[str, object] = {
        "task": "quadrotor",
        "control_dt_s": 0.01,
        "observations": tuple(c for c in interface.channels(VEHICLE)[:5]),
        "actions": interface.actions(VEHICLE),
        "state": State(reset=(0.0,)),
        "envelope": interface.envelope(VEHICLE),
        "self_test": SelfTest(inputs=(inputs,), outputs=((HOVER,) * 4 + (0.0,),)),
        "provenance": {"machine": VEHICLE.numbers},
    }
    return PolicySpec(**{**fields, **changes})  # type: ignore[arg-type]


def write_generated(folder: Path, spec: PolicySpec) -> Path:
    """What the export would generate."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).parent / "policy" / "infer.c", folder)
    (folder / "contract.c").write_text(contract_table(spec, "c0ffee42" * 8))
    (folder / "machine.h").write_text(machine_header(spec.provenance))
    sizes = {
        "OBSERVATION": spec.observation_size, "ACTION": spec.action_size, "STATE": spec.state.size,
        "CHANNELS": len(spec.observations),
    }  # fmt: skip
    (folder / "policy_sizes.h").write_text("".join(f"#define RS_MAX_{k} {n}u\n" for k, n in sizes.items()))
    return folder


@dataclass
class Pilot:
    """Steps an app whose Crazyflie hangs still in the air, one metre up; keeps what came of the last call."""

    app: CrazyflieApp
    setpoint: Setpoint
    motion: Motion
    calls: int = 0
    fresh: bool = True
    """Whether the setpoint is sent anew in every call."""

    def step(self, calls: int = 1) -> Motion:
        for _ in range(calls):
            self.calls += 1
            self.app.world.specific_force_m_s2 = (0.0, 0.0, 9.81 + 1e-3 * (self.calls % 2))  # an accelerometer's noise
            if self.fresh:
                self.setpoint.timestamp = self.app.time_ms
            self.motion = self.app.step(self.setpoint)
        return self.motion

    def log(self, name: str) -> float:
        return self.app.logs[f"rsp.{name}"].value

    def ask(self, enable: int = 1) -> None:
        self.app.params["rsp.enable"].value = enable

    @property
    def policy_flies(self) -> bool:
        """By what the motors get: the stock controller's answer is its own to the bit."""
        same = bytes(self.motion.forces) == bytes(self.motion.stock_forces)
        assert bool(self.log("active")) != same
        return not same

    @property
    def ended(self) -> Obstacle:
        return Obstacle(int(self.log("ended")))

    def hand_over(self) -> None:
        self.ask()
        for _ in range(10):
            if self.step() and self.log("active"):
                break
        assert self.policy_flies, self.ended


def make_pilot(library: Path, supply_v: float = 4.0) -> Pilot:
    app = CrazyflieApp(library, supply_v=supply_v)
    app.world.position_m = AT_HOME
    app.world.flying = 1
    app.world.supply_v = supply_v
    return Pilot(app, position_setpoint(0.05, 0.0, 1.0), Motion())
