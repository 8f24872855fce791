"""Claims: a sweep trains every combination with every seed as `train` would, shows one table, and loses no failure."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time

import pytest
from installed import install_ball

from robostack import cli
from robostack.learn.sweep import Outcome, Training, combinations, table, trainings
from robostack.run_folder import RunFolder
from robostack.spec import ContractError

SETTINGS = "--num-envs 4 --episode-s 0.5 --learner.iterations 3"


@pytest.fixture(scope="module")
def ball(tmp_path_factory):
    """The ball task, for the processes that Ray starts too; gives a root for runs."""
    with pytest.MonkeyPatch.context() as patch:
        install_ball(tmp_path_factory.mktemp("site"), patch)
        yield tmp_path_factory.mktemp("runs")


def test_a_grid_is_every_combination_in_its_order():
    assert combinations(["learner.horizon=3,4", "--vehicle=a b"]) == [
        {"learner.horizon": "3", "vehicle": "a b"},
        {"learner.horizon": "4", "vehicle": "a b"},
    ]
    assert combinations([]) == [{}]


@pytest.mark.parametrize("words", ["learner.horizon", "=3", "learner.horizon=", "learner.horizon=3,,4"])
def test_a_grid_that_is_none_is_named(words):
    with pytest.raises(ContractError, match="write option=value,value"):
        combinations([words])
    with pytest.raises(ContractError, match="names a twice"):
        combinations(["a=1", "--a=2"])


def test_every_training_has_a_folder_of_its_own_whatever_its_values(tmp_path):
    todo = trainings(tmp_path, ["vehicle=x/y.toml,x y.toml"], [0, 1])
    assert len({one.folder for one in todo}) == 4
    assert all(one.folder.parent == tmp_path for one in todo)
    words = todo[2].command("ball", ["--num-envs", "4"])
    assert words[words.index("--vehicle") :] == ["--vehicle", "x", "y.toml"]


def test_a_row_is_the_mean_and_deviation_of_those_that_trained_and_names_those_that_did_not(tmp_path):
    todo = trainings(tmp_path, ["a=1"], [0, 1, 2])
    scores = [
        Outcome(one, {"best_score": score, "wall_s": 2.0, "run": f"run {score}"})
        for one, score in zip(todo[:2], (0.0, -1.0), strict=True)
    ]
    (row,) = table([*scores, Outcome(todo[2], None, "it broke")])
    assert (row["runs"], row["trained"], row["best_run"]) == (3, 2, "run 0.0")
    assert (row["best_score"], row["wall_s"]) == (-0.5, 2.0)
    assert row["best_score_std"] == pytest.approx(0.5**0.5)
    assert row["failures"] == {"2": "it broke"}
    (alone,) = table([Outcome(Training({}, 0, tmp_path), None, "it broke")])
    assert (alone["trained"], alone["best_score"], alone["best_run"]) == (0, None, None)


@pytest.fixture
def cluster(ball, monkeypatch):
    """Address of a Ray cluster of one machine, for processes started from here: they have its token."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
    command = [sys.executable, "-m", "ray.scripts.scripts", *words, "--disable-usage-stats"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as ray:
        try:
            assert any("Ray runtime started" in line for line in ray.stdout)
            yield f"127.0.0.1:{port}"
        finally:
            ray.terminate()


def test_a_cluster_trains_seeds_and_settings_and_a_failure_is_its_rows(ball, cluster, capsys):
    grid = "learner.horizon=3,none"
    line = f"sweep ball --seeds 0 1 --grid {grid} --address {cluster} --json --root {ball} -- {SETTINGS}"
    done = subprocess.run([sys.executable, "-m", "robostack", *line.split()], stdout=subprocess.PIPE, check=False)
    assert done.returncode == 1
    shown = json.loads(done.stdout)
    good, bad = shown["rows"]
    assert (good["setting"], good["trained"], good["failures"]) == ({"learner.horizon": "3"}, 2, {})
    assert (bad["setting"], bad["trained"]) == ({"learner.horizon": "none"}, 0)
    assert bad["failures"].keys() == {"0", "1"}
    assert bad["failures"]["0"].startswith("Error parsing --learner.horizon: invalid literal")
    assert json.loads((RunFolder.open(good["best_run"]).path.parent / "sweep.json").read_bytes()) == shown["rows"]

    run = RunFolder.open(good["best_run"])
    seed = run.config()["seed"]
    alone = f"train ball --seed {seed} --learner.horizon 3 {SETTINGS} --json --run-folder {ball / 'alone'}"
    assert cli.main(alone.split()) == 0
    assert json.loads(capsys.readouterr().out)["best_score"] == run.metrics()["train"]["best_score"]


def test_an_address_where_nobody_listens_is_named(ball, capsys):
    assert cli.main(["sweep", "ball", "--address", "127.0.0.1:1", "--root", str(ball)]) == 1
    assert "--address 127.0.0.1:1: no Ray cluster answers there" in capsys.readouterr().err


def test_on_this_machine_ctrl_c_keeps_what_is_done_and_the_rest_can_be_resumed(ball):
    settings = SETTINGS.replace("iterations 3", "horizon 3").split()
    line = ["sweep", "ball", "--seeds", "0", "--grid", "learner.iterations=2,1000000", "--cpus-per-run", "1"]
    command = [sys.executable, "-m", "robostack", *line, "--root", str(ball / "stopped"), "--", *settings]
    sweep = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not (
            list(ball.glob("stopped/ball/*/sweep.json")) and list(ball.glob("stopped/ball/*/1_*/events*"))
        ):  # one is done, the other begins its first iteration
            assert sweep.poll() is None
            time.sleep(0.1)
        sweep.send_signal(signal.SIGINT)
        out, err = sweep.communicate(timeout=60)
    finally:
        sweep.kill()
    assert sweep.returncode == 130, err
    assert "Traceback" not in err
    assert "1 of 1" in out and "stopped" in out
    (run,) = (RunFolder.open(path) for path in ball.glob("stopped/ball/*/1_*"))
    assert run.metrics()["train"]["interrupted"]
    assert (run.checkpoints / "last.pt").exists()


def test_more_than_the_machine_has_is_refused_and_not_waited_for(ball, capsys):
    assert cli.main(["sweep", "ball", "--cpus-per-run", str(os.cpu_count() + 1), "--root", str(ball)]) == 1
    assert "ask for less, or name a cluster with --address" in capsys.readouterr().err


def test_without_ray_the_extra_is_named(ball, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main(["sweep", "ball", "--root", str(ball)]) == 1
    assert "pip install 'robostack[sweep]'" in capsys.readouterr().err
