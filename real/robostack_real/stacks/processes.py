"""Starts the nodes of a stack as processes, shows what they say, and ends them in order. Needs no ROS install."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from robostack_real.stacks.shared_memory import free_ownerless
from robostack_real.stacks.stack import NodeDescription

PROFILE = Path(__file__).with_name("fastdds.xml")
END_S = 8.0
"""that a node may take to end before it is killed; a supervisor waits for the fallback to come to its end"""
DEFAULTS = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "FASTRTPS_DEFAULT_PROFILES_FILE": str(PROFILE)}
"""of the environment, where nothing is set: nobody else's network hears us, and who was killed is soon forgotten"""


class Processes:
    """See the module's docstring; enter it to start them."""

    def __init__(
        self,
        nodes: Sequence[NodeDescription],
        *,
        namespace: str = "",
        params_file: Path | None = None,
        environment: Mapping[str, str] | None = None,
        show: Callable[[str, str], None] = lambda role, line: print(f"{role:>10} | {line}", file=sys.stderr),
    ) -> None:
        self._nodes, self._show = nodes, show
        self._namespace, self._params_file = namespace, params_file
        self._environment = {**DEFAULTS, **os.environ, **(environment or {})}
        self.running: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        try:
            for node in self._nodes:
                self.start(node)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def start(self, node: NodeDescription) -> None:
        """In a session of its own: Ctrl-C reaches the nodes by us, in order. Where it takes a killed one's place, what
        that one left in shared memory is freed first."""
        free_ownerless()
        arguments = node.arguments(self._namespace, self._params_file)
        command = [sys.executable, "-m", "robostack_real.nodes.main", node.role, "--with-parent", *arguments]
        process = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.running[node.role] = process
        reader = threading.Thread(target=self._read, args=(node.role, process), daemon=True)
        reader.start()
        self._readers.append(reader)

    def ended(self) -> dict[str, int]:
        """Exit status by role of those that are not running any more."""
        return {role: p.returncode for role, p in self.running.items() if p.poll() is not None}

    def end(self) -> None:
        """The last started first: the supervisor disarms before anything else falls silent."""
        for process in reversed(self.running.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                deadline = time.monotonic() + END_S
                while process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.01)
                if process.poll() is None:
                    process.kill()
                    process.wait()
        for reader in self._readers:
            reader.join(timeout=1.0)
        free_ownerless()

    def _read(self, role: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._show(role, line.rstrip())
