"""Claims: the tactile stack moves an arm by poses over real DDS; pressed on the table the arm yields as its stiffness
says and its skin feels it; nothing moves unasked, and when the policy dies the pose is held."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Ear, Running

from robostack.devices import connect
from robostack.export.graph import Graph
from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack.spec import ContractError, PolicySpec
from robostack_real.nodes import wire
from robostack_real.stacks.tactile import tactile
from robostack_real.twins.arm import VirtualArm
from robostack_sim.tactile.gripper import Impedance
from robostack_sim.tactile.interface import MODALITIES
from robostack_sim.tactile.placement.config import PlacementConfig
from robostack_sim.tactile.placement.task import TactilePlacement

FRICTION = 0.3
"""of peg and table"""
POSE = "geometry_msgs/msg/PoseStamped"
GOAL_M = (0.5, 0.0, 0.03)
"""of the gripper: the place that the stack tells, and a height at which the peg is long on the table"""


class Reach:
    """Moves the pose to hold on to a height over the place that it is told."""

    def __init__(self) -> None:
        self.weights, self.bias = np.zeros((6, 6), np.float32), np.zeros(6, np.float32)
        self.weights[:3, :3], self.weights[:3, 3:] = -0.2 * np.eye(3), 0.2 * np.eye(3)
        self.bias[2] = 0.2 * GOAL_M[2]

    def onnx(self, graph: Graph, names: dict[str, str], applied: str, state: str | None) -> tuple[str, None]:
        y = graph.op("Concat", names["arm_target_position"], names["place"], axis=1)
        return graph.op("Gemm", y, graph.constant(self.weights), graph.constant(self.bias), transB=1), None

    def __call__(self, observation: Any, applied: Any, state: Any, /) -> tuple[Any, None]:
        y = np.concatenate([observation["arm_target_position"], observation["place"]], 1)
        return y @ self.weights.T + self.bias, None


@pytest.fixture(scope="module")
def reach(tmp_path_factory: pytest.TempPathFactory) -> LoadedPolicy:
    config = PlacementConfig(num_envs=1)
    task, actor = TactilePlacement(config), Reach()
    spec = PolicySpec(
        task=task.name, control_dt_s=task.step_dt, actions=task.actions, envelope=task.envelope,
        observations=[c for c in task.channels if c.name in MODALITIES["anyskin"]],
        provenance={"settings": asdict(config)},
    )  # fmt: skip
    return export_onnx(actor, spec, tmp_path_factory.mktemp("policy") / "policy.onnx", reference=actor)


@pytest.fixture(scope="module")
def arm(domain: int) -> Iterator[VirtualArm]:
    with VirtualArm(config=PlacementConfig(tilt_rad=0.0), domain=domain) as arm:
        yield arm


@pytest.fixture(scope="module")
def stack(reach: LoadedPolicy, domain: int, ear: Ear, arm: VirtualArm) -> Iterator[Running]:
    with Running(Path(reach.origin), domain, tactile, target="arm") as running:
        running.await_ready(ear)
        yield running


def held_m(arm: VirtualArm) -> np.ndarray:
    return arm.task.arm_position[0].numpy().copy()


def test_a_pose_that_is_none_is_not_followed_and_a_second_sender_keeps_it_from_arming(
    stack: Running, ear: Ear, arm: VirtualArm
):
    before = held_m(arm)
    sender = ear.node.create_publisher(wire.message_type(POSE), "/arm_twin/arm_target", wire.newest())
    nowhere, upside_down = wire.new(POSE), wire.new(POSE)
    nowhere.pose.position.x, upside_down.pose.orientation.x = float("nan"), 1.0
    nowhere.pose.orientation.w = upside_down.pose.orientation.w = 0.01
    ear.start()

    def refused() -> bool:
        sender.publish(nowhere)
        sender.publish(upside_down)
        return "somebody else sends /arm_twin/arm_target" in ear.report("device").values["refused"]

    ear.until(refused, "refused")
    assert np.array_equal(held_m(arm), before) and ear.state("device") == "disarmed"
    ear.ask("estop")
    ear.node.destroy_publisher(sender)
    ear.until(lambda: ear.state("supervisor") == "stopped", "stopped")
    ear.reset()
    ear.until(lambda: ear.state("device") == "disarmed" and ear.state("policy") == "ready", "on the ground")


def test_it_follows_the_poses_that_it_is_sent_and_yields_where_it_presses(stack: Running, ear: Ear, arm: VirtualArm):
    sent = ear.keep("/arm_twin/arm_target", POSE)
    ear.listen("anyskin", "std_msgs/msg/Float64MultiArray")
    start = held_m(arm)
    ear.until(lambda: "anyskin" in ear.newest, "it feels")
    gripped = np.array(ear.newest["anyskin"].data)
    assert np.array_equal(held_m(arm), start) and not sent  # the policy acts, and nobody is armed
    ear.start()
    ear.until(lambda: np.abs(held_m(arm) - GOAL_M).max() < 1e-3, "the pose over the place is held", 8.0)

    def in_balance() -> bool:
        x, y, up = (arm.task.gripper.pose[0, :3].numpy() - held_m(arm)).tolist()
        springs_n, table_n = Impedance().stiffness_n_m * up, float(arm.task.touch.load_n[0, :, 1].sum())
        return table_n > 3.0 and abs(springs_n - table_n) < 0.1 * table_n and np.hypot(x, y) < FRICTION * up + 1e-3

    ear.until(in_balance, "its springs carry what the table pushes", 5.0)
    assert np.abs(np.array(ear.newest["anyskin"].data) - gripped).max() > 20.0
    assert ear.state("device") == "armed" and ear.report("device").values["fallbacks"] == "0", stack.lines
    assert sent[-1][1].header.frame_id == "odom" and sent[-1][1].pose.orientation.w == pytest.approx(1.0, abs=1e-3)
    # others may be at work on a test's machine
    assert np.median(np.diff([when for when, _ in sent])) == pytest.approx(1 / 60, abs=0.01)


def test_when_the_policy_dies_the_pose_is_held(stack: Running, ear: Ear, arm: VirtualArm):
    if ear.state("device") != "armed":
        ear.start()
        ear.until(lambda: ear.state("device") == "armed", "armed")
    stack.running["policy"].send_signal(signal.SIGKILL)
    ear.until(lambda: ear.state("device") == "fallback", "fallback", 1.0)
    held = held_m(arm)
    ear.for_s(0.3)
    assert np.array_equal(held_m(arm), held) and "no action for" in ear.report("device").values["why"]


def test_what_is_no_arm_of_this_contract_is_refused(reach: LoadedPolicy, monkeypatch: pytest.MonkeyPatch):
    other = replace(reach, spec=reach.spec.model_copy(update={"actions": reach.spec.actions[:1]}))
    with pytest.raises(ContractError, match="this policy commands arm_shift and reads arm, arm_target, place"):
        connect("arm://left", other)
    with pytest.raises(ContractError, match="pose=NAME and target=NAME, not speed"):
        connect("arm://left?speed=3", reach)
    monkeypatch.setattr("robostack_real.devices.arm.FIRST_S", 0.2)
    with pytest.raises(ConnectionError, match="no pose on /nobody/arm"), connect("arm://nobody", reach):
        pass
