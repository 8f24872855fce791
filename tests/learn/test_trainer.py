"""Claims: a run keeps the policy that judged best, and loses nothing when something is wrong."""

import errno
import json
import math
import re
import signal
from copy import deepcopy

import pytest
import torch
from ball import Ball, BallConfig

from robostack import cli
from robostack.learn import checkpoint, trainer
from robostack.learn.learner import DivergedError
from robostack.learn.shac import SHAC, ShacLearner
from robostack.learn.trainer import export_policy, load_run, train
from robostack.nets.actor import ActorConfig
from robostack.run_folder import RunFolder, RunFolderError
from robostack.spec import ContractError

SHORT = SHAC(iterations=20, horizon=5, actor=ActorConfig(hidden=(8,), recurrent=4))


def ball():
    return Ball(BallConfig(num_envs=8, episode_s=1.0))


def robostack(line, *more):
    """Exit status of a command line."""
    return cli.main([*line.split(), *map(str, more)])


@pytest.fixture
def run(tmp_path):
    return RunFolder.at(tmp_path / "run")


@pytest.fixture
def after_iteration(monkeypatch):
    """Calls `act(learner)` after every iteration."""

    def install(act):
        iterate = ShacLearner.iterate

        def wrapped(self):
            scalars = iterate(self)
            act(self)
            return scalars

        monkeypatch.setattr(ShacLearner, "iterate", wrapped)

    return install


def test_the_policy_that_judged_best_is_exported_and_not_the_last(run, tmp_path, after_iteration, ball_installed):
    weights = {}

    def ruin_the_last(learner):
        weights[learner.iteration] = deepcopy(learner.actor.state_dict())
        if learner.iteration == 20:
            with torch.no_grad():
                learner.actor.head.bias.fill_(100.0)

    after_iteration(ruin_the_last)
    result = train(ball(), SHORT, run)
    judged = {row["iteration"]: row["success_rate"] for row in result["history"] if "success_rate" in row}
    assert judged.keys() == {14, 17, 20}
    assert judged[20] == 0.0
    assert result["best_iteration"] in (14, 17)
    exported = export_policy(run, tmp_path / "policy.onnx")
    assert exported.spec.provenance["best_iteration"] == result["best_iteration"]
    actor = load_run(run)[1].state_dict()
    assert all(torch.equal(actor[k], weights[result["best_iteration"]][k]) for k in actor)


def test_a_resumed_run_remembers_which_policy_was_best(run, after_iteration, ball_installed):
    def stop_at_18_and_ruin_the_last(learner):
        if learner.iteration == 18:
            signal.raise_signal(signal.SIGINT)
        if learner.iteration == 20:
            with torch.no_grad():
                learner.actor.head.bias.fill_(100.0)

    after_iteration(stop_at_18_and_ruin_the_last)
    stopped = train(ball(), SHORT, run)
    assert stopped["interrupted"]
    resumed = train(ball(), None, run, resume=True)
    assert resumed["iterations"] == 20
    assert resumed["best_iteration"] == stopped["best_iteration"] < 18


def test_tensorboard_has_the_curves_and_the_judgements(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = train(ball(), SHORT, run)
    events = EventAccumulator(str(run.path))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert tags == {"loss", "reward", "gradient_norm", "judge/success_rate", "judge/step_reward"}
    assert [e.step for e in events.Scalars("reward")] == [10, 20]
    best = max(e.value for e in events.Scalars("judge/success_rate"))
    row = next(r for r in result["history"] if r["iteration"] == result["best_iteration"] and "success_rate" in r)
    assert best == pytest.approx(row["success_rate"])


def test_without_room_for_events_training_goes_on_and_says_so_once(run, monkeypatch, capsys):
    from torch.utils.tensorboard import SummaryWriter

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SummaryWriter, "add_scalar", full)
    assert train(ball(), SHORT, run)["iterations"] == 20
    assert capsys.readouterr().err.count("no more TensorBoard events") == 1
    assert run.metrics()["train"]["iterations"] == 20


def test_a_second_run_in_the_same_folder_is_refused_and_changes_nothing(run):
    train(ball(), SHORT, run)
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    with pytest.raises(RunFolderError, match="holds a run already; go on with --resume"):
        train(ball(), SHORT, run, seed=1)
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before


def test_a_folder_in_use_is_refused_by_the_command(ball_installed, run, capsys):
    with run.locked():
        assert robostack("train ball --run-folder", run.path) == 1
    assert "in use by process" in capsys.readouterr().err
    assert not list(run.checkpoints.iterdir())


def truncated(kept, path):
    path.write_bytes(path.read_bytes()[:-200])


def replaced(kept, path):
    path.write_bytes(b"not a checkpoint")


def a_list(kept, path):
    torch.save([1, 2, 3], path)


def with_code(kept, path):
    torch.save({**kept, "history": [print]}, path)


def changed(**fields):
    return lambda kept, path: torch.save({**kept, **fields}, path)


def without_moments(kept, path):
    del kept["learner"]["actor"]["normaliser.mean"]
    torch.save(kept, path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "last.pt: damaged"),
        (replaced, "last.pt: damaged"),
        (a_list, "last.pt: damaged"),
        (with_code, "last.pt: damaged"),
        (changed(version=99), "checkpoint version 99, this robostack reads 1"),
        (changed(task="beam"), "task is 'beam' there, 'ball' here"),
        (changed(num_envs=3), "num_envs is 3 there, 8 here"),
        (changed(learner={}), "does not fit"),
        (without_moments, "does not fit.*normaliser.mean"),
        (lambda kept, path: path.unlink(), "no checkpoint yet"),
    ],
)
def test_a_checkpoint_that_is_no_good_is_named_and_left_alone(run, ball_installed, damage, message):
    train(ball(), SHORT, run)
    last, best = run.checkpoints / "last.pt", run.checkpoints / "best.pt"
    damage(checkpoint.load(last), last)
    before = last.read_bytes() if last.exists() else None, best.read_bytes(), run.config()
    with pytest.raises(ContractError, match=message):
        train(ball(), None, run, resume=True)
    assert (last.read_bytes() if last.exists() else None, best.read_bytes(), run.config()) == before


