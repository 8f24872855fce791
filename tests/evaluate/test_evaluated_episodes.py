"""Claims: an evaluation asks the file, behind its envelope, what training asked the network, and keeps its figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from robostack import cli
from robostack.evaluate.episodes import UNSEEN, fly_episodes
from robostack.export.onnx import LoadedPolicy
from robostack.learn.judge import judge
from robostack.learn.shac import SHAC
from robostack.learn.trained import export_actor, task_of_policy
from robostack.nets.actor import Actor, ActorConfig
from robostack.run_folder import RunFolder
from robostack.spec import ContractError
from robostack_sim.beam.config import BeamOrbitConfig
from robostack_sim.beam.orbit import BeamOrbit

EPISODES = 40
CONFIG = BeamOrbitConfig(num_envs=4, judged_steps=3, dead_share=1.0)


def exported(path: Path, config: BeamOrbitConfig = CONFIG) -> tuple[BeamOrbit, Actor, LoadedPolicy]:
    """An untrained policy that moves correctors; its file says the settings of its task, as a run's does."""
    torch.manual_seed(0)
    task = BeamOrbit(config)
    actor = SHAC(actor=ActorConfig(hidden=(8,))).learner(task).actor
    with torch.no_grad():
        actor.head.bias.add_(0.3)
    settings = {"num_envs": 4, "judged_steps": config.judged_steps, "dead_share": config.dead_share}
    return task, actor, export_actor(task, actor, path, {"settings": settings})


def test_the_file_does_behind_its_envelope_what_training_judged(tmp_path: Path) -> None:
    task, actor, policy = exported(tmp_path / "policy.onnx")
    found = fly_episodes(policy, task, EPISODES, seed=3)
    judged = judge(actor, task.evaluation(EPISODES), seed=UNSEEN + 3)
    assert found.returns.sum() / found.steps.sum() == pytest.approx(judged.step_reward, rel=1e-4)
    assert found.success.mean() == judged.success_rate
    assert (found.steps == 3).all() and not found.fell_back.any()
    assert sum(found.terms.values()) == pytest.approx(found.returns, rel=1e-4)


def test_a_reading_beyond_the_contract_makes_the_envelope_hold_every_corrector(tmp_path: Path) -> None:
    task, _, policy = exported(tmp_path / "policy.onnx", replace(CONFIG, drift_m=0.0))
    channels = [c.model_copy(update={"high": (-0.01,)}) if c.name == "bpm_position" else c
                for c in policy.spec.observations]  # fmt: skip
    deaf = replace(policy, spec=policy.spec.model_copy(update={"observations": tuple(channels)}))
    found = fly_episodes(deaf, task, EPISODES)
    assert found.fell_back.all()
    assert (found.ends["travel_a"] == 0.0).all()
    assert (fly_episodes(policy, task, EPISODES).ends["travel_a"] > 0.0).all()


def test_a_beam_is_judged_by_its_true_orbit_and_not_by_what_lives_alone(tmp_path: Path) -> None:
    task, _, policy = exported(tmp_path / "policy.onnx")
    found = fly_episodes(policy, task, EPISODES)
    rows = {r["what"]: r["value"] for r in task.judge_episodes(found.ends)}
    live, every = (f"true orbit, RMS {where}, half of machines"
                   for where in ("at the BPMs that live", "at all BPMs, dead ones too"))  # fmt: skip
    assert rows[live] == pytest.approx(1e3 * np.median(found.ends["rms_m"]))
    assert rows[every] == pytest.approx(1e3 * np.median(found.ends["rms_all_m"]))
    assert rows[live] != rows[every]


def test_the_task_is_made_from_the_file_alone(tmp_path: Path) -> None:
    _, _, policy = exported(tmp_path / "policy.onnx")
    assert task_of_policy(policy).config == CONFIG
    spec = policy.spec.model_copy(update={"provenance": {"settings": {"judged_steps": "three"}}})
    with pytest.raises(ContractError, match=r"provenance\.settings: judged_steps: "):
        task_of_policy(replace(policy, spec=spec))


def test_a_policy_of_other_channels_is_refused(tmp_path: Path) -> None:
    _, _, policy = exported(tmp_path / "policy.onnx", replace(CONFIG, masked=("bpm_2",)))
    with pytest.raises(ContractError, match=r"reads bpm_position \(8,\), and task .* has bpm_position \(10,\)"):
        fly_episodes(policy, BeamOrbit(CONFIG), 2)


def test_a_quadrotors_run_keeps_its_figures_and_a_seed_repeats_them(
    quadrotor_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluate(seed: int) -> dict:
        line = ["evaluate", str(quadrotor_run), "--episodes", "4", "--seed", str(seed), "--json"]
        assert cli.main(line) == 0
        found: dict = json.loads(capsys.readouterr().out)
        return found

    first = evaluate(0)
    assert evaluate(0) == first != evaluate(1)
    kept = RunFolder.open(quadrotor_run).metrics()
    assert kept["evaluate"] == evaluate(1) and kept["stages"]["evaluate"] > 0.0
    assert first["rows"][0]["what"] == "episodes that succeed, of 4"
    total, *parts = (r["value"] for r in first["return"])
    assert total == pytest.approx(sum(parts), rel=1e-4) and len(parts) > 3


def test_a_policy_by_itself_is_evaluated_and_no_episodes_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(tmp_path / "mine.onnx")
    assert cli.main(["evaluate", str(tmp_path / "mine.onnx"), "--episodes", "3"]) == 0
    assert "episodes that succeed, of 3" in capsys.readouterr().out
    assert cli.main(["evaluate", str(tmp_path / "mine.onnx"), "--episodes", "0"]) == 1
    assert "--episodes 0: must be 1 at least" in capsys.readouterr().err
