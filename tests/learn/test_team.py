"""Claims: processes that torchrun starts train one policy as one process with all their environments would, stop
together, and lose no more than a checkpoint's interval when one of them is killed.

By gloo on CPUs. NCCL takes the same calls, and no test here runs it.
"""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ball import Ball, BallConfig
from installed import install_ball
from resuming import assert_equal
from two_processes import CONFIG, KILLED_AT, METHODS, NUM_ENVS, STOPPED_AT, ball, followed, started

from robostack.learn import checkpoint
from robostack.learn.trainer import train
from robostack.run_folder import RunFolder
from robostack.spec import ContractError
from robostack.task import Obs

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
SCRIPT = Path(__file__).with_name("two_processes.py")
BOUND_S = 20.0
"""for the loss of a process to end the others"""


def two(*words):
    """The two processes' end, as torchrun tells it."""
    command = [*TORCHRUN, str(SCRIPT), *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as torchrun:
        try:
            out, err = torchrun.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            torchrun.terminate()  # which ends them
            raise
    return subprocess.CompletedProcess(command, torchrun.returncode, out, err)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each process kept, and the folder of its runs."""
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patch:
        install_ball(tmp_path_factory.mktemp("site"), patch)
        done = two(folder)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)], folder, done


class Both(Ball):
    """The environments of two processes in one task, each half with its own process' seed."""

    def __init__(self, config):
        self.halves = [Ball(replace(config, num_envs=config.num_envs // 2)) for _ in range(2)]
        super().__init__(config)

    def reset(self, seed=None):
        seen = [half.reset(seed + rank)[0].flat for rank, half in enumerate(self.halves)]
        self.state = torch.cat([half.state for half in self.halves])
        self.episode_length_buf.zero_()
        return Obs(torch.cat(seen), self.layout), {}

    def restart(self, mask):
        for half, state, rows in zip(self.halves, self.state.chunk(2), mask.chunk(2), strict=True):
            half.state = state
            half.restart(rows)
        self.state = torch.cat([half.state for half in self.halves])
        self.episode_length_buf[mask] = 0

    def sense(self, state):
        parts = zip(self.halves, state.chunk(2), strict=True)
        return Obs(torch.cat([half.sense(rows).flat for half, rows in parts]), self.layout)


def test_two_processes_have_the_gradients_and_moments_of_one_with_both_batches(found):
    alone = followed(started(Both(BallConfig(num_envs=2 * NUM_ENVS, episode_s=0.5))))
    for ours in (kept["first"] for kept in found[0]):
        assert ours["norm"] == pytest.approx(alone["norm"], rel=1e-5)
        for a, b in zip(ours["gradients"], alone["gradients"], strict=True):
            torch.testing.assert_close(a, b, rtol=0.0, atol=1e-5 * alone["norm"])
        assert ours["moments"]["count"] == alone["moments"]["count"] > 0
        for name, value in alone["moments"].items():
            torch.testing.assert_close(ours["moments"][name], value, rtol=1e-5, atol=1e-5)


def test_weights_normalisers_and_optimisers_are_equal_to_the_bit_and_environments_are_not(found):
    ours, theirs = (kept["whole"][1] for kept in found[0])
    assert_equal({**ours, "state": 0}, {**theirs, "state": 0})
    assert not torch.equal(ours["state"], theirs["state"])
    result = found[0][0]["whole"][0]
    assert result["env_steps"] == 2 * NUM_ENVS * 6 * 5
    assert result["processes"] == 2
    assert result["peak_memory_mib"] > 50


def test_a_critics_moments_and_a_rate_that_follows_the_data_are_one_teams_too(found):
    ours, theirs = (dict(kept["ppo"]) for kept in found[0])
    rollouts = ours.pop("rollout"), theirs.pop("rollout")
    assert_equal(ours, theirs)
    assert not torch.equal(*(r["obs"] for r in rollouts))
    assert [kept["ppo, broken"] for kept in found[0]] == [3, 3]


def test_sac_has_one_teams_weights_and_a_replay_in_every_process(found):
    ours, theirs = (dict(kept["sac"]) for kept in found[0])
    replays, nows = ((ours.pop(name), theirs.pop(name)) for name in ("replay", "now"))
    assert_equal(ours, theirs)
    assert ours["critic_optimiser"]["steps"] == 3 * 2
    assert not torch.equal(*(r["rows"] for r in replays))
    assert not torch.equal(*(now[0] for now in nows))


def test_each_has_a_curriculum_of_its_own_that_resumes_to_the_bit(found):
    ours, theirs = (kept["whole"][2] for kept in found[0])
    for state in (ours, theirs):
        assert len(state["curriculum.points"]) == 4
        assert state["curriculum.episode"] > 2 * NUM_ENVS
    assert not torch.equal(ours["curriculum.points"], theirs["curriculum.points"])
    for kept in found[0]:
        assert_equal(kept["resumed"][2], kept["whole"][2])


@pytest.mark.parametrize("method", METHODS)
def test_a_student_is_taught_by_both(method, found):
    assert [kept["students"][METHODS.index(method)] for kept in found[0]] == [0, 0]
    run = RunFolder.open(found[1] / method)
    assert run.metrics()["train"]["processes"] == 2
    ours = checkpoint.load(run.checkpoints / "last.pt")
    theirs = checkpoint.unpacked(ours["others"][0])
    assert ours["learner"]["iteration"] == 3
    assert_equal(ours["learner"]["actor"], theirs["learner"]["actor"])
    assert not torch.equal(ours["task_state"]["state"], theirs["task_state"]["state"])
    assert found[2].stdout.count(f"next: robostack export {run.path}\n") == 1


def test_a_search_under_a_budget_is_refused_in_one_line(found):
    assert [kept["budget"] for kept in found[0]] == [1, 1]
    assert found[2].stderr.count("looks for the student that fits a budget: start this without torchrun\n") == 1


def test_ctrl_c_in_one_stops_all_and_they_resume_to_the_bit(found):
    for kept in found[0]:
        assert kept["stopped"][0]["interrupted"]
        assert kept["stopped"][0]["iterations"] == STOPPED_AT
        assert kept["resumed"][0]["iterations"] == 6
        assert_equal(kept["resumed"][1], kept["whole"][1])


def test_what_is_not_finite_in_one_is_left_out_by_all_and_named(found):
    for kept in found[0]:
        assert kept["left_out"] == 3
        assert kept["unmoved"]
    assert f"reward term effort is not finite in {NUM_ENVS} of {NUM_ENVS}" in found[0][0]["diverged"]
    assert "no policy had been judged before" in found[0][1]["diverged"]
    assert "iteration 0: what another process met is not finite" in found[0][0]["sac, diverged"]
    for kept in found[0]:
        assert f"reward term effort is not finite in {NUM_ENVS} of {NUM_ENVS}" in kept["sac, diverged"]


def test_only_the_first_process_speaks(found):
    assert found[2].stderr.count("6/6") == 2  # runs of six iterations
    assert found[2].stderr.count("Go on: robostack train ball --resume") == 1


def test_a_checkpoint_of_another_number_of_processes_is_refused(found, ball_installed):
    with pytest.raises(ContractError, match=r"last.pt: processes is 2 there, 1 here; resume with the run's own"):
        train(ball(), CONFIG, RunFolder.open(found[1] / "whole"), resume=True)


def test_a_killed_process_ends_all_with_an_error_and_they_resume(ball_installed, tmp_path):
    where = f"--curriculum adr --run-folder {tmp_path / 'run'}"
    line = f"train ball --num-envs 8 --learner.iterations 8 --learner.horizon 3 {where}"
    killed = two(*line.split())
    run = RunFolder.open(tmp_path / "run")
    assert killed.returncode != 0
    assert time.time() - (run.path / "died").stat().st_mtime < BOUND_S
    assert "8/8" not in killed.stderr
    assert checkpoint.load(run.checkpoints / "last.pt")["learner"]["iteration"] == KILLED_AT - 1
    resumed = two(*line.split(), "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert run.metrics()["train"]["iterations"] == 8
    assert resumed.stdout.count("\n") == 1
    assert resumed.stdout.startswith("8 iterations in ")
    assert resumed.stdout.endswith(f"next: robostack export {run.path}\n")
