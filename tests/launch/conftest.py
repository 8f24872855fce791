"""Our launch files against a stand-in for launch, and robostack as colcon installs it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def describe() -> Iterator[Callable[[str], Any]]:
    """The description that a launch file of ours gives, by its name; `launch` is the stand-in."""

    def forget() -> None:
        for name in [n for n in sys.modules if n.partition(".")[0] in ("launch", "launch_ros")]:
            del sys.modules[name]

    def load(name: str) -> Any:
        spec = importlib.util.spec_from_file_location(name, ROOT / f"launch/{name}.launch.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.generate_launch_description()

    standin = str(Path(__file__).with_name("standin"))
    forget()
    sys.path.insert(0, standin)
    yield load
    sys.path.remove(standin)
    forget()


@dataclass
class Workspace:
    """A colcon workspace with robostack in it."""

    path: Path
    environment: dict[str, str]

    @property
    def prefix(self) -> Path:
        return self.path / "install/robostack"

    def run(self, *command: str | Path) -> subprocess.Popen[str]:
        """A command as after `. install/local_setup.sh`, in a session of its own."""
        script = f'. {self.path}/install/local_setup.sh && exec "$@"'
        return subprocess.Popen(
            ["sh", "-c", script, "sh", *map(str, command)],
            cwd=self.path, env=self.environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def output(self, *command: str | Path) -> tuple[int, str]:
        process = self.run(*command)
        text, _ = process.communicate(timeout=60)
        return process.returncode, text


@pytest.fixture(scope="module", params=["plain", "--symlink-install"])
def workspace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, domain: int) -> Workspace:
    """Built from the checkout, which stays as it was."""
    path = tmp_path_factory.mktemp("workspace")
    words = [] if request.param == "plain" else [request.param]
    built = subprocess.run(
        [sys.executable, "-m", "colcon", "build", *words, "--base-paths", ROOT, "--packages-select", "robostack"],
        cwd=path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    return Workspace(path, os.environ | {
        "ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4", "ROS_LOG_DIR": str(path / "log"),
    })  # fmt: skip
