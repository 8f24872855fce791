"""Claims: a companion flies a virtual PX4 by thrust and body rates, and whoever else changes the mode wins.

The policy is tests/devices/companion.py's; the policies of the task are flown by benchmarks/px4_twin.py.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from companion import linear, make_spec

from robostack.evaluate import guarded
from robostack.evaluate.guarded import GuardedFlight, Outcome, RefusedToFly
from robostack.evaluate.trajectory import Hover
from robostack.export.onnx import LoadedPolicy
from robostack.spec import ContractError, LevelDescend
from robostack_real.devices import mavlink_checks
from robostack_real.devices.mavlink import Px4, Stage
from robostack_real.link.errors import LinkLost, NoAnswer, PortAbsent, PortBusy, Refused
from robostack_real.link.mavlink import dialect
from robostack_real.link.px4_modes import Mode
from robostack_real.twins import px4, px4_commander
from robostack_real.twins.px4 import VirtualPx4
from robostack_real.twins.px4_airframe import StockController
from robostack_sim.quadrotor.physics import S


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


PORT = free_port()
URI = f"udpin://127.0.0.1:{PORT}"
NOBODYS_URI = f"udpin://127.0.0.1:{free_port()}"


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "TAKE_OFF_S", 0.4)
    monkeypatch.setattr(guarded, "SETTLE_S", 0.2)
    monkeypatch.setattr(mavlink_checks, "MEASURED_S", 0.3)
    monkeypatch.setattr(px4_commander, "STREAM_S", 0.25)
    monkeypatch.setattr(StockController, "SPEED_M_S", 1.2)
    monkeypatch.setattr(StockController, "LAND_M_S", 0.7)
    monkeypatch.setitem(px4.DEFAULT_S, "HEARTBEAT", 0.1)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> LoadedPolicy:
    return linear(tmp_path_factory.mktemp("policy") / "policy.onnx")


@pytest.fixture
def machine() -> Iterator[VirtualPx4]:
    with VirtualPx4(port=PORT) as machine:
        machine.parameters["COM_DISARM_LAND"] = 0.1
        yield machine
        assert machine.failure is None


@pytest.fixture
def drone(machine: VirtualPx4) -> Iterator[Px4]:
    with Px4(URI) as drone:
        yield drone


@pytest.fixture
def airborne(machine: VirtualPx4, drone: Px4, policy: LoadedPolicy, monkeypatch: pytest.MonkeyPatch) -> Px4:
    """PX4 has it in the air, and the frame's origin is where it was."""
    machine.airframe.state[2], machine.commander.armed = 0.4, True
    machine.airframe.state[S.ROTOR : S.ROTOR + 4] = machine.airframe.vehicle.hover_speed_rad_s
    machine.commander.set_mode(Mode.HOLD, machine.time_s)
    monkeypatch.setattr(mavlink_checks, "check", lambda link, policy: [])
    mavlink_checks.ask_for_streams(drone.link, policy.spec)
    drone.link.read_parameters(["BAT1_N_CELLS"])
    drone.preflight(policy)
    wait(lambda: drone.link.heard("LOCAL_POSITION_NED") is not None, 1.0)
    drone.arm()
    drone.take_off(0.4, 1.0)
    wait(lambda: machine.commander.offboard_possible(machine.time_s), 2.0)
    drone.setpoint(np.zeros(3), np.zeros(3), np.zeros(3))
    return drone


@pytest.fixture
def flying(machine: VirtualPx4, airborne: Px4) -> Px4:
    """The policy has it."""
    airborne.hand_over()
    wait(lambda: airborne.telemetry().policy_flies and machine.mode is Mode.OFFBOARD, 1.0)
    return airborne


def wait(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.002)


def fly(drone: Px4, policy: LoadedPolicy, what: object = Hover(), **how: object) -> Outcome:
    return GuardedFlight(drone, policy, what, **{"seconds": 0.6, "height_m": 0.4, **how}).fly()  # type: ignore[arg-type]


def quiet_since(machine: VirtualPx4) -> float:
    """After what was still on its way has come, on a busy machine too."""
    time.sleep(0.2)
    return machine.time_s


def sent(machine: VirtualPx4, since_s: float) -> list[np.ndarray]:
    return [s for t, _, s in machine.setpoints if t > since_s]