def test_a_best_policy_of_another_shape_and_a_config_of_another_task_are_named(run, ball_installed):
    train(ball(), SHORT, run)
    config = run.config()
    run.write_config({**config, "learner": {**config["learner"], "actor": {"hidden": [9]}}})
    with pytest.raises(ContractError, match=r"best.pt: does not fit"):
        load_run(run)
    run.write_config({**config, "settings": {"num_envs": "many"}})
    with pytest.raises(ContractError, match=r"config.json: num_envs"):
        load_run(run)


def test_a_run_that_diverges_names_the_term_keeps_the_best_and_fails(
    ball_installed, tmp_path, monkeypatch, after_iteration, capsys
):
    broken = [False]
    advance = Ball.advance

    def poisoned(self, state, action):
        state, terms = advance(self, state, action)
        return state, {**terms, "effort": terms["effort"] * (math.nan if broken[0] else 1.0)}

    monkeypatch.setattr(Ball, "advance", poisoned)
    after_iteration(lambda learner: broken.__setitem__(0, learner.iteration >= 172))
    folder = tmp_path / "run"
    settings = "--num-envs 8 --episode-s 0.5 --learner.iterations 200 --learner.horizon 3"
    assert robostack(f"train ball {settings} --run-folder", folder) == 1
    err = capsys.readouterr().err
    assert "reward term effort is not finite in 8 of 8 environments" in err
    assert re.search("the best policy, of iteration 1[47]0, is kept", err)
    assert checkpoint.load(folder / "checkpoints" / "last.pt")["learner"]["iteration"] == 170
    assert robostack("export", folder) == 0

    broken[0] = False
    assert robostack("train ball --resume --learner.iterations 171 --run-folder", folder) == 0


class Unjudgeable(Ball):
    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, reward * math.nan, *rest


def test_a_run_without_one_finite_judgement_fails_instead_of_exporting_anything(run):
    with pytest.raises(DivergedError, match="no policy of this run gives finite rewards"):
        train(Unjudgeable(BallConfig(num_envs=8, episode_s=0.5)), SHORT, run)
    assert not (run.checkpoints / "best.pt").exists()


def test_the_command_teaches_its_settings_and_names_the_nearest(ball_installed, capsys):
    assert robostack("train ball --task-help") == 0
    shown = capsys.readouterr().out
    for option in ("--num-envs", "--wind-m-s2", "--learner.iterations", "--learner.actor.recurrent"):
        assert option in shown
    assert robostack("train ball --learner.iteration 3 --wind 2 --sede 1") == 2
    err = capsys.readouterr().err
    for option in ("--learner.iterations", "--wind-m-s2", "--seed"):
        assert option in err


@pytest.mark.parametrize("words", ["", "--num-envs 8 ball"])
def test_the_command_without_a_task_in_front_says_where_it_goes(ball_installed, words, capsys):
    assert robostack(f"train {words}") == 2
    assert "name the task first" in capsys.readouterr().err


def test_what_a_resumed_run_is_not_told_it_takes_from_the_run(ball_installed, tmp_path, capsys):
    settings = "--num-envs 8 --wind-m-s2 0.25 --learner.iterations 3 --learner.horizon 4 --seed 5"
    assert robostack(f"train ball {settings} --run-folder", tmp_path / "run") == 0
    capsys.readouterr()
    assert robostack("train ball --resume --learner.iterations 5 --json --run-folder", tmp_path / "run") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["iterations"], result["seed"]) == (5, 5)
    config = RunFolder.open(tmp_path / "run").config()
    assert (config["settings"]["wind_m_s2"], config["learner"]["horizon"], config["seed"]) == (0.25, 4, 5)
    assert robostack("train quadrotor --resume --run-folder", tmp_path / "run") == 1
    assert "is a run of 'ball', not of 'quadrotor'" in capsys.readouterr().err


def test_latest_still_leads_to_the_run_when_it_is_named_by_that_link(ball_installed, tmp_path, capsys):
    settings = "--num-envs 8 --learner.iterations 2 --learner.horizon 4"
    assert robostack(f"train ball {settings} --root", tmp_path) == 0
    assert robostack("train ball --run-folder", tmp_path / "ball" / "latest") == 1
    assert "holds a run already" in capsys.readouterr().err
    assert RunFolder.latest("ball", tmp_path).metrics()["train"]["iterations"] == 2


def test_a_run_that_is_killed_loses_no_more_than_the_checkpoint_interval(run, monkeypatch, after_iteration):
    monkeypatch.setattr(trainer, "CHECKPOINT_S", 0.0)
    found = []
    after_iteration(lambda learner: found.append((run.checkpoints / "last.pt").exists()))
    train(ball(), SHORT, run)
    assert found == [False] + [True] * 19


def test_a_run_of_one_algorithm_is_not_resumed_by_another(ball_installed, run, monkeypatch, capsys):
    train(ball(), SHORT, run)
    assert run.config()["algorithm"] == "shac"
    run.write_config({**run.config(), "algorithm": "magic"})
    assert robostack("train ball --resume --run-folder", run.path) == 1
    assert "no algorithm is called 'magic'; there are shac" in capsys.readouterr().err
