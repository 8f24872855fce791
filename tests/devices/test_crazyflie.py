"""Claims: the real cflib flies the real app in a virtual Crazyflie, and any doubt hands back and lands.

The policy is tests/crazyflie/policy/infer.c, which misbehaves when a setpoint's acceleration asks for it.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from robostack.evaluate import guarded
from robostack.evaluate.flight import STATUS, Flight
from robostack.evaluate.guarded import GuardedFlight, Outcome, RefusedToFly
from robostack.evaluate.trajectory import FigureEight, Hover
from robostack_real.devices.crazyflie import Crazyflie, quat_wxyz
from robostack_real.link.errors import LinkLost, NoAnswer
from robostack_real.twins.crazyflie import VirtualCrazyflie

STOCK, POLICY = STATUS.index("stock"), STATUS.index("policy")


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "TAKE_OFF_S", 1.0)
    monkeypatch.setattr(guarded, "SETTLE_S", 0.5)
    monkeypatch.setattr(guarded, "LAND_S", 1.0)


@dataclass(frozen=True)
class After:
    """Hovers, and from `seconds` on asks the policy to misbehave: see infer.c."""

    seconds: float
    request: tuple[float, float] = (0.0, 0.0)
    name = "hover"

    def at(self, time_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        asked = (*self.request, 0.0) if time_s > self.seconds else (0.0,) * 3
        return np.zeros(3), np.zeros(3), np.array(asked)


def fly(crazyflie: Crazyflie, policy: SimpleNamespace, what: object = Hover(), **how: object) -> Outcome:
    return GuardedFlight(crazyflie, policy, what, **{"seconds": 1.5, **how}).fly()  # type: ignore[arg-type]


def meddle(machine: VirtualCrazyflie, seconds: float, what: Callable[[VirtualCrazyflie], None]) -> None:
    """Does `what` in every millisecond from `seconds` after the policy took over."""
    since: list[int] = []

    def step(machine: VirtualCrazyflie) -> None:
        if machine.logs["rsp.active"].value and not since:
            since.append(machine.time_ms)
        if since and machine.time_ms - since[0] > 1000 * seconds:
            what(machine)

    machine.before_step = step


def on_the_floor(machine: VirtualCrazyflie) -> bool:
    return machine.airframe.state[2] < 0.02 and not machine.supervisor.crashed


def test_a_hover_takes_off_hands_over_hands_back_and_lands(
    crazyflie: Crazyflie, machine: VirtualCrazyflie, policy: SimpleNamespace
) -> None:
    told: list[str] = []
    outcome = fly(crazyflie, policy, tell=told.append)
    assert outcome.doubt == ""
    assert told == ["take off to 0.5 m", "the policy flies: hover, 1.5 s", "hand back and land"]
    flight = outcome.flight
    assert flight is not None
    flown = flight.under_policy()
    assert len(flown) * flight.dt_s > 1.5
    assert np.abs(flown["position"] - flown["reference"]).max() < 0.1
    assert (flown["action"] > 500).all() and not flight["action"][flight.status == STOCK].any()
    assert on_the_floor(machine) and not machine.supervisor.armed
    assert machine.airframe.impact_m_s < 1.0


def test_a_figure_eight_is_followed(crazyflie: Crazyflie, policy: SimpleNamespace, machine: VirtualCrazyflie) -> None:
    # the hand-written policy takes an acceleration for a request: this one asks for none
    eight = FigureEight(period_s=8.0, amplitude_m=(0.5, 0.25))
    calm = SimpleNamespace(name="figure_eight", at=lambda t: (*eight.at(t)[:2], np.zeros(3)))
    outcome = fly(crazyflie, policy, calm, seconds=3.0)
    assert outcome.doubt == "" and outcome.flight is not None
    flown = outcome.flight.under_policy()
    assert np.ptp(flown["position"][:, 0]) > 0.3
    assert np.abs(flown["position"] - flown["reference"]).max() < 0.45


@pytest.mark.parametrize(
    ("request_", "said"),
    [((1.0, 0.0), "envelope tripped: non_finite_action"), ((2.0, 0.0), "envelope tripped: non_finite_state")],
)
def test_a_policy_that_is_not_finite_is_ended_by_the_machine_and_lands(
    crazyflie: Crazyflie, machine: VirtualCrazyflie, policy: SimpleNamespace, request_: tuple[float, float], said: str
) -> None:
    outcome = fly(crazyflie, policy, After(0.3, request_))
    assert said in outcome.doubt
    assert on_the_floor(machine)


def test_a_policy_that_flies_away_is_handed_back_at_the_limit(
    crazyflie: Crazyflie, machine: VirtualCrazyflie, policy: SimpleNamespace
) -> None:
    outcome = fly(crazyflie, policy, After(0.2, (5.0, 17.0)))  # all rotors a little too fast: it climbs
    assert "off its reference" in outcome.doubt or "fence" in outcome.doubt
    assert outcome.flight is not None
    assert outcome.flight["position"][:, 2].max() < 2.2
    assert on_the_floor(machine)


def test_the_dead_mans_switch_let_go_lands(
    crazyflie: Crazyflie, machine: VirtualCrazyflie, policy: SimpleNamespace
) -> None:
    outcome = fly(crazyflie, policy, held=lambda: not machine.logs["rsp.active"].value)
    assert outcome.doubt == "the dead man's switch was let go"
    assert on_the_floor(machine)


def test_ctrl_c_lands_and_a_second_one_stops_the_motors(
    crazyflie: Crazyflie, machine: VirtualCrazyflie, policy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impatient(self: Crazyflie, seconds: float) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Crazyflie, "land", impatient)

    def once(machine: VirtualCrazyflie) -> None:
        machine.before_step = lambda machine: None
        os.kill(os.getpid(), signal.SIGINT)

    meddle(machine, 0.3, once)
    outcome = fly(crazyflie, policy)
    assert outcome.doubt == "Ctrl-C while landing: motors stopped"
    time.sleep(0.2)
    assert machine.supervisor.locked and not any(machine.motion.rotor_speed_rad_s)


def test_an_empty_battery_lands(crazyflie: Crazyflie, machine: VirtualCrazyflie, policy: SimpleNamespace) -> None:
    meddle(machine, 0.3, lambda m: setattr(m.airframe, "charge", 3.1 / 4.2))
    outcome = fly(crazyflie, policy)
    assert "the battery has 3.0" in outcome.doubt
    assert on_the_floor(machine)


def test_an_estimator_that_loses_itself_hands_back_by_itself(
    crazyflie: Crazyflie, machine: VirtualCrazyflie, policy: SimpleNamespace
) -> None:
    def lose(machine: VirtualCrazyflie) -> None:
        machine.app.world.position_std_m[:] = (9.0, 9.0, 9.0)

    meddle(machine, 0.3, lose)
    outcome = fly(crazyflie, policy)
    assert outcome.doubt == "its estimator lost its position"
    assert on_the_floor(machine)


def test_a_link_that_is_lost_in_flight_leaves_the_machine_to_its_own_watchdog(
    crazyflie: Crazyflie, machine: VirtualCrazyflie, policy: SimpleNamespace
) -> None:
    meddle(machine, 0.3, lambda m: setattr(m, "loss", 1.0))
    outcome = fly(crazyflie, policy)
    assert "no telemetry for" in outcome.doubt and "does not say that it is disarmed" in outcome.doubt
    deadline = time.monotonic() + 6.0
    while (machine.logs["rsp.active"].value or not machine.airframe.on_floor) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert machine.airframe.on_floor and not machine.logs["rsp.active"].value


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda m, p: setattr(p, "policy_hash", "ab" * 32), r"policy on board: c0ffee42, this file has abababab"),
        (lambda m, p: setattr(m.params["deck.bcLighthouse4"], "value", 0), "positioning deck: none"),
        (lambda m, p: setattr(m.airframe, "charge", 0.8), r"battery: 3\.3\d V"),
        (lambda m, p: m.supervisor.emergency_stop(), "supervisor: bits"),
        (lambda m, p: m.app.world.position_std_m.__setitem__(slice(None), (1.0,) * 3), "position known to 1000 mm"),
    ],
    ids=["another policy", "no deck", "low battery", "locked", "lost"],
)
def test_a_check_that_fails_before_take_off_is_named_with_its_remedy(
    machine: VirtualCrazyflie, policy: SimpleNamespace, spoil: Callable[..., None], said: str
) -> None:
    spoil(machine, policy)
    time.sleep(0.1)
    with Crazyflie(machine.uri) as crazyflie:
        time.sleep(0.3)
        with pytest.raises(RefusedToFly, match=said):
            fly(crazyflie, policy)
    assert machine.airframe.state[2] <= 0.0 and not machine.supervisor.armed


def test_a_machine_that_can_hurt_somebody_needs_a_switch(policy: SimpleNamespace) -> None:
    with pytest.raises(RefusedToFly, match="--dead-man"):
        GuardedFlight(Crazyflie("radio://0/80/2M"), policy, Hover(), seconds=1.0)  # type: ignore[arg-type]


def test_nobody_at_the_other_end_is_said_so() -> None:
    with pytest.raises(NoAnswer, match=r"udp://127.0.0.1:9: .*check its power"), Crazyflie("udp://127.0.0.1:9"):
        pass


def test_telemetry_of_a_closed_link_is_lost(crazyflie: Crazyflie) -> None:
    crazyflie._close()
    with pytest.raises(LinkLost, match="is gone"):
        crazyflie.telemetry()


@pytest.mark.parametrize(("roll", "pitch", "yaw"), [(0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, 90), (10, -20, 130)])
def test_euler_angles_of_a_crazyflie_become_a_quaternion(
    machine: VirtualCrazyflie, roll: float, pitch: float, yaw: float
) -> None:
    """Against the C that makes them from a quaternion, and there and back."""
    q = quat_wxyz(roll, pitch, yaw)
    assert np.linalg.norm(q) == pytest.approx(1.0)
    w, x, y, z = q
    assert math.degrees(math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))) == pytest.approx(roll, abs=1e-6)
    assert -math.degrees(math.asin(2 * (w * y - x * z))) == pytest.approx(pitch, abs=1e-6)
    assert math.degrees(math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))) == pytest.approx(yaw, abs=1e-6)


def test_a_flight_is_kept_as_a_table_and_as_a_flight(
    crazyflie: Crazyflie, policy: SimpleNamespace, tmp_path: object
) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    outcome = fly(crazyflie, policy, seconds=0.5)
    saved = guarded.save(outcome, folder / "policy.onnx", folder, "guarded_x")
    assert saved == folder / "flights" / "guarded_x.csv"
    head, *rows = saved.read_text().splitlines()
    assert "position.0 [m]" in head and "action.front_right [rad/s]" in head and "supply [V]" in head
    assert outcome.flight is not None and len(rows) == len(outcome.flight)
    bag = guarded.save(outcome, folder / "policy.onnx", folder, "guarded_x", "mcap")
    with AnyReader([bag]) as reader:
        stamps = [t for connection, t, _ in reader.messages() if connection.topic == "odom"]
    assert len(stamps) == len(rows) and abs(stamps[0] - time.time_ns()) < 60e9
    kept = Flight.load(folder / "flights" / "guarded_x.npz")
    assert set(kept.status) == {POLICY}
    (duration, error) = guarded.judge(outcome, saved.parent)
    assert duration["value"] == pytest.approx(len(kept) * kept.dt_s) and error["value"] < 0.1
