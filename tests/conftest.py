"""Fixtures that more than one room needs, and the rule that CI has every tool."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browsing import Browser

from robostack.spec import ActionChannel, Channel, Cut, Envelope, LevelDescend, PolicySpec, Tumble

IN_CI = os.environ.get("CI") == "true"
os.environ["COLUMNS"] = "120"  # tables are as wide in every worker: each has its own idea

# A job in the background starts with Ctrl-C ignored, and every child of it: the tests of Ctrl-C would wait for nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)


def find_tool(*names: str) -> str:
    """Path of the first of `names` that is installed. None: skips the test; under CI=true fails it."""
    for name in names:
        path = shutil.which(name)
        if path:
            return path
    reason = f"{' or '.join(names)} is not installed"
    if IN_CI:
        pytest.fail(f"{reason}; under CI=true a missing tool is a failure")
    pytest.skip(reason)


def make_quadrotor_spec(**changes: object) -> PolicySpec:
    """The contract of a Crazyflie-class quadrotor, without a task or a trainer. Rotor speeds in rad/s."""
    rotors = ("front_right", "back_right", "back_left", "front_left")
    hover, top = 1450.0, 2273.0
    signs = ((-1, -1), (-1, 1), (1, 1), (1, -1))  # of the roll and pitch arms
    fields: dict[str, object] = {
        "task": "quadrotor",
        "control_dt_s": 0.01,
        "action_delay_s": (0.0, 0.02),
        "observations": (
            Channel(name="position", shape=(3,), elements=("px", "py", "pz"), unit="m", frame="world ENU",
                    low=(-100.0,), high=(100.0,), noise_std=(0.001,), max_age_s=0.1),
            Channel(name="velocity", shape=(3,), unit="m/s", frame="world ENU", low=(-30.0,), high=(30.0,)),
            Channel(name="attitude", shape=(4,), elements=("qw", "qx", "qy", "qz"), unit="quat_wxyz",
                    frame="body FLU to world ENU", low=(-1.01,), high=(1.01,)),
            Channel(name="body_rate", shape=(3,), unit="rad/s", frame="body FLU", low=(-40.0,), high=(40.0,)),
            Channel(name="setpoint", shape=(3,), unit="m", frame="world ENU", source="command", max_age_s=0.5,
                    low=(-100.0,), high=(100.0,)),
        ),
        "actions": (
            ActionChannel(name="rotor_speed", elements=rotors, unit="rad/s", low=(0.0,) * 4, high=(top,) * 4,
                          neutral=(0.0,) * 4),
        ),
        "envelope": Envelope(
            fallback=(
                LevelDescend(base=(0.92 * hover,) * 4,
                             gain=tuple(
                        (-300.0 * r, -300.0 * p, -40.0 * r, -40.0 * p, 0.0, -60.0) for r, p in signs
                    )),
                Cut(value=(0.0,) * 4),
            ),
            tumble=Tumble(max_tilt_rad=2.2, for_s=0.5),
        ),
    }  # fmt: skip
    return PolicySpec(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def quadrotor_spec() -> PolicySpec:
    return make_quadrotor_spec()


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., PolicySpec]:
    """The quadrotor's contract, with fields changed by keyword."""
    return make_quadrotor_spec


@pytest.fixture(scope="session")
def need_tool() -> Callable[..., str]:
    return find_tool


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, started once."""
    started = Browser(find_tool("chromium", "chromium-browser", "google-chrome"), tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def _trained_quadrotor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from robostack.export.firmware import export_firmware
    from robostack.learn.shac import SHAC
    from robostack.learn.trained import export_policy
    from robostack.learn.trainer import train
    from robostack.run_folder import RunFolder
    from robostack_sim.quadrotor.config import QuadrotorConfig
    from robostack_sim.quadrotor.task import Quadrotor

    run = RunFolder.at(tmp_path_factory.mktemp("run") / "quadrotor")
    config = QuadrotorConfig(num_envs=16, episode_s=1.0)
    with run.stage("train"):
        run.record(train=train(Quadrotor(config), SHAC(iterations=1, horizon=4), run))
    export_firmware(export_policy(run, run.policy), run.exported / "firmware")
    return run.path


@pytest.fixture(scope="session")
def flying_quadrotor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """policy.onnx of a quadrotor that hovers: a short training."""
    from robostack.learn.shac import SHAC
    from robostack.learn.trained import export_policy
    from robostack.learn.trainer import train
    from robostack.run_folder import RunFolder
    from robostack_sim.quadrotor.config import QuadrotorConfig
    from robostack_sim.quadrotor.task import Quadrotor

    run = RunFolder.at(tmp_path_factory.mktemp("flying") / "quadrotor")
    with run.stage("train"):
        run.record(train=train(Quadrotor(QuadrotorConfig()), SHAC(iterations=60), run))
    export_policy(run, run.policy)
    return run.policy


@pytest.fixture
def quadrotor_run(_trained_quadrotor: Path, tmp_path: Path) -> Path:
    """A run folder of one iteration, exported with its firmware: sound in everything but the quality of its flight."""
    return Path(shutil.copytree(_trained_quadrotor, tmp_path / "quadrotor"))


@contextmanager
def free_domain() -> Iterator[int]:
    """A DDS domain that no other test process has, as long as it lives."""
    folder = Path(tempfile.gettempdir()) / "robostack-domains"
    folder.mkdir(exist_ok=True)
    for number in range(1, 101):
        with (folder / str(number)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield number
            return
    raise RuntimeError("all 100 domains are in use")


@pytest.fixture(scope="module")
def domain() -> Iterator[int]:
    with free_domain() as number:
        yield number


@pytest.fixture
def fresh_domain() -> Iterator[dict[str, str]]:
    """Environment of processes that hear each other and nobody else, not even those of the test before."""
    with free_domain() as number:
        yield {
            **os.environ,
            "ROS_DOMAIN_ID": str(number),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4",
        }
