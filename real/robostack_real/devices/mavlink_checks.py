"""What must be true of a PX4 before a policy of ours takes off with it, each with its remedy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from robostack.export.onnx import LoadedPolicy
from robostack.hosts import Check
from robostack.spec import PolicySpec
from robostack_real.link.errors import NoAnswer
from robostack_real.link.mavlink import Connection, dialect
from robostack_real.link.px4_modes import Mode, mode_name

ACTIONS = ("thrust", "roll_rate", "pitch_rate", "yaw_rate")
CHANNELS = {"position": 3, "velocity": 3, "attitude": 4, "body_rate": 3, "setpoint": 9}
STREAMS = {"ATTITUDE_QUATERNION": ("attitude", "body_rate"), "LOCAL_POSITION_NED": ("position", "velocity")}
"""the message that each channel comes in"""
MEASURED_S, EXCHANGES = 1.0, 20
"""how long the streams are measured, and how often the round trip meanwhile"""
LOWEST_CELL_V, LOWEST_PERCENT = 3.5, 30
LONGEST_LOSS_S = 1.0
HOLDS_OR_LANDS = {0: "position mode", 4: "land", 5: "hold"}
"""COM_OBL_RC_ACT that a machine may fly with; the rest needs thumbs at once, climbs to return, or stops the motors"""
GRAVITY_M_S2 = 9.81
_AXES = ("ROLL", "PITCH", "YAW")
RATE_PARAMETERS = [f"MC_{axis}RATE_{gain}" for axis in _AXES for gain in ("P", "I", "D", "K", "FF")] + [
    "MC_RR_INT_LIM", "MC_PR_INT_LIM", "MC_YR_INT_LIM", "IMU_GYRO_CUTOFF", "IMU_DGYRO_CUTOFF", "THR_MDL_FAC",
    "MC_AIRMODE", "MC_BAT_SCALE_EN",
]  # fmt: skip
PARAMETERS = [*RATE_PARAMETERS, "COM_OF_LOSS_T", "COM_OBL_RC_ACT", "BAT1_N_CELLS", "MPC_THR_HOVER"]


def check(link: Connection, policy: LoadedPolicy) -> list[Check]:
    """Asks for the streams first and measures them. Stops where the rest makes no sense. Raises LinkLost."""
    found = [_policy(policy.spec), _autopilot(link)]
    if not all(c.ok for c in found):
        return found
    ask_for_streams(link, policy.spec)
    parameters = link.read_parameters(PARAMETERS)
    for _ in range(EXCHANGES):
        link.synchronise()
        link.until(lambda: False, MEASURED_S / EXCHANGES)
    machine = policy.spec.provenance.get("machine", {})
    return [
        *found,
        Check("one autopilot", not link.others, f"systems {sorted({link.system, *link.others})} on this line",
              "give each vehicle a line of its own"),
        _firmware(link),
        _standing(link),
        _its_own(link),
        _estimator(link),
        *_streams(link, policy.spec),
        _latency(link, policy.spec),
        _battery(link, parameters),
        _loss(parameters),
        _rate_controller(parameters, machine),
        _hover(parameters, machine),
    ]  # fmt: skip


def ask_for_streams(link: Connection, spec: PolicySpec) -> None:
    """State once a control period, heartbeats often enough to see a pilot's switch."""
    wanted = dict.fromkeys(STREAMS, spec.control_dt_s) | {
        "HEARTBEAT": 0.05, "SYS_STATUS": 0.2, "EXTENDED_SYS_STATE": 0.2, "ESTIMATOR_STATUS": 0.2,
    }  # fmt: skip
    for name, period_s in wanted.items():
        number = getattr(dialect, f"MAVLINK_MSG_ID_{name}")
        with suppress(NoAnswer):  # what does not come is found when it is measured
            link.command(dialect.MAV_CMD_SET_MESSAGE_INTERVAL, number, round(1e6 * period_s))


def _policy(spec: PolicySpec) -> Check:
    sizes = {c.name: c.size for c in spec.observations}
    remedy = "train it with --action thrust_and_rates"
    if spec.action_names != ACTIONS:
        return Check("policy's actions", False, ", ".join(spec.action_names), remedy)
    return Check("policy's measurements", sizes == CHANNELS, ", ".join(sizes), remedy)


def _autopilot(link: Connection) -> Check:
    beat = link.heard("HEARTBEAT")
    assert beat is not None
    kinds, types = dialect.enums["MAV_AUTOPILOT"], dialect.enums["MAV_TYPE"]
    kind = kinds[beat.autopilot].name.removeprefix("MAV_AUTOPILOT_") if beat.autopilot in kinds else beat.autopilot
    body = types[beat.type].name.removeprefix("MAV_TYPE_").lower() if beat.type in types else beat.type
    ok = beat.autopilot == dialect.MAV_AUTOPILOT_PX4 and beat.type == dialect.MAV_TYPE_QUADROTOR
    return Check("autopilot", ok, f"{kind}, {body}", "this speaks PX4's modes, of a quadrotor, and no other's")