def test_a_hover_takes_off_hands_over_hands_back_and_lands(
    drone: Px4, machine: VirtualPx4, policy: LoadedPolicy
) -> None:
    told: list[str] = []
    outcome = fly(drone, policy, tell=told.append)
    assert outcome.doubt == ""
    assert told == ["take off to 0.4 m", "the policy flies: hover, 0.6 s", "hand back and land"]
    assert outcome.flight is not None
    flown = outcome.flight.under_policy()
    assert len(flown) * flown.dt_s > 1.4
    assert np.abs(flown["position"] - flown["reference"]).max() < 0.12
    assert flown["action"][:, 0].min() > 0.3
    # where it stood is the origin and its nose is ahead, though it looks north-west three metres off PX4's origin
    assert np.abs(flown["position"][:, :2]).max() < 0.1
    assert np.abs(flown["attitude"][:, 3]).max() < 0.1
    assert machine.airframe.on_floor and not machine.commander.armed and machine.mode is Mode.LAND
    assert machine.airframe.impact_m_s < 1.0
    assert drone.link.read_parameters(["MIS_TAKEOFF_ALT"]) == {"MIS_TAKEOFF_ALT": pytest.approx(0.4)}
    drone.__exit__()
    assert machine.parameters["MIS_TAKEOFF_ALT"] == 2.5


def test_lost_packets_and_bytes_that_are_no_frames_end_nothing(flying: Px4, machine: VirtualPx4) -> None:
    machine.loss, machine.garbage = 0.1, np.random.default_rng(0).bytes(40)
    time.sleep(1.0)
    assert flying.stage is Stage.FLYING
    assert np.abs(flying.telemetry().position_m).max() < 0.15


def test_setpoints_come_once_a_period_and_are_the_policys(flying: Px4, machine: VirtualPx4) -> None:
    begin = machine.time_s
    time.sleep(0.5)
    came = sent(machine, begin)
    assert 20 <= len(came) <= 60
    assert np.array(came)[:, 0].std() > 1e-6


def test_a_pilot_who_takes_it_ends_the_sending_and_it_is_not_taken_back(
    flying: Px4, machine: VirtualPx4, policy: LoadedPolicy
) -> None:
    machine.commander.has_pilot = True
    asked = list(machine.commands)
    machine.commander.set_mode(Mode.POSITION, machine.time_s)
    wait(lambda: flying.stage is Stage.OVER, 0.5)
    since = quiet_since(machine)
    assert "it is in POSITION by its pilot" in flying.telemetry().ended
    assert not flying.telemetry().fit_to_fly and not flying.telemetry().policy_flies
    flying.hand_over()
    flying.hand_back()
    flying.land(1.0)
    flying.stop()
    time.sleep(0.3)
    assert sent(machine, since) == [] and machine.commands == asked
    assert machine.mode is Mode.POSITION and machine.commander.armed


def test_a_mode_of_the_pilots_before_hand_over_is_not_taken_either(
    drone: Px4, machine: VirtualPx4, policy: LoadedPolicy
) -> None:
    def step(machine: VirtualPx4) -> None:
        if machine.airframe.position_m[2] > 0.1:
            machine.before_step = lambda machine: None
            machine.commander.set_mode(Mode.ALTITUDE, machine.time_s)

    machine.before_step = step
    outcome = fly(drone, policy)
    assert "it is in ALTITUDE by its pilot" in outcome.doubt
    assert dialect.MAV_CMD_DO_SET_MODE not in machine.commands and machine.commander.armed


def holds(drone: Px4, machine: VirtualPx4, why: str, mode: Mode = Mode.HOLD) -> None:
    wait(lambda: machine.mode is mode, 2.5)
    wait(lambda: drone.stage is Stage.OVER, 1.0)
    assert why in drone.ended
    since = quiet_since(machine)
    time.sleep(0.1)
    assert sent(machine, since) == []
    assert machine.airframe.tilt_cos > 0.9 and not machine.airframe.on_floor


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda m: setattr(m, "frozen", True), "its envelope tripped: stale"),
        (lambda m: m.mute.add("LOCAL_POSITION_NED"), "its envelope tripped: stale, channel position"),
        (lambda m: setattr(m, "spoil", lambda told: told["velocity"].fill(np.nan)), "its envelope tripped"),
        (lambda m: m.mute.add("HEARTBEAT"), "no heartbeat for"),
    ],
    ids=["an estimate that stands still", "no position", "not a number", "no heartbeat"],
)
def test_a_doubt_asks_for_hold(flying: Px4, machine: VirtualPx4, spoil: Callable[[VirtualPx4], None], why: str) -> None:
    spoil(machine)
    holds(flying, machine, why)


def test_a_policy_that_is_not_finite_holds(flying: Px4, machine: VirtualPx4) -> None:
    assert flying._controller is not None
    flying._controller._policy = SimpleNamespace(infer=lambda *given: (np.full(4, np.nan), None))
    holds(flying, machine, "its envelope tripped: non_finite_action")


