"""Claims: who knows where the hole is and how the peg leans gets it in, who feels nothing where chance has it so; the
pads feel which side of the rim the peg stands on; and the task is made of what placement is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from robostack import cli
from robostack.evaluate.flight import Column, Flight
from robostack.evaluate.report import write_report
from robostack.export.onnx import load_policy
from robostack.run_folder import RunFolder
from robostack.spec import ContractError
from robostack_sim.tactile.insertion.config import InsertionConfig
from robostack_sim.tactile.insertion.task import TactileInsertion
from robostack_sim.tactile.interface import MODALITIES
from robostack_sim.tactile.sensor.readings import SensorModel

SMALL = InsertionConfig(num_envs=8, threads=1, steps=6)
MM = 1e-3


def ends(task: TactileInsertion, aim: Tensor, turn_rad: Tensor, steps: int) -> dict[str, Tensor]:
    """Over `aim` (num_envs, 2), m from the hole, by the peg's foot; the wrist turned by `turn_rad` about y; then down
    until something pushes with 3 N."""
    action = torch.zeros(task.num_envs, 6)
    for _ in range(steps):
        ahead, touching = aim - task.foot[:, :2], task.pushed_n > 1.5
        action[:, :2] = 0.2 * ahead * ~touching[:, None]
        action[:, 4] = 0.3 * (turn_rad - task.observe()["arm_target_rotation"][:, 1])
        ready = (ahead.norm(dim=1) < 1.5 * MM) & (action[:, 4].abs() < 0.01)
        held = 0.5 * MM * (task.pushed_n - 3.0).clamp(max=6.0)
        action[:, 2] = torch.where(touching, held, -3 * MM * ready)
        *_, extras = task.step(action)
    return extras


@pytest.mark.parametrize("peg", ["round", "octagonal"])
def test_who_knows_lean_and_hole_gets_the_peg_in(peg: str) -> None:
    task = TactileInsertion(InsertionConfig(num_envs=16, threads=1, peg=peg))
    found = ends(task, torch.zeros(16, 2), -task.tilt_in_grip, 120)
    assert found["success"].float().mean() > 0.95
    assert found["foot_m"].median() < 1 * MM and found["keypoints_m"].median() < 4.5 * MM


def test_who_feels_nothing_gets_it_in_where_chance_has_it_so() -> None:
    task = TactileInsertion(InsertionConfig(num_envs=32, threads=1))
    told = (task.told_m - task.place_m)[:, :2]
    # the foot of a leaning peg is elsewhere than the gripper, which alone is known
    length = 0.035 - task.along_in_grip
    lean = torch.stack([-length * task.tilt_in_grip.sin(), torch.zeros(32)], 1)
    found = ends(task, told + lean, torch.zeros(32), 120)
    assert 0.0 < found["success"].float().mean() < 0.3
    far = (told + lean).norm(dim=1) > 8 * MM
    assert not found["success"][far].any()


def test_the_pads_feel_on_which_side_of_the_rim_a_peg_stands() -> None:
    task = TactileInsertion(replace(SMALL, num_envs=4, sensor=SensorModel()))
    rows, zero = torch.arange(4), torch.zeros(4)
    at = task.place_m + torch.tensor([(-4.0, 0.0, 65.0), (4.0, 0.0, 65.0), (0.0, -4.0, 65.0), (0.0, 4.0, 65.0)]) * MM
    task.gripper.restart(rows, at, zero, zero - 0.01, zero + 15.0, task.place_m)
    task.touch.restart(rows, zero + 1.0)
    for _ in range(30):  # to 5 mm below the rim
        at[:, 2] = (at[:, 2] - 1 * MM).clamp(min=55 * MM)
        task.gripper.step(at, torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(4, 1))
        task.touch.sense()
    assert (task.foot[:, 2] > 14 * MM).all() and task.pushed_n.min() > 3.0
    y, x = torch.meshgrid(torch.arange(14.0) - 6.5, torch.arange(10.0) - 4.5, indexing="ij")
    shear_x, shear_y, push = task.touch.field_n[:, 0].unbind(1)
    turn = 2 * MM * (x * shear_y - y * shear_x).sum((1, 2))  # N m about the first pad's normal
    assert turn[0] * turn[1] < 0 and turn[:2].abs().min() > 3e-3 > 10 * turn[2:].abs().max()
    rise = (push * y).sum((1, 2)) / push.sum((1, 2))  # rows, from the middle to where it is pressed most
    rise = rise - rise[:2].mean()
    assert rise[2] * rise[3] < 0 and rise[2:].abs().min() > 0.1


def test_the_expert_sees_the_true_hole_and_a_student_the_one_that_is_told() -> None:
    task = TactileInsertion(SMALL)
    obs = task.observe()
    assert torch.equal(obs["place"], task.told_m)
    foot = obs["peg_offset"] - 0.035 * obs["peg_axis"]
    assert torch.allclose(foot.clamp(-0.01, 0.01), obs["foot_near"], atol=1e-6)
    error = (task.told_m - task.place_m)[:, :2]
    assert 0.0 < error.abs().max() <= 5 * MM
    assert {c.name for c in task.channels if c.privileged} == {"peg_offset", "peg_axis", "peg_in_grip", "pad_load",
                                                              "foot_near"}  # fmt: skip


@pytest.mark.parametrize("changes", [{}, {"grasp": "contact", "image": True, "peg": "octagonal"}])
def test_a_resumed_task_goes_on_to_the_bit(changes) -> None:
    task, other = (TactileInsertion(replace(SMALL, **changes), seed) for seed in (1, 2))
    draw = torch.Generator().manual_seed(3)
    actions = [task._limit * (2 * torch.rand(8, 6, generator=draw) - 1) for _ in range(8)]
    for action in actions[:3]:
        task.step(action)
    kept = {k: v.clone() for k, v in task.state_dict().items()}
    on = torch.stack([task.step(a)[0].flat.clone() for a in actions[3:]])  # across the end of an episode
    other.load_state_dict(kept)
    assert torch.equal(torch.stack([other.step(a)[0].flat.clone() for a in actions[3:]]), on)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"clearance_m": 0.0}, "clearance_m = 0.0: must lie in"),
        ({"clearance_m": 5.0}, "clearance_m = 5.0: must lie in"),
        ({"depth_m": 0.03}, "pads reach the socket"),
        ({"inserted_m": 0.015}, "must be positive, rising"),
        ({"chamfer_m": 0.014}, "chamfer_m = 0.014: must lie in"),
        ({"round_sides": 3}, "round_sides = 3: must lie in"),
        ({"squeeze_n": (20.0, 10.0)}, "two rising positive forces"),
    ],
)
def test_what_cannot_be_is_named(changes, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        InsertionConfig(**changes)


def robostack(line: str) -> int:
    return cli.main(line.split())


def test_from_an_expert_to_a_student_that_feels_an_octagonal_peg(tmp_path, capsys) -> None:
    train = "--num-envs 4 --threads 1 --steps 4 --peg octagonal --clearance-m 0.003 --learner.iterations 2"
    expert, folder = f"{tmp_path}/expert", f"{tmp_path}/student"
    assert robostack(f"train tactile_insertion --algorithm ppo --run-folder {expert} {train} --learner.steps 4 "
                     "--learner.actor.privileged") == 0  # fmt: skip
    assert robostack(f"distill {expert} --student force_field --student.hidden 8 --learner.iterations 2 "
                     f"--learner.horizon 4 --run-folder {folder}") == 0  # fmt: skip
    assert robostack(f"export {folder}") == 0
    assert robostack(f"evaluate {folder} --episodes 4") == 0
    assert "within TacSL's 4.5 mm of where it belongs" in capsys.readouterr().out
    spec = load_policy(RunFolder.open(folder).policy).spec
    assert tuple(c.name for c in spec.observations) == MODALITIES["force_field"]


def test_flights_are_grips_that_are_judged_by_their_end_and_a_report_shows_them(tmp_path) -> None:
    task = TactileInsertion(replace(SMALL, peg="octagonal"))
    scenarios = task.scenarios()
    assert len({s.name for s in scenarios}) == 12 and scenarios[0].about["peg"] == "octagonal"
    one = scenarios[0].make()
    rows = []
    for _ in range(4):
        rows.append({name: value[0].numpy().copy() for name, value in one.snapshot().items()})
        one.step(torch.zeros(1, 6))
    columns = {n: Column(np.stack([r[n] for r in rows]), unit) for n, unit in one.snapshot_units().items()}
    about = {"kind": "insert", **scenarios[0].about}
    out = Flight("grip_00", one.step_dt, columns, np.zeros(4, np.uint8), about=about)
    within = dict(columns) | {n: Column(np.full((4, 1), 1e-4), "m") for n in ("foot", "off_centre")}
    judged = task.judge_flights([out, Flight("grip_01", one.step_dt, within, np.zeros(4, np.uint8), about=about)])
    assert judged[0]["value"] == 50.0
    run = RunFolder.create("tactile_insertion", root=tmp_path)
    out.save(run.flights / "grip_00.npz")
    page = write_report(run).read_text(encoding="utf-8")
    assert "How they went in" in page and "0 of 1" in page and page.count("data:image/png;base64,") == 4
