"""The emulated board and the same firmware as a process: in lockstep, on a serial line, and when they die."""

import glob
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import tiny

from robostack.runtime.envelope import Reason
from robostack_real.link.errors import LinkError, LinkLost
from robostack_real.link.frame import encode
from robostack_real.link.protocol import Actuation
from robostack_real.twins.board import LockstepBoard, SerialBoard

ENVIRONMENT = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
BOARDS = ("host", "netduinoplus2")
X = np.array([0.5, -0.5, 0.25, 0.0, 0.0], dtype=np.float32)


@pytest.fixture(params=BOARDS)
def kind(request):
    return request.param


@pytest.fixture
def board(firmware, kind):
    with LockstepBoard(firmware(kind, "lockstep"), kind) as board:
        yield board


@pytest.fixture
def armed(board):
    board.check(tiny.SPEC, tiny.POLICY_HASH)
    board.step(X)
    board.arm()
    return board


def observations(n):
    return np.random.default_rng(0).uniform(-1, 1, (n, 5)).astype(np.float32) * np.float32([1, 1, 1, 1, 0])


def fly(firmware, kind, n=300):
    """Hash of all the board said in a flight with stale and damaged frames, and its actions."""
    said, actions = hashlib.sha256(), []
    with LockstepBoard(firmware(kind, "lockstep"), kind) as board:
        board.step(X)
        board.arm(tiny.POLICY_HASH)
        for i, x in enumerate(observations(n)):
            message = board.observe_message(x, age_s=[0.001, 0.002, 0.0])
            frame = bytearray(encode(bytes(message)))
            if i % 17 == 3:
                frame[5] ^= 0x10
            answer = board.deliver(bytes(frame))
            said.update(bytes(answer))
            actions.append(Actuation.parse(answer, 2, message.sequence).action.tobytes())
            if i % 23 == 5:
                said.update(bytes(board.deliver(bytes(frame))))
    return said.hexdigest(), actions


def test_a_flight_repeats_to_the_byte(firmware, kind):
    assert fly(firmware, kind) == fly(firmware, kind)


def test_the_emulated_board_and_this_machine_fly_the_same_bytes(firmware):
    assert fly(firmware, "netduinoplus2")[1] == fly(firmware, "host")[1]


def test_a_board_in_lockstep_computes_the_policy(armed):
    policy = tiny.TinyPolicy()
    for x in observations(200):
        actuation = armed.step(x)
        assert actuation.action.tobytes() == policy.step(x).tobytes()
        assert actuation.answered
    assert (actuation.deadline_misses, actuation.rejected, actuation.stale) == (0, 0, 0)


def test_the_self_test_passes_and_its_outputs_are_the_same_bytes(board):
    for k, outputs in enumerate(tiny.SPEC.self_test.outputs):
        result = board.self_test(k)
        assert (result.count, result.failures) == (2, 0)
        assert result.outputs.tobytes() == np.array(outputs, dtype=np.float32).tobytes()


def test_observations_that_stop_trip_after_their_age(armed):
    armed.step(X)
    silent = [armed.wait() for _ in range(6)]
    assert [a.tripped for a in silent] == [False] * 5 + [True]  # max_age_s is five periods
    assert silent[-1].reason == Reason.STALE


def test_a_damaged_frame_costs_its_period_and_nothing_else(armed):
    before = armed.step(X)
    frame = bytearray(encode(bytes(armed.observe_message(X))))
    frame[7] ^= 0x40
    answer = Actuation.parse(armed.deliver(bytes(frame)), 2, 0)
    assert (answer.rejected, answer.tick, answer.tripped) == (before.rejected + 1, before.tick + 1, False)
    assert armed.step(X).answered


@pytest.mark.parametrize("at", range(0, 40, 3))
def test_any_damaged_byte_still_costs_one_period(armed, at):
    """A byte that becomes a delimiter makes two frames of one: the delivery counts, not the frames."""
    before = armed.step(X)
    frame = bytearray(encode(bytes(armed.observe_message(X))))
    frame[at] = 0 if frame[at] else 9
    armed.deliver(bytes(frame))
    after = armed.step(X)
    assert after.answered
    assert after.tick == before.tick + 2


def test_a_frame_cut_short_costs_its_period(armed):
    before = armed.step(X)
    frame = encode(bytes(armed.observe_message(X)))
    assert Actuation.parse(armed.deliver(frame[:20]), 2, 0).tick == before.tick + 1
    after = armed.step(X)
    assert (after.answered, after.rejected) == (True, before.rejected + 1)


def test_a_repeated_frame_is_dropped_and_its_period_passes(armed):
    frame = encode(bytes(armed.observe_message(X)))
    first, second = (Actuation.parse(armed.deliver(frame), 2, 0) for _ in range(2))
    assert (second.stale, second.tick) == (first.stale + 1, first.tick + 1)


def test_the_emulated_board_counts_instructions_and_deadlines_in_virtual_time(firmware):
    with LockstepBoard(firmware("netduinoplus2", "lockstep")) as board:
        board.step(X)
        board.arm(tiny.POLICY_HASH)
        light, again = board.step(X), board.step(X)
        assert light.ticks_spent == again.ticks_spent > 0
        assert light.deadline_misses == 0
        heavy = board.step(X + np.float32([0, 0, 0, 0, 500]))  # 500,000 iterations take more than 1 ms, less than 10
        assert 1_000_000 < heavy.ticks_spent < 10_000_000
        assert heavy.deadline_misses == 0
        late = board.step(X + np.float32([0, 0, 0, 0, 3000]))
        assert late.ticks_spent > 10_000_000  # ns: more than a control period
        assert late.deadline_misses >= 1