def test_the_fence_is_the_devices_own(flying: Px4, machine: VirtualPx4) -> None:
    for metres in np.arange(0.0, 3.0, 0.025):
        flying.setpoint(np.array([metres, 0.0, 0.0]), np.zeros(3), np.zeros(3))
        time.sleep(0.008)
        if flying.stage is not Stage.FLYING:
            break
    holds(flying, machine, "it left the fence at [2.")


def test_without_a_global_position_it_lands_where_it_cannot_hold(flying: Px4, machine: VirtualPx4) -> None:
    machine.commander.has_global_position = False
    flying.hand_back()
    wait(lambda: machine.mode is Mode.LAND, 1.0)
    assert flying.ended == "it was asked for its own controller"


def test_a_px4_that_answers_no_request_gets_the_fallback_and_never_no_thrust(
    flying: Px4, machine: VirtualPx4, policy: LoadedPolicy
) -> None:
    machine.commander.set_mode = lambda mode, time_s: int(dialect.MAV_RESULT_FAILED)  # type: ignore[method-assign]
    begin = machine.time_s
    flying.hand_back()
    time.sleep(0.4)
    rung = policy.spec.envelope.fallback[0]
    assert isinstance(rung, LevelDescend)
    came = np.array(sent(machine, begin + 0.05))
    assert len(came) > 20 and np.abs(came[:, 0] - rung.base[0]).max() < 0.1
    machine.frozen = True  # the fallback loses its attitude: one last setpoint without rates, then silence
    wait(lambda: machine.commander.failsafe, 3.0)
    assert machine.mode is Mode.HOLD  # by COM_OBL_RC_ACT
    assert machine.setpoints[-1][2] == pytest.approx([rung.base[0], 0.0, 0.0, 0.0])
    assert min(s[0] for s in sent(machine, begin)) > 0.4


def test_a_px4_that_dies_in_the_air_ends_it(flying: Px4, machine: VirtualPx4) -> None:
    machine.power_off()
    wait(lambda: flying.stage is not Stage.FLYING, 1.0)
    assert "its envelope tripped: stale" in flying.ended
    assert flying.telemetry().age_s > 0.3


def test_a_companion_that_falls_silent_leaves_it_to_px4s_own_failsafe(flying: Px4, machine: VirtualPx4) -> None:
    flying.stage = Stage.OVER
    wait(lambda: machine.commander.failsafe, 2.0)
    wait(lambda: flying.link.heard("HEARTBEAT").custom_mode == Mode.HOLD.custom, 1.0)
    assert not flying.telemetry().fit_to_fly


def test_offboard_that_is_denied_is_said_and_px4_keeps_it(airborne: Px4, machine: VirtualPx4) -> None:
    machine.commander.offboard_possible = lambda time_s: False  # type: ignore[method-assign]
    airborne.hand_over()
    wait(lambda: airborne.stage is Stage.OVER, 1.5)
    assert "it does not enter OFFBOARD (temporarily_rejected: Switching to mode 'Offboard'" in airborne.ended
    assert not airborne.telemetry().policy_flies and machine.mode is Mode.HOLD
    airborne.land(1.0)
    assert machine.airframe.on_floor and not machine.commander.armed


def test_arming_that_is_denied_is_said_in_px4s_words(drone: Px4, machine: VirtualPx4, policy: LoadedPolicy) -> None:
    assert all(c.ok for c in drone.preflight(policy))
    machine.commander.ready = False
    with pytest.raises(Refused, match=r"does not arm \(temporarily_rejected\): Arming denied: Resolve system health"):
        drone.arm()


def refusal(machine: VirtualPx4, policy: LoadedPolicy) -> str:
    with Px4(URI) as drone, pytest.raises(RefusedToFly, match="does not take off") as refused:
        fly(drone, policy)
    assert machine.setpoints == [] and dialect.MAV_CMD_COMPONENT_ARM_DISARM not in machine.commands
    return str(refused.value)


def test_an_autopilot_of_another_make_is_refused_by_its_name(machine: VirtualPx4, policy: LoadedPolicy) -> None:
    machine.autopilot_type = dialect.MAV_AUTOPILOT_ARDUPILOTMEGA
    said = refusal(machine, policy)
    assert "autopilot: ARDUPILOTMEGA, quadrotor; this speaks PX4's modes" in said


