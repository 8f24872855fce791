"""A real serial line (a pseudo-terminal) with the firmware as a process behind it, and what goes wrong."""

import os
import pty
import threading

import numpy as np
import pytest
import tiny

from robostack_real.link.client import BoardLink
from robostack_real.link.errors import LinkError, LinkLost, NoAnswer, PortAbsent, PortBusy
from robostack_real.link.frame import encode
from robostack_real.link.protocol import Type
from robostack_real.twins.board import SerialBoard

X = np.array([0.5, -0.5, 0.25, 0.0, 0.0], dtype=np.float32)


@pytest.fixture
def board(firmware):
    with SerialBoard(firmware("host", "usart"), "host") as board:
        yield board


@pytest.fixture
def link(board):
    with board.connect() as link:
        yield link


def fly_on(link):
    while True:
        link.observe(X)


def test_an_absent_port_says_so():
    with pytest.raises(PortAbsent, match=r"/dev/ttyNOSUCH0: there is no such port .* plug the board in"):
        BoardLink("/dev/ttyNOSUCH0")


def test_a_port_that_is_no_serial_line_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LinkError, match="file: "):
        BoardLink(str(tmp_path / "file"))
    with pytest.raises(LinkError, match="give a device"):
        BoardLink("nonsense://board")


def test_a_busy_port_is_refused_and_free_again_after_close(board):
    with BoardLink(board.port), pytest.raises(PortBusy, match="another process has it"):
        BoardLink(board.port)
    with board.connect() as link:
        assert link.identify().board == "host"


def test_a_silent_port_says_what_to_check():
    master, line = pty.openpty()
    try:
        with (
            BoardLink(os.ttyname(line), answer_s=0.01, attempts=2) as link,
            pytest.raises(NoAnswer, match=r"did not answer HELLO in 2 attempts.* check its power"),
        ):
            link.identify()
    finally:
        os.close(master)
        os.close(line)


def test_a_link_pulled_in_flight_is_lost_and_says_so(board, link):
    link.check(tiny.SPEC, tiny.POLICY_HASH)
    link.observe(X)
    link.arm()
    link.observe(X)
    board.kill()

    with pytest.raises(LinkLost, match=r"is gone .*: check the cable"):
        fly_on(link)


def test_another_session_goes_on_where_the_last_one_stopped(board):
    for _ in range(2):
        with board.connect() as link:
            assert all(link.observe(X).answered for _ in range(3))


def test_a_retried_arm_whose_first_answer_was_lost_succeeds(link, monkeypatch):
    link.check(tiny.SPEC, tiny.POLICY_HASH)
    link.observe(X)
    messages, losses = link._messages, iter([True])

    def lossy(within_s):
        for message in messages(within_s):
            if not (message.type == Type.ACK and next(losses, False)):
                yield message

    monkeypatch.setattr(link, "_messages", lossy)
    link.arm()
    assert next(losses, "lost") == "lost"
    assert link.identify().armed


def test_garbage_on_the_line_costs_no_frame_after_it(link):
    before = link.observe(X)
    for noise in (b"\xff" * 700, b"\x05ab", bytes(range(256)), encode(b"\x04")[:-2]):
        link.send_raw(noise)
        assert link.observe(X).answered
    assert link.observe(X).rejected > before.rejected
    assert link.damaged == 0


def test_the_board_keeps_its_own_time_when_the_host_is_silent(link):
    link.identify()
    link.observe(X)
    link.arm(tiny.POLICY_HASH)
    reports = [m for _, m in zip(range(9), link._messages(60.0), strict=False) if m.type == Type.ACTUATE]
    assert len(reports) == 9  # armed, it reports every period without being asked
    assert link.observe(X).tripped  # and fell back when its observations were too old


def test_round_trips_are_counted(link):
    for _ in range(20):
        link.observe(X)
    trips = link.round_trips
    assert (trips.count, trips.lost) == (20, 0)
    assert 0 < trips.quantile(0.5) <= trips.quantile(0.99) <= trips.max_s
    assert trips.per_second > 0


def test_closing_from_another_thread_ends_a_wait_with_an_error(link):
    link.identify()
    threading.Timer(0.05, link.close).start()
    with pytest.raises(LinkError):
        fly_on(link)
