"""A colcon workspace, and where the checkout is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def unknown_parameters(launched: Iterable[Any], nodes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What launched nodes are given, and nodes of their roles do not declare."""
    return [
        (node.executable, name)
        for node in launched
        for given in node.parameters
        for name in given
        if not nodes[node.executable.removesuffix("_node")].has_parameter(name)
    ]


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
