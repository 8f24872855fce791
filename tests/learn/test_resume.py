"""Claims: one seed gives one policy to the byte, resumed or not; Ctrl-C and a full disk lose nothing."""

import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from ball import Ball, BallConfig
from resuming import assert_equal, assert_resumes_to_the_bit

from robostack import cli
from robostack.learn import checkpoint
from robostack.learn.shac import SHAC, ShacLearner
from robostack.nets.actor import ActorConfig
from robostack.run_folder import RunFolder

QUADROTOR = "--num-envs 8 --episode-s 0.5 --learner.horizon 10 --learner.actor.hidden 16"
STOPS_ITSELF = """
import signal, sys
from robostack import cli
from robostack.learn.shac import ShacLearner
iterate = ShacLearner.iterate
def wrapped(self):
    scalars = iterate(self)
    if self.iteration == 3:
        signal.raise_signal(signal.SIGINT)
    return scalars
ShacLearner.iterate = wrapped
sys.exit(cli.main(sys.argv[1:]))
"""


def robostack(line, *more):
    """Exit status of a command line."""
    return cli.main([*line.split(), *map(str, more)])


def trained(folder, settings):
    """Bytes of the policy that a training in `folder` exports."""
    assert robostack(f"train quadrotor {QUADROTOR} {settings} --run-folder", folder) == 0
    assert robostack("export", folder) == 0
    return RunFolder.open(folder).policy.read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Run folder and exported policy of six iterations."""
    folder = tmp_path_factory.mktemp("runs") / "uninterrupted"
    return folder, trained(folder, "--learner.iterations 6 --seed 3")


def test_one_seed_gives_the_same_bytes_and_another_gives_others(uninterrupted, tmp_path):
    assert trained(tmp_path / "again", "--learner.iterations 6 --seed 3") == uninterrupted[1]
    assert trained(tmp_path / "other", "--learner.iterations 6 --seed 4") != uninterrupted[1]


def test_three_iterations_ctrl_c_and_three_more_in_another_process_equal_six(uninterrupted, tmp_path):
    line = f"train quadrotor {QUADROTOR} --learner.iterations 6 --seed 3 --run-folder {tmp_path / 'run'}"
    stopped = subprocess.run([sys.executable, "-c", STOPS_ITSELF, *line.split()], check=False)
    assert stopped.returncode == 130
    assert RunFolder.open(tmp_path / "run").metrics()["train"]["iterations"] == 3
    assert robostack("train quadrotor --resume --run-folder", tmp_path / "run") == 0
    assert robostack("export", tmp_path / "run") == 0
    assert RunFolder.open(tmp_path / "run").policy.read_bytes() == uninterrupted[1]
    ours, theirs = (checkpoint.load(p / "checkpoints" / "last.pt") for p in (tmp_path / "run", uninterrupted[0]))
    assert_equal({**ours, "history": 0, "progress": 0}, {**theirs, "history": 0, "progress": 0})


@pytest.mark.parametrize(
    "config",
    [
        SHAC(critic=True, critic_warmup=2, gamma=0.95, actor=ActorConfig(hidden=(8,))),
        SHAC(normaliser_iterations=5, actor=ActorConfig(hidden=(8,), recurrent=4)),
    ],
    ids=["critic", "recurrent"],
)
def test_a_critic_and_a_memory_resume_to_the_bit_too(config, tmp_path, ball_installed, monkeypatch):
    config = replace(config, iterations=6, horizon=5)
    ball = lambda: Ball(BallConfig(num_envs=8, episode_s=0.5))  # noqa: E731
    assert_resumes_to_the_bit(ball, config, ShacLearner, 3, tmp_path, monkeypatch)


def test_ctrl_c_in_mid_training_saves_exits_with_130_and_resumes(tmp_path):
    folder = tmp_path / "run"
    line = f"train quadrotor {QUADROTOR} --learner.iterations 1000000 --run-folder {folder}"
    process = subprocess.Popen([sys.executable, "-m", "robostack", *line.split()], stderr=subprocess.PIPE, text=True)
    try:
        while not list(folder.glob("events*")):  # opened when the first iteration is about to begin
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert f"Go on: robostack train quadrotor --resume --run-folder {folder}" in err
    assert "Traceback" not in err
    done = RunFolder.open(folder).metrics()["train"]["iterations"]
    assert robostack("export", folder) == 0
    more = f"--learner.iterations {done + 2}"
    assert robostack(f"train quadrotor --resume {more} --run-folder", folder) == 0
    assert RunFolder.open(folder).metrics()["train"]["iterations"] == done + 2


def test_without_room_for_a_checkpoint_the_old_one_stays_and_the_error_says_so(uninterrupted, tmp_path):
    folder = tmp_path / "run"
    trained(folder, "--learner.iterations 3 --seed 3")
    last, best = folder / "checkpoints" / "last.pt", folder / "checkpoints" / "best.pt"
    before = last.read_bytes()
    room = max(len(before), best.stat().st_size) // 2

    def no_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    line = f"train quadrotor --resume --learner.iterations 5 --run-folder {folder}"
    done = subprocess.run(
        [sys.executable, "-m", "robostack", *line.split()],
        preexec_fn=no_room,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no room for" in done.stderr
    assert "free some space and run the command again" in done.stderr
    assert "Traceback" not in done.stderr
    assert last.read_bytes() == before
    assert not list(folder.rglob("*.tmp"))
    assert cli.main(line.split()) == 0
    assert RunFolder.open(folder).metrics()["train"]["iterations"] == 5
