"""Claims: nodes end with whoever started them, however that one went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from running import alive

STARTER = """
import sys, time
from robostack_real.stacks.processes import Processes
from robostack_real.stacks.stack import NodeDescription
nodes = [NodeDescription("supervisor"), NodeDescription("setpoint", {"policy": sys.argv[1]})]
with Processes(nodes, environment={"ROS_DOMAIN_ID": sys.argv[2]}, show=lambda role, line: None) as running:
    time.sleep(3.0)
    print(*(p.pid for p in running.running.values()), flush=True)
    time.sleep(60.0)
"""


def test_no_node_outlives_a_killed_starter(policy: Path, domain: int) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(policy), str(domain)], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    nodes = [int(pid) for pid in starter.stdout.readline().split()]
    assert len(nodes) == 2 and all(Path(f"/proc/{pid}").exists() for pid in nodes)
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    deadline = time.monotonic() + 10.0
    while any(alive(pid) for pid in nodes):
        assert time.monotonic() < deadline, "a node goes on without anybody who could end it"
        time.sleep(0.05)