def _firmware(link: Connection) -> Check:
    with suppress(NoAnswer):
        link.command(dialect.MAV_CMD_REQUEST_MESSAGE, dialect.MAVLINK_MSG_ID_AUTOPILOT_VERSION)
        link.until(lambda: link.heard("AUTOPILOT_VERSION") is not None, 0.5)
    told = link.heard("AUTOPILOT_VERSION")
    if told is None:
        return Check("firmware", True, "it does not say")
    version = tuple(told.flight_sw_version >> shift & 0xFF for shift in (24, 16, 8))
    return Check("firmware", version >= (1, 13), f"PX4 {'.'.join(map(str, version))}",
                 "older ones number what they do without setpoints otherwise: update to 1.13 at least")  # fmt: skip


def _standing(link: Connection) -> Check:
    beat, landed = link.heard("HEARTBEAT"), link.heard("EXTENDED_SYS_STATE")
    assert beat is not None
    armed = bool(beat.base_mode & dialect.MAV_MODE_FLAG_SAFETY_ARMED)
    on_ground = landed is not None and landed.landed_state == dialect.MAV_LANDED_STATE_ON_GROUND
    standby = beat.system_status == dialect.MAV_STATE_STANDBY
    mode = mode_name(beat.custom_mode)
    states = dialect.enums["MAV_STATE"]
    state = states[beat.system_status].name.removeprefix("MAV_STATE_").lower() if beat.system_status in states else "?"
    ok = not armed and on_ground and standby and beat.custom_mode != Mode.OFFBOARD.custom
    where = "on the ground" if on_ground else "not known to be on the ground"
    return Check("state", ok, f"{'armed' if armed else 'disarmed'}, {state}, {where}, in {mode}",
                 "has to stand by, disarmed, on the ground, in another mode than OFFBOARD")  # fmt: skip


def _its_own(link: Connection) -> Check:
    told, bit = link.heard("SYS_STATUS"), dialect.MAV_SYS_STATUS_PREARM_CHECK
    ok = told is not None and bool(told.onboard_control_sensors_health & bit)
    said = "; ".join(dict.fromkeys(link.said))
    return Check("its own checks", ok, "passed" if ok else said or "not passed",
                 "see what it says in QGroundControl or by `commander check` in its console")  # fmt: skip


def _estimator(link: Connection) -> Check:
    told = link.heard("ESTIMATOR_STATUS")
    if told is None:
        return Check("estimator", False, "it says nothing of it", "PX4 sends ESTIMATOR_STATUS: is the EKF running?")
    words = {
        "attitude": dialect.ESTIMATOR_ATTITUDE,
        "horizontal velocity": dialect.ESTIMATOR_VELOCITY_HORIZ,
        "vertical velocity": dialect.ESTIMATOR_VELOCITY_VERT,
        "horizontal position": dialect.ESTIMATOR_POS_HORIZ_REL | dialect.ESTIMATOR_POS_HORIZ_ABS,
        "height": dialect.ESTIMATOR_POS_VERT_ABS | dialect.ESTIMATOR_POS_VERT_AGL,
    }
    faults = {
        "a position assumed constant": dialect.ESTIMATOR_CONST_POS_MODE,
        "GPS glitch": dialect.ESTIMATOR_GPS_GLITCH,
        "accelerometer error": dialect.ESTIMATOR_ACCEL_ERROR,
    }
    wrong = [f"no {w}" for w, bits in words.items() if not told.flags & bits]
    wrong += [w for w, bit in faults.items() if told.flags & bit]
    return Check("estimator", not wrong, ", ".join(wrong) or "converged",
                 "let it stand; a position has to come from GPS, motion capture, optical flow or vision")  # fmt: skip


def _streams(link: Connection, spec: PolicySpec) -> list[Check]:
    found = []
    ages = {c.name: c.max_age_s for c in spec.observations}
    for name, channels in STREAMS.items():
        most = min(ages[c] for c in channels)
        rate, gap = link.rate(name, MEASURED_S)
        what = f"{rate:.0f} a second, longest gap {1000 * gap:.0f} ms"
        remedy = (f"{', '.join(channels)} may be {1000 * most:.0f} ms old: it has to come {2 / most:.0f} times a "
                  "second without gaps; raise the baud and MAV_n_RATE, with MAV_n_MODE Onboard")  # fmt: skip
        found.append(Check(name, rate * most >= 2.0 and gap <= most, what, remedy))
    return found


def _latency(link: Connection, spec: PolicySpec) -> Check:
    trip, most = link.clock.round_trip_s, spec.action_delay_s[1]
    what = f"{1000 * trip:.1f} ms" if math.isfinite(trip) else "no answer to TIMESYNC"
    return Check("round trip", trip <= most, what,
                 f"trained for up to {1000 * most:.0f} ms: take a wire, or train with a longer --delay-s")  # fmt: skip


