"""Claims: a peg stands where somebody knew how it leans, and otherwise where chance had it so; the pads say how it
leans; what a policy may not feel it does not; and the task goes on to the bit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from robostack import cli
from robostack.evaluate.flight import Column, Flight
from robostack.evaluate.report import write_report
from robostack.export.onnx import load_policy
from robostack.learn.trained import policy_spec
from robostack.nets.actor import Actor, ActorConfig
from robostack.run_folder import RunFolder
from robostack.spec import ContractError
from robostack_sim.tactile.interface import MODALITIES
from robostack_sim.tactile.placement.config import PlacementConfig
from robostack_sim.tactile.placement.task import TactilePlacement

SMALL = PlacementConfig(num_envs=8, threads=1, steps=6)
DEG = math.pi / 180


def scripted(task: TactilePlacement, turn_rad: Tensor) -> Tensor:
    """Over the place, the wrist turned by `turn_rad` (num_envs,) about y, then down until the table pushes with 3 N."""
    obs, action = task.observe(), torch.zeros(task.num_envs, 6)
    ahead = obs["place"] - obs["arm_target_position"]
    action[:, :2] = 0.3 * ahead[:, :2]
    action[:, 4] = 0.3 * (turn_rad - obs["arm_target_rotation"][:, 1])
    over = (ahead[:, :2].norm(dim=1) < 0.003) & (action[:, 4].abs() < 0.01)
    pushed = task.touch.load_n[:, :, 1].sum(1)
    action[:, 2] = torch.where(over, torch.where(pushed < 1.0, -0.004, 0.0005 * (pushed - 3.0)), 0.0)
    return action


def ends(task: TactilePlacement, turn_rad: Tensor) -> dict[str, Tensor]:
    for _ in range(task.max_episode_length):
        *_, extras = task.step(scripted(task, turn_rad))
    return extras


def test_who_feels_nothing_succeeds_where_the_peg_happens_to_lean_less_than_it_may() -> None:
    task = TactilePlacement(PlacementConfig(num_envs=128, steps=110, threads=1))
    found = ends(task, torch.zeros(128))
    lean = found["tilt_in_grip_rad"].abs()
    assert found["success"][lean < 13 * DEG].float().mean() > 0.97
    assert not found["success"][lean > 17 * DEG].any()
    little = lean < 17 * DEG
    assert (found["tilt_rad"] - lean)[little].abs().max() < 3 * DEG


@pytest.mark.parametrize(("grasp", "least"), [("bushing", 0.99), ("contact", 0.9)])  # friction lets some pegs turn
def test_who_knows_how_it_leans_stands_it_upright(grasp, least) -> None:
    task = TactilePlacement(PlacementConfig(num_envs=48, steps=110, grasp=grasp, threads=1))
    found = ends(task, -task.tilt_in_grip)
    assert found["success"].float().mean() >= least
    assert found["tilt_rad"].median() < 2 * DEG


def test_the_band_of_pressing_leans_as_the_peg_does() -> None:
    task = TactilePlacement(PlacementConfig(num_envs=64, threads=1))
    push = task.observe()["force_field"][:, :, 2].clamp(min=0.0)
    y, x = torch.meshgrid(torch.arange(14.0) - 6.5, torch.arange(10.0) - 4.5, indexing="ij")
    for pad, sign in ((0, 1.0), (1, -1.0)):
        w = push[:, pad] / push[:, pad].sum((1, 2), keepdim=True)
        mx, my = (w * x).sum((1, 2), keepdim=True), (w * y).sum((1, 2), keepdim=True)
        xx, yy, xy = ((w * a * b).sum((1, 2)) for a, b in ((x - mx, x - mx), (y - my, y - my), (x - mx, y - my)))
        lean = sign * 0.5 * torch.atan2(2 * xy, yy - xx)  # of the longer axis, from the rows' to the columns'
        off = (lean - task.tilt_in_grip).abs()
        assert off.median() < 2.5 * DEG
    assert push.sum((2, 3)).mean() == pytest.approx(15.0, rel=0.1)


def test_five_magnetometers_tell_a_gripped_peg_from_none_and_are_tared_before_it_is_gripped() -> None:
    task = TactilePlacement(replace(SMALL, num_envs=32))
    assert task.observe()["anyskin"].abs().amax((1, 2)).min() > 50.0
    task.touch.grip.relative[..., 11] = 1.0  # a metre away
    task.touch.field.step()
    assert task.touch.skin.read()[:, 0].abs().max() < 6.0


def test_the_image_is_a_channel_where_it_is_asked_for() -> None:
    task = TactilePlacement(replace(SMALL, image=True))
    image = task.observe()["image"]
    assert image.shape == (8, 2, 24, 32, 3) and 0.02 < image.abs().amax((1, 2, 3, 4)).min() <= 1.0
    assert "image" not in TactilePlacement(SMALL).layout.channel


def rolled(task: TactilePlacement, steps: int) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    seen = []
    for _ in range(steps):
        action = task._limit * (2 * torch.rand(task.num_envs, 6, generator=draw) - 1)
        obs, reward, *_ = task.step(action)
        seen.append(torch.cat([obs.flat, reward[:, None]], 1).clone())
    return torch.stack(seen)


@pytest.mark.parametrize("changes", [{}, {"grasp": "contact", "image": True}])
def test_a_seed_makes_everything_the_same_and_a_resumed_task_goes_on_to_the_bit(changes) -> None:
    task, other = (TactilePlacement(replace(SMALL, **changes), seed) for seed in (1, 2))
    task.reset(7)
    first = rolled(task, 4)
    kept = {k: v.clone() for k, v in task.state_dict().items()}
    on = rolled(task, 5)  # across the end of an episode
    task.reset(7)
    assert torch.equal(rolled(task, 4), first)
    other.load_state_dict(kept)
    assert torch.equal(rolled(other, 5), on)


def test_what_is_applied_is_what_the_envelope_and_the_workspace_let_through() -> None:
    task = TactilePlacement(SMALL)
    before = task.arm_position.clone()
    obs = task.step(torch.full((8, 6), 9.0))[-1]["final_obs"]
    assert torch.allclose(obs["applied_action"], task._limit.expand(8, 6), atol=1e-6)
    assert torch.allclose(obs["arm_target_position"], before + 0.01, atol=1e-6)
    task.arm_position[:, 2] = 0.004
    obs = task.step(torch.full((8, 6), -0.01))[-1]["final_obs"]
    assert torch.allclose(obs["applied_action"][:, 2], torch.full((8,), -0.004), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"device": "cuda"}, "MuJoCo's batches run on the CPU"),
        ({"tilt_rad": 1.5}, "tilt_rad = 1.5: must lie in"),
        ({"along_m": 0.1}, "along_m = 0.1: must lie in"),
        ({"squeeze_n": (20.0, 10.0)}, "two rising positive forces"),
        ({"num_envs": 0}, "num_envs and steps are at least 1"),
    ],
)
def test_what_cannot_be_is_named(changes, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        PlacementConfig(**changes)


def robostack(line: str) -> int:
    return cli.main(line.split())


def test_fourteen_by_ten_taxels_are_not_fifteen_magnetic_numbers() -> None:
    task = TactilePlacement(replace(SMALL, num_envs=1))
    field, skin = (policy_spec(task, Actor(task, ActorConfig(channels=MODALITIES[m])), {})
                   for m in ("force_field", "anyskin"))  # fmt: skip
    with pytest.raises(ContractError, match=r"observations.*force_field.*anyskin"):
        field.check_interface(skin)


def test_from_an_expert_to_a_student_that_feels_what_its_name_says(tmp_path, capsys) -> None:
    train = "--num-envs 8 --threads 1 --steps 6 --learner.iterations 2"
    expert = f"{tmp_path}/expert"
    assert robostack(f"train tactile-placement --algorithm ppo --run-folder {expert} {train} --learner.steps 4 "
                     "--learner.actor.privileged") == 0  # fmt: skip
    folder = f"{tmp_path}/anyskin"
    assert robostack(f"distill {expert} --student anyskin --student.recurrent 8 --learner.iterations 2 "
                     f"--learner.horizon 4 --run-folder {folder}") == 0  # fmt: skip
    assert robostack(f"export {folder}") == 0
    assert robostack(f"evaluate {folder} --episodes 4") == 0
    assert "tilt of the peg at the end, half of episodes" in capsys.readouterr().out
    spec = load_policy(RunFolder.open(folder).policy).spec
    assert tuple(c.name for c in spec.observations) == MODALITIES["anyskin"]
    assert spec.observations[-1].shape == (5, 3) and spec.state.size == 8
    assert robostack(f"distill {expert} --student elephant --run-folder {tmp_path}/none") == 1
    assert "there are: blind, force_field, anyskin, image" in capsys.readouterr().err
    assert robostack(f"distill {expert} --student image --run-folder {tmp_path}/none") == 1
    assert "there is no channel 'image'" in capsys.readouterr().err


def test_the_report_shows_the_field_moving_and_the_image_beside_its_difference(tmp_path) -> None:
    task, rows = TactilePlacement(replace(SMALL, num_envs=1)), []
    for _ in range(6):
        rows.append({name: value[0].numpy().copy() for name, value in task.snapshot().items()})
        task.step(torch.zeros(1, 6))
    columns = {n: Column(np.stack([r[n] for r in rows]), unit) for n, unit in task.snapshot_units().items()}
    columns["anyskin"] = Column(np.zeros((6, 15)), "uT")
    run = RunFolder.create("tactile_placement", root=tmp_path)
    flight = Flight("grip_00", task.step_dt, columns, np.zeros(6, np.uint8), about={"kind": "place", "grip": 0})
    flight.save(run.flights / "grip_00.npz")
    page = write_report(run).read_text(encoding="utf-8")
    assert page.count('<animate attributeName="r"') == 280
    assert '<animate attributeName="x2"' in page and "<script" not in page
    assert page.count("data:image/png;base64,") == 4
    assert "What the magnetic skin said" in page and "z of the field, uT" in page
    assert "0 of 1" in page
    assert "No peg was flown" in write_report(RunFolder.create("tactile_placement", root=tmp_path)).read_text("utf-8")


def test_every_scenario_is_another_grip_and_shows_how_it_ends() -> None:
    task = TactilePlacement(SMALL)
    scenarios = task.scenarios()
    assert len({s.name for s in scenarios}) == 12
    one = scenarios[0].make()
    assert round(scenarios[0].seconds / one.step_dt) == 7 and one.max_episode_length > 1000
