"""The parameters of a virtual PX4: what a companion asks for, as the simulated machine has it."""

from __future__ import annotations

from robostack_real.twins.px4_airframe import Airframe

_AXES = ("ROLL", "PITCH", "YAW")


def parameters_of(air: Airframe) -> dict[str, float]:
    """By name; an int is one of PX4's integers."""
    a = air.autopilot
    found: dict[str, float] = {
        "COM_OF_LOSS_T": 1.0, "COM_OBL_RC_ACT": 5, "COM_DISARM_LAND": 1.0, "MIS_TAKEOFF_ALT": 2.5, "BAT1_N_CELLS": 1,
        "MPC_THR_HOVER": air.hover, "IMU_GYRO_CUTOFF": a.gyro_cutoff, "IMU_DGYRO_CUTOFF": a.derivative_cutoff,
        "THR_MDL_FAC": a.thrust_model, "MC_AIRMODE": int(a.airmode), "MC_BAT_SCALE_EN": 0,
    }  # fmt: skip
    for i, axis in enumerate(_AXES):
        found |= {
            f"MC_{axis}RATE_P": a.rate_p[i], f"MC_{axis}RATE_I": a.rate_i[i], f"MC_{axis}RATE_D": a.rate_d[i],
            f"MC_{axis}RATE_K": 1.0, f"MC_{axis}RATE_FF": 0.0, f"MC_{axis[0]}R_INT_LIM": a.integral_limit[i],
        }  # fmt: skip
    return found
