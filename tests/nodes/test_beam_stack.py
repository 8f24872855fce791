"""Claims: the beam stack corrects an unknown machine over real DDS, makes each move once, and holds every corrector
whatever happens to whom."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from running import Ear, Running
from steering import ARRAY, JOINTS, Beam, export

from robostack.export.onnx import load_policy
from robostack_real.nodes import wire
from robostack_real.stacks.beam import beam as beam_stack
from robostack_sim.beam.config import BeamOrbitConfig

STEP_A, DT_S = 0.5, 0.2
GOLDEN_M = {"bpm_1_x": 0.5e-3, "bpm_4_y": -0.3e-3}
DESIGN = BeamOrbitConfig(num_envs=1, step_dt=DT_S, step_max_a=STEP_A, optics_error=0.0, gain_error=0.1,
                         flipped_correctors=0, dead_share=0.0, bpm_noise_m=1e-5, drift_m=0.0)  # fmt: skip


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(export(tmp_path_factory.mktemp("policy") / "policy.onnx", DESIGN, gain=0.3).origin)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine's file, of which only the golden orbit is read here."""
    from importlib.resources import files

    text = files("robostack_real.devices.epics").joinpath("cafe2_cm1.toml").read_text(encoding="utf-8")
    golden = "\n".join(f"{reading} = {value}" for reading, value in GOLDEN_M.items())
    path = tmp_path_factory.mktemp("machine") / "machine.toml"
    path.write_text(text.replace("[target_m]", f"[target_m]\n{golden}"))
    return path


@pytest.fixture(scope="module")
def bag(policy: Path, domain: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """`robostack record`, from before the stack until the last test ends it."""
    path = tmp_path_factory.mktemp("bag") / "run.mcap"
    command = [sys.executable, "-m", "robostack", "record", "--policy", str(policy), "-o", str(path)]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def stack(
    policy: Path, config: Path, domain: int, ear: Ear, seen: Beam, bag: subprocess.Popen[str]
) -> Iterator[Running]:
    with Running(policy, domain, beam_stack, config=str(config)) as running:
        running.await_ready(ear)
        yield running


@pytest.fixture(scope="module")
def seen(ear: Ear, policy: Path) -> Beam:
    return Beam(ear, load_policy(policy), GOLDEN_M)


@pytest.fixture
def beam(stack: Running, seen: Beam) -> Beam:
    seen.on_the_ground(stack)
    return seen


def assert_held(beam: Beam, since_a: np.ndarray) -> None:
    """For three periods and more."""
    beam.ear.for_s(3.5 * DT_S)
    assert np.array_equal(beam.current_a, since_a) and np.abs(since_a).max() > 0.1


def test_nothing_moves_before_it_is_armed_though_the_policy_acts(beam: Beam) -> None:
    beam.ear.for_s(2 * DT_S)
    assert not beam.current_a.any() and beam.moves() == 0
    assert np.abs(beam.action_a).max() == pytest.approx(STEP_A)
    assert beam.rms_mm > 1.0


def test_a_policy_knows_each_reading_once_and_what_was_made_of_each_move(beam: Beam) -> None:
    beam.move(4)
    assert beam.acted_again() < 1e-5
    steps = np.array(list(beam.applied().values()))
    assert np.abs(steps).max() == pytest.approx(STEP_A)  # the envelope's: it asks for more
    assert beam.ear.report("device").values["fallbacks"] == "0"


def test_a_killed_policy_makes_no_further_move_and_everything_holds(beam: Beam, stack: Running) -> None:
    ear = beam.ear
    beam.move(2)
    stack.running["policy"].send_signal(signal.SIGKILL)
    stack.running["policy"].wait()
    killed = time.monotonic()
    ear.for_s(1.2 * DT_S)  # the move that it answered last
    held = beam.current_a
    ear.until(lambda: ear.state("device") == "fallback", "fallback", 3.0 * DT_S + DT_S + 0.5)
    assert "no action for" in ear.report("device").values["why"] and time.monotonic() - killed > 2.0 * DT_S
    assert_held(beam, held)
    asked = beam.actions()
    moved = {stamp: step for stamp, step in beam.applied().items() if step.any()}
    assert all(np.allclose(step, asked[stamp]) for stamp, step in moved.items())


def test_a_stop_request_holds_and_the_next_start_goes_on_from_there(beam: Beam) -> None:
    ear = beam.ear
    beam.move(2)
    asked = time.monotonic()
    assert ear.ask("stop").success
    ear.until(lambda: ear.state("device") == "disarmed" and ear.state("supervisor") == "stopped", "disarmed", 3.0)
    assert time.monotonic() - asked < 2.0
    assert_held(beam, beam.current_a)


def test_a_reading_that_is_no_number_is_not_acted_on(beam: Beam) -> None:
    ear, topic = beam.ear, beam.policy.spec.observations[0]
    beam.move(1)
    sender = ear.node.create_publisher(wire.message_type(JOINTS), "bpm_position", wire.newest())
    bad = wire.new(JOINTS)
    bad.name, bad.position = list(topic.elements), [float("nan")] * topic.size

    def spoil() -> bool:
        wire.put_stamp(bad.header, time.time_ns())
        sender.publish(bad)
        return ear.state("device") == "fallback"

    ear.until(spoil, "fallback")
    ear.node.destroy_publisher(sender)
    assert "the policy asks for the fallback" in ear.report("device").values["why"]
    assert "invalid bpm_position" in ear.report("policy").values["why"]
    ear.for_s(DT_S)
    assert_held(beam, beam.current_a)


def test_it_corrects_the_orbit_to_the_golden_one(beam: Beam) -> None:
    beam.move(2)
    beam.ear.until(lambda: beam.rms_mm < 0.3, "corrected")
    assert beam.ear.state("device") == "armed"


def test_the_doctor_finds_all_of_the_stack_well(beam: Beam, policy: Path, domain: int) -> None:
    command = [sys.executable, "-m", "robostack", "doctor", str(policy), "--stack", "beam", "--seconds", "1", "--json"]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    found = {(f["topic"], f["what"]): f for f in json.loads(done.stdout)}
    assert done.returncode == 0, found
    nodes = {role: found[f"{role}_status", "state"]["found"] for role in ("device", "policy", "setpoint", "supervisor")}
    assert nodes == {"device": "disarmed", "policy": "ready", "setpoint": "waiting", "supervisor": "idle"}
    assert all(found[topic, "rate"]["level"] != "error" for topic in ("bpm_position", "corrector_current"))


def test_all_of_it_is_in_the_bag(beam: Beam, bag: subprocess.Popen[str]) -> None:
    bag.send_signal(signal.SIGINT)
    said, _ = bag.communicate(timeout=20)
    assert bag.returncode == 0, said
    with Path(bag.args[bag.args.index("-o") + 1]).open("rb") as file:
        heard = [(channel.topic, schema.name) for schema, channel, _ in make_reader(file).iter_messages()]
    for topic, kind in {"bpm_position": JOINTS, "corrector_current": ARRAY, "target_orbit": JOINTS, "action": JOINTS,
                        "applied_action": JOINTS, "device_status": wire.STATUS_TYPE}.items():  # fmt: skip
        assert heard.count((f"/{topic}", kind)) > 10, topic