def test_every_check_that_fails_is_named_with_its_remedy(machine: VirtualPx4, policy: LoadedPolicy) -> None:
    machine.commander.armed = True
    machine.commander.ready = False
    machine.estimator_flags = dialect.ESTIMATOR_CONST_POS_MODE
    machine.mute.add("LOCAL_POSITION_NED")
    machine.airframe.charge = 0.2
    machine.parameters.update(COM_OF_LOSS_T=5.0, MC_ROLLRATE_K=2.0, MPC_THR_HOVER=0.5)
    said = refusal(machine, policy)
    for line in (
        "state: armed, active, on the ground, in POSITION; has to stand by",
        "its own checks: not passed; see what it says in QGroundControl",
        "estimator: no attitude, no horizontal velocity",
        "LOCAL_POSITION_NED: 0 a second",
        "battery: 0.84 V a cell, 20 %; charge it",
        "loss of setpoints: after COM_OF_LOSS_T = 5 s COM_OBL_RC_ACT = 5, hold; set COM_OF_LOSS_T",
        "rate controller: MC_ROLLRATE_P x K = 0.14, trained with 0.07",
        "hover thrust: MPC_THR_HOVER = 0.500, trained with 0.667; set it to what a log of a hover says",
    ):
        assert line in said


def test_what_it_does_without_setpoints_and_what_it_does_not_answer_is_refused(
    machine: VirtualPx4, policy: LoadedPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    del machine.parameters["MC_YAWRATE_FF"]
    machine.parameters.update(COM_OBL_RC_ACT=7, BAT1_N_CELLS=0)
    said = refusal(machine, policy)
    assert "rate controller: no answer for MC_YAWRATE_FF" in said
    assert "COM_OBL_RC_ACT = 7; set" in said and "it does not know its cells; set BAT1_N_CELLS" in said


def test_a_stream_that_is_too_slow_for_the_ages_is_refused(
    drone: Px4, machine: VirtualPx4, policy: LoadedPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mavlink_checks, "ask_for_streams", lambda link, spec: None)  # as if PX4 did not listen
    machine._period_s["ATTITUDE_QUATERNION"] = 0.3
    check = {c.what: c for c in drone.preflight(policy)}["ATTITUDE_QUATERNION"]
    assert not check.ok and "a second, longest gap" in check.found
    assert "attitude, body_rate may be 400 ms old: it has to come 5 times a second" in check.remedy


def test_a_policy_of_rotor_speeds_is_refused(drone: Px4, quadrotor_spec: object) -> None:
    found = drone.preflight(SimpleNamespace(spec=quadrotor_spec))  # type: ignore[arg-type]
    assert not found[0].ok and found[0].found == "front_right, back_right, back_left, front_left"
    assert found[0].remedy == "train it with --action thrust_and_rates"


def test_an_empty_battery_is_a_cells(flying: Px4, machine: VirtualPx4) -> None:
    machine.airframe.charge, flying._cells = 0.8, 2.0
    wait(lambda: flying.telemetry().supply_v == pytest.approx(1.68), 1.0)


def test_stop_disarms_in_the_air(flying: Px4, machine: VirtualPx4) -> None:
    flying.stop()
    wait(lambda: not machine.commander.armed, 0.5)
    since = quiet_since(machine)
    time.sleep(0.1)
    assert sent(machine, since) == []


def test_whatever_is_not_this_machine_needs_a_switch(policy: LoadedPolicy) -> None:
    for uri in ("mavlink:///dev/ttyACM0:921600", "udpin://0.0.0.0:14540", "udpout://192.168.1.2:14540"):
        with pytest.raises(RefusedToFly, match="--dead-man"):
            GuardedFlight(Px4(uri), policy, Hover(), seconds=1.0)


def test_an_address_that_does_not_serve_is_said_so(drone: Px4, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robostack_real.devices.mavlink.CONNECT_S", 0.2)
    with pytest.raises(NoAnswer, match=r"no autopilot's heartbeat in 0.2 s; check its power"), Px4(NOBODYS_URI):
        pass
    with pytest.raises(PortBusy, match="QGroundControl"), Px4(URI):
        pass
    with pytest.raises(PortAbsent, match=r"/dev/ttyNobodys: .*; plug it in"), Px4("mavlink:///dev/ttyNobodys:57600"):
        pass


@pytest.mark.parametrize("uri", ["udpin://127.0.0.1", "udpin://127.0.0.1:99999", "mavlink:///dev/ttyACM0"])
def test_an_address_that_says_too_little_is_refused(uri: str) -> None:
    with (
        pytest.raises(ContractError, match=r"needs .*: (udpin://127.0.0.1:14540|mavlink:///dev/ttyACM0:921600)"),
        Px4(uri),
    ):
        pass


def test_telemetry_of_a_closed_link_is_lost(machine: VirtualPx4) -> None:
    drone = Px4(URI)
    with drone:
        pass
    with pytest.raises(LinkLost, match="is gone"):
        drone.telemetry()


def test_the_policy_says_what_its_rate_controller_was() -> None:
    assert make_spec().provenance["machine"]["rate_p"] == (0.07, 0.07, 0.2)