def test_a_board_that_dies_in_flight_is_a_lost_link(armed):
    armed.kill()
    with pytest.raises(LinkLost, match="ended, signal 9"):
        armed.step(X)
    with pytest.raises(LinkLost):
        armed.step(X)


def test_firmware_that_does_not_run_is_an_error_not_a_hang(tmp_path, kind):
    with pytest.raises(LinkError, match="no such"), LockstepBoard(tmp_path / "absent.elf", kind):
        pass
    broken = tmp_path / "broken.elf"
    broken.write_text("#!/bin/sh\necho cannot fly >&2\nexit 3\n")
    broken.chmod(0o755)
    if kind == "host":
        with pytest.raises(LinkLost, match="exit status 3: cannot fly"), LockstepBoard(broken, kind):
            pass


@pytest.mark.parametrize("ending", ["exit", "error", "killed"])
def test_nothing_is_left_behind(firmware, kind, ending):
    board = LockstepBoard(firmware(kind, "lockstep"), kind)
    before = fifos()
    try:
        with board:
            process = board._running()
            assert fifos() == before  # they are unlinked as soon as both ends are open
            if ending == "error":
                raise RuntimeError
            if ending == "killed":
                board.kill()
    except RuntimeError:
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


@pytest.mark.parametrize("transport", ["lockstep", "usart"])
def test_ctrl_c_ends_the_twin_too(firmware, kind, transport):
    """SIGINT to a script that flies a twin: the script ends, and so does the twin."""
    twin = "LockstepBoard" if transport == "lockstep" else "SerialBoard"
    script = (
        "import sys, time; from pathlib import Path\n"
        "from robostack_real.twins.board import LockstepBoard, SerialBoard\n"
        f"with {twin}(Path(sys.argv[1]), sys.argv[2]) as board:\n"
        "    print(board._process.pid, flush=True)\n"
        "    time.sleep(100)\n"
    )
    elf = str(firmware(kind, transport))
    with subprocess.Popen(
        [sys.executable, "-c", script, elf, kind],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
    ) as user:  # fmt: skip
        twin_pid = int(user.stdout.readline())
        user.send_signal(signal.SIGINT)
        assert user.wait(60) != 0
    assert not Path(f"/proc/{twin_pid}").exists()


@pytest.mark.parametrize("transport", ["lockstep", "usart"])
def test_a_board_does_not_outlive_its_host(firmware, kind, transport, need_tool):
    """SIGKILL runs no clean-up: the kernel ends the board."""
    need_tool("setpriv")
    twin = "LockstepBoard" if transport == "lockstep" else "SerialBoard"
    script = (
        "import os, sys; from pathlib import Path\n"
        "from robostack_real.twins.board import LockstepBoard, SerialBoard\n"
        f"with {twin}(Path(sys.argv[1]), sys.argv[2]) as board:\n"
        "    print(board._process.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    elf = str(firmware(kind, transport))
    user = subprocess.run(
        [sys.executable, "-c", script, elf, kind],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert user.returncode == -signal.SIGKILL
    twin, guard = Path(f"/proc/{int(user.stdout)}"), time.monotonic() + 60
    while twin.exists() and not zombie(twin):
        assert time.monotonic() < guard
        time.sleep(0.01)


@pytest.fixture
def serial_board(firmware, kind):
    with SerialBoard(firmware(kind, "usart"), kind) as board:
        yield board


def test_the_serial_line_carries_handshake_flight_and_self_test(serial_board):
    with serial_board.connect() as link:
        assert link.check(tiny.SPEC, tiny.POLICY_HASH).task == "tiny"
        assert link.self_test(0).failures == 0
        link.observe(X)
        link.arm()
        actuation = link.observe(X)
        assert actuation.armed
        assert np.isfinite(actuation.action).all()
        link.disarm()
        assert link.observe(X).action.tolist() == [0.0, 0.0]


def test_a_damaged_serial_line_finds_its_place_again(serial_board):
    with serial_board.connect() as link:
        before = link.observe(X)
        good = encode(bytes(link.observe_message(X)))
        bad = bytearray(good)
        bad[9] ^= 0x40
        for noise in (b"\xa5" * 40, bytes(bad), good[: len(good) // 2], bytes(bad[20:])):
            link.send_raw(noise)
        after = link.observe(X)
        assert after.answered
        assert after.rejected > before.rejected


def test_a_serial_board_killed_in_flight_is_a_lost_link(serial_board):
    with serial_board.connect() as link:
        link.observe(X)
        serial_board.kill()
        with pytest.raises(LinkLost, match="check the cable"):
            fly_on(link)


def fly_on(link):
    while True:
        link.observe(X)


def fifos():
    return set(glob.glob(f"{tempfile.gettempdir()}/robostack-board-*"))


def zombie(process):
    try:
        return process.joinpath("stat").read_text().split(") ")[1].startswith("Z")
    except FileNotFoundError:
        return True