def _battery(link: Connection, parameters: Mapping[str, float]) -> Check:
    told, cells = link.heard("SYS_STATUS"), parameters.get("BAT1_N_CELLS", 0.0)
    if told is None or told.voltage_battery in (0, 0xFFFF):
        return Check("battery", False, "it does not know its voltage", "set up its power module (BAT1_*)")
    if cells < 1:
        volts = told.voltage_battery / 1000.0
        return Check("battery", False, f"{volts:.1f} V, and it does not know its cells", "set BAT1_N_CELLS")
    volts, percent = told.voltage_battery / 1000.0 / cells, told.battery_remaining
    ok = volts >= LOWEST_CELL_V and (percent < 0 or percent >= LOWEST_PERCENT)
    share = "" if percent < 0 else f", {percent} %"
    return Check("battery", ok, f"{volts:.2f} V a cell{share}",
                 f"charge it to {LOWEST_CELL_V:g} V a cell, {LOWEST_PERCENT} %")  # fmt: skip


def _loss(parameters: Mapping[str, float]) -> Check:
    after, act = parameters.get("COM_OF_LOSS_T"), parameters.get("COM_OBL_RC_ACT")
    if after is None or act is None:
        return Check(
            "loss of setpoints", False, "COM_OF_LOSS_T, COM_OBL_RC_ACT: no answer", "is this PX4 1.13 or newer?"
        )
    does = HOLDS_OR_LANDS.get(int(act))
    ok = 0.0 < after <= LONGEST_LOSS_S and does is not None
    found = f"after COM_OF_LOSS_T = {after:g} s COM_OBL_RC_ACT = {act:g}" + (f", {does}" if does else "")
    return Check("loss of setpoints", ok, found,
                 f"set COM_OF_LOSS_T above 0, at most {LONGEST_LOSS_S:g}, and COM_OBL_RC_ACT to 4 (land), 5 (hold) or, "
                 "with a pilot, 0 (position mode)")  # fmt: skip


def _rate_controller(parameters: Mapping[str, float], machine: Mapping[str, Any]) -> Check:
    """PX4's against the one that the policy was trained with, which policy.onnx carries."""
    remedy = "copy the autopilot file, put in what this machine has, and train with it; or set its parameters"
    missing = [n for n in RATE_PARAMETERS if n not in parameters]
    if missing:
        return Check("rate controller", False, f"no answer for {', '.join(missing)}", "is this a multicopter's PX4?")
    if "rate_p" not in machine:
        return Check("rate controller", False, "the policy does not say what it was trained with", "train it again")
    p = parameters
    named: dict[str, tuple[float, float]] = {}
    for i, axis in enumerate(_AXES):
        for gain in ("P", "I", "D"):
            name = f"MC_{axis}RATE_{gain}"
            named[f"{name} x K"] = (p[name] * p[f"MC_{axis}RATE_K"], machine[f"rate_{gain.lower()}"][i])
        named[f"MC_{axis}RATE_FF"] = (p[f"MC_{axis}RATE_FF"], 0.0)
        limit = f"MC_{axis[0]}R_INT_LIM"
        named[limit] = (p[limit], machine["integral_limit"][i])
    named["IMU_GYRO_CUTOFF"] = (p["IMU_GYRO_CUTOFF"], machine["gyro_cutoff"])
    named["IMU_DGYRO_CUTOFF"] = (p["IMU_DGYRO_CUTOFF"], machine["derivative_cutoff"])
    named["THR_MDL_FAC"] = (p["THR_MDL_FAC"], machine["thrust_model"])
    named["MC_AIRMODE"] = (min(p["MC_AIRMODE"], 1.0), machine["airmode"])
    named["MC_BAT_SCALE_EN"] = (p["MC_BAT_SCALE_EN"], 0.0)
    off = [f"{n} = {has:g}, trained with {was:g}" for n, (has, was) in named.items()
           if not math.isclose(has, was, rel_tol=0.01, abs_tol=1e-6)]  # fmt: skip
    return Check("rate controller", not off, "; ".join(off) or "as trained", remedy)


def _hover(parameters: Mapping[str, float], machine: Mapping[str, Any]) -> Check:
    """The thrust that carries it, as the autopilot knows it, against what the vehicle file gives."""
    has = parameters.get("MPC_THR_HOVER")
    if has is None or "thrust_curve" not in machine or "thrust_model" not in machine:
        return Check(
            "hover thrust", False, "not known of both sides", "MPC_THR_HOVER, and a policy that tells its machine"
        )
    c0, c1, c2 = machine["thrust_curve"]
    low, high = machine["rotor_speed_min"], machine["rotor_speed_max"]
    speed = max(np.roots([c2, c1, c0 - machine["mass"] * GRAVITY_M_S2 / 4.0]).real)
    share = (speed - low) / (high - low)
    expected = machine["thrust_model"] * share**2 + (1.0 - machine["thrust_model"]) * share
    return Check("hover thrust", abs(has / expected - 1.0) <= 0.15, f"MPC_THR_HOVER = {has:.3f}, trained with "
                 f"{expected:.3f}", "set it to what a log of a hover says; if it is right, mass or thrust curve of the "
                 "vehicle file are not this machine's: correct them and train again")  # fmt: skip
