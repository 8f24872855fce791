"""Our launch files against a stand-in for launch, and robostack as colcon installs it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from workspace import ROOT, Workspace

from robostack_real.nodes.main import ROLES


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


@pytest.fixture
def nodes(domain: int) -> Iterator[dict[str, Any]]:
    """Every node by its role, not configured."""
    rclpy = pytest.importorskip("rclpy")
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    modules = {role: importlib.import_module(f"robostack_real.nodes.{role}_node") for role in ROLES}
    made = {role: getattr(module, ROLES[role])(context=context) for role, module in modules.items()}
    yield made
    for node in made.values():
        node.destroy_node()
    rclpy.shutdown(context=context)


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
