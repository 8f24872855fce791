"""Claims: nodes end with whoever started them, however that one went, and leave no shared memory."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from running import alive

from robostack_real.stacks.processes import Processes
from robostack_real.stacks.shared_memory import segments_locks
from robostack_real.stacks.stack import NodeDescription

STARTER = """
import sys, time
from robostack_real.stacks.processes import Processes
from robostack_real.stacks.shared_memory import segments_locks
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


def held(lock: Path) -> bool:
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_killed_nodes_shared_memory_is_freed_and_a_living_ones_is_not(domain: int) -> None:
    before = {*segments_locks()}
    stack = partial(
        Processes,
        [NodeDescription("supervisor")],
        environment={"ROS_DOMAIN_ID": str(domain)},
        show=lambda role, line: None,
    )
    with stack() as killed, stack():
        deadline = time.monotonic() + 20.0
        while len(locks := {*segments_locks()} - before) < 2:
            assert time.monotonic() < deadline, "two nodes, and not two segments"
            time.sleep(0.05)
        killed.running["supervisor"].kill()
        killed.running["supervisor"].wait()
        (dead,) = (lock for lock in locks if not held(lock))
        killed.end()
        assert not dead.exists() and not dead.with_name(dead.name.removesuffix("_el")).exists()
        (living,) = locks - {dead}
        assert held(living) and living.with_name(living.name.removesuffix("_el")).stat().st_size > 0
