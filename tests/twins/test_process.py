"""A twin's process ends with its parent, is explained when it dies, and is left alone by what is not its parent."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from robostack_real.link.errors import LinkError
from robostack_real.twins.process import TwinProcess


def ended(twin, within_s=20.0):
    return bool(select.select([twin.pidfd], [], [], within_s)[0])


def wait_until(true):
    guard = time.monotonic() + 20
    while not true():
        assert time.monotonic() < guard
        time.sleep(0.01)


def is_gone(pid):
    try:
        return ") Z" in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture
def start():
    started = []

    def start(*command):
        started.append(TwinProcess(command))
        return started[-1]

    yield start
    for twin in started:
        twin.stop()


@pytest.mark.parametrize("delay_s", [0.0, 0.001, 0.01, 0.1])
def test_a_twin_dies_with_a_parent_that_is_killed(need_tool, delay_s):
    """`sleep` reads nothing and writes nothing: no line tells it that its parent is gone."""
    need_tool("setpriv")
    script = (
        "import os, time; from robostack_real.twins.process import TwinProcess\n"
        f"print(TwinProcess(['sleep', '600']).pid, flush=True); time.sleep({delay_s}); os.kill(os.getpid(), 9)"
    )
    parent = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert parent.returncode == -signal.SIGKILL
    wait_until(lambda: is_gone(int(parent.stdout)))


def test_a_twin_that_a_thread_started_outlives_the_thread(start):
    twins = []
    thread = threading.Thread(target=lambda: twins.append(start("sleep", "600")))
    thread.start()
    thread.join()
    assert not ended(twins[0], within_s=0.2)


def test_the_process_is_the_program_itself(start):
    """No shell between: a signal to `pid` reaches the program."""
    twin = start("sleep", "600")
    wait_until(lambda: Path(f"/proc/{twin.pid}/comm").read_text() == "sleep\n")
    twin.kill()
    assert ended(twin)
    assert twin.epitaph() == "signal 9"


def test_what_a_program_says_last_is_its_epitaph(start):
    twin = start("sh", "-c", "echo no such sensor >&2; exit 3")
    assert ended(twin)
    assert twin.epitaph() == "exit status 3: no such sensor"


def test_stop_ends_and_reaps_and_may_be_called_twice(start):
    twin = start("sleep", "600")
    twin.stop()
    twin.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(twin.pid, 0)


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program", "/etc/passwd"])
def test_what_is_no_program_is_named(program):
    with pytest.raises(LinkError, match=f"cannot start {program}"):
        TwinProcess([program])
