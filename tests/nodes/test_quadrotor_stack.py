"""Claims: the quadrotor stack flies a trained policy over real DDS, and whatever dies, the vehicle falls back."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
from running import Ear, Running
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

from robostack.export.onnx import load_policy
from robostack_real.nodes import wire

MARGIN_S = 0.25
"""A test machine's own delays; how quick a fallback is on a quiet one is a benchmark's affair."""


@pytest.fixture(autouse=True)
def on_the_stand(stack: Running, ear: Ear) -> None:
    """Before each test everything runs, and the supervisor is idle."""
    for role in stack.ended():
        stack.again(role)
    ear.until(lambda: all(r and r.age_s() < 0.2 for r in (ear.report("supervisor"), ear.report("device"))), "both")
    if ear.state("supervisor") != "idle" or ear.state("device") != "disarmed":
        ear.ask("estop")
        ear.until(lambda: ear.state("supervisor") == ear.state("device") == "stopped", "stopped")
        ear.reset()
    ear.until(
        lambda: ear.state("policy") == "ready" and ear.state("device") == "disarmed"
        and ear.state("supervisor") == "idle" and all(ear.report(r).age_s() < 1 for r in ("policy", "device")),
        "all on the stand",
    )  # fmt: skip


def fly(ear: Ear) -> None:
    ear.start()
    ear.until(lambda: ear.state("device") == "armed", "armed")
    ear.until(lambda: ear.state("policy") == "acting", "acting")


def distance_m(ear: Ear) -> float:
    p = ear.newest["truth"].pose.pose.position
    return float(np.linalg.norm([p.x, p.y, p.z]))


def test_it_hovers(stack: Running, ear: Ear) -> None:
    fly(ear)
    ear.for_s(2.0)
    worst = 0.0
    for _ in range(50):
        ear.for_s(0.02)
        worst = max(worst, distance_m(ear))
    assert ear.state("device") == "armed" and ear.report("device").values["fallbacks"] == "0", stack.lines
    assert worst < 0.15


def test_nothing_reaches_the_rotors_before_it_is_armed(stack: Running, ear: Ear, policy: object) -> None:
    ear.for_s(0.3)
    low = load_policy(policy).spec.action_limit("neutral")  # type: ignore[arg-type]
    assert list(ear.newest["applied_action"].velocity) == pytest.approx(low)
    assert max(ear.newest["action"].velocity) > 500  # though the policy acts


@pytest.mark.parametrize(
    ("role", "why"),
    [("policy", "no action for"), ("setpoint", "the policy asks for the fallback"), ("supervisor", "has been silent")],
)
def test_a_killed_process_is_a_fallback_and_may_come_back_at_once(
    stack: Running, ear: Ear, role: str, why: str
) -> None:
    fly(ear)
    declared = {"policy": 0.05, "setpoint": 0.5, "supervisor": 0.25}[role]
    stack.running[role].send_signal(signal.SIGKILL)
    stack.running[role].wait()
    killed = time.monotonic()
    ear.until(lambda: ear.state("device") == "fallback", "fallback", declared + 0.01 + MARGIN_S)
    report = ear.report("device")
    assert why in report.values["why"] and report.values["rung"] == "0"
    assert time.monotonic() - killed < declared + 0.01 + MARGIN_S
    if role != "supervisor":
        ear.until(lambda: ear.state("supervisor") == "fallback", "latched")
        assert not ear.ask("start").success
    stack.again(role)
    ear.until(lambda: ear.state(role) != "" and ear.report(role).session != report.values.get(role), "back")
    ear.until(lambda: ear.state("supervisor") == "fallback", "taken over")
    assert ear.state("device") == "fallback"  # coming back is no reason to fly again
    assert ear.ask("stop").success
    ear.until(lambda: ear.state("device") == "disarmed", "disarmed")


def test_a_killed_device_is_noticed(stack: Running, ear: Ear) -> None:
    fly(ear)
    stack.running["sim"].send_signal(signal.SIGKILL)
    ear.until(lambda: ear.state("supervisor") == "fallback", "noticed")
    stack.running["sim"].wait()
    assert "does not tell" in ear.report("supervisor").values["why"]
    stack.again("sim")
    ear.until(lambda: ear.report("device").age_s() < 0.1 and ear.state("policy") == "ready", "back")
    ear.for_s(1.0)
    assert ear.state("device") == "disarmed"  # nobody asked for another flight


def test_the_estop_of_anybody_stops_and_holds(stack: Running, ear: Ear) -> None:
    fly(ear)
    button = ear.node.create_publisher(Bool, "estop", wire.kept())
    button.publish(Bool(data=True))
    ear.until(lambda: ear.state("device") == "stopped" and ear.state("supervisor") == "stopped", "stopped", 2.0)
    assert not ear.ask("start").success
    ear.node.destroy_publisher(button)
    ear.reset()
    ear.until(lambda: ear.state("device") == "disarmed", "released")


def test_an_estop_is_not_taken_back_before_the_device_has_heard_of_it(stack: Running, ear: Ear) -> None:
    fly(ear)
    stack.running["sim"].send_signal(signal.SIGSTOP)
    ear.ask("estop")
    answer = ear.ask("reset")
    stack.running["sim"].send_signal(signal.SIGCONT)
    assert not answer.success and "armed when last heard" in answer.message
    ear.until(lambda: ear.state("device") == "stopped", "stopped", 2.0)
    ear.reset()


def test_a_second_sender_is_ignored_in_flight_and_refused_on_the_ground(stack: Running, ear: Ear) -> None:
    fly(ear)
    publisher = ear.node.create_publisher(JointState, "action", wire.newest())
    other = JointState()
    other.header.frame_id = "policy-intruder"
    other.name = list(ear.newest["action"].name)
    other.velocity = [0.0] * 4

    def intrude() -> None:
        publisher.publish(other)
        ear.for_s(0.01)

    for _ in range(100):
        intrude()
    report = ear.report("device")
    assert report.state == "armed" and report.values["other_senders"] == "policy-intruder" and report.level == 1
    assert distance_m(ear) < 0.2
    ear.ask("estop")
    ear.until(lambda: ear.state("device") == "stopped", "stopped")
    ear.reset()
    ear.until(lambda: ear.state("policy") == "ready" and ear.state("supervisor") == "idle", "ready")
    ear.ask("start")
    ear.until(lambda: (intrude(), "policy-intruder also sends actions" in ear.report("device").values["refused"])[1],
              "refused")  # fmt: skip
    ear.node.destroy_publisher(publisher)
    ear.until(lambda: ear.state("device") == "armed", "armed once the other is silent")


def test_a_second_supervisor_is_told_of_in_flight_and_keeps_everybody_on_the_ground(stack: Running, ear: Ear) -> None:
    fly(ear)
    publisher = ear.node.create_publisher(wire.message_type(wire.STATUS_TYPE), "heartbeat", wire.newest())
    interface = ear.report("device").values["interface_hash"]
    wish = {"wish": "arm", "policy": ear.report("policy").session, "interface_hash": interface}
    message = wire.Report("supervisor", "supervisor-intruder", "active", wish).put(wire.new(wire.STATUS_TYPE))

    def intrude() -> None:
        publisher.publish(message)
        ear.for_s(0.02)

    def told(role: str) -> bool:
        intrude()
        return ear.report(role).values["other_supervisors"] == "supervisor-intruder"

    ear.until(lambda: told("device") and told("supervisor"), "told of")
    assert ear.report("device").level == ear.report("supervisor").level == 1 and ear.state("device") == "armed"
    ear.ask("estop")
    ear.until(lambda: (intrude(), ear.state("device") == "stopped")[1], "stopped")
    ear.reset()
    ear.until(lambda: (intrude(), ear.state("device") == "disarmed" and ear.state("policy") == "ready")[1], "ready")
    for _ in range(30):
        intrude()
        assert ear.state("device") == "disarmed"  # though it wishes to arm: two speak
    ear.until(lambda: (intrude(), "both supervise" in ear.report("device").values["refused"])[1], "refused")
    answer = ear.ask("start")
    assert not answer.success and "supervisor-intruder also supervises" in answer.message
    ear.node.destroy_publisher(publisher)


def test_stop_is_the_fallback_first_and_then_disarmed(stack: Running, ear: Ear) -> None:
    fly(ear)
    assert ear.ask("stop").success
    ear.until(lambda: ear.state("device") == "fallback" and ear.state("supervisor") == "ending", "descends", 2.0)
    ear.until(lambda: ear.state("device") == "disarmed" and ear.state("supervisor") == "stopped", "disarmed", 6.0)


def test_ending_the_supervisor_brings_the_machine_down_and_disarms(stack: Running, ear: Ear) -> None:
    fly(ear)
    stack.running["supervisor"].send_signal(signal.SIGINT)
    ear.until(lambda: ear.state("device") == "fallback", "level and descend", 1.0)
    assert "asks for the fallback" in ear.report("device").values["why"]
    began = time.monotonic()
    ear.until(lambda: ear.state("device") == "disarmed", "disarmed", 6.0)
    assert time.monotonic() - began > 2.0  # its ladder's first rung takes three seconds
    assert stack.running["supervisor"].wait(timeout=5.0) == 0


def test_a_device_that_is_ended_in_flight_comes_down_first(stack: Running, ear: Ear) -> None:
    fly(ear)
    stack.running["sim"].send_signal(signal.SIGINT)
    began = time.monotonic()
    ear.until(lambda: ear.state("device") == "fallback", "level and descend", 1.0)
    assert "being ended" in ear.report("device").values["why"]
    assert stack.running["sim"].wait(timeout=6.0) == 0
    assert time.monotonic() - began > 2.0
