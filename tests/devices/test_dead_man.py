"""Claims: the switch is down while any key is, and let go when the device goes away."""

import os
import struct
import time

import pytest

from robostack_real.devices.dead_man import DeadMan
from robostack_real.link.errors import LinkError


def event(kind: int, code: int, value: int) -> bytes:
    return struct.pack("llHHi", 1, 2, kind, code, value)


@pytest.fixture
def device(tmp_path):
    """A FIFO that carries the bytes of /dev/input/event*."""
    path = tmp_path / "event0"
    os.mkfifo(path)
    keep = os.open(path, os.O_RDWR)
    yield path, keep
    os.close(keep)


def becomes(switch, held) -> bool:
    deadline = time.monotonic() + 2.0
    while switch.held() != held and time.monotonic() < deadline:
        time.sleep(0.005)
    return switch.held() == held


def test_it_is_held_from_press_to_release_also_in_pieces(device):
    path, writer = device
    with DeadMan(path) as switch:
        assert not switch.held()
        os.write(writer, event(1, 304, 1)[:10])
        time.sleep(0.1)
        assert not switch.held()
        os.write(writer, event(1, 304, 1)[10:] + event(0, 0, 0) + event(3, 0, 127))
        assert becomes(switch, True)
        os.write(writer, event(1, 304, 2))
        os.write(writer, event(1, 305, 1) + event(1, 304, 0))
        time.sleep(0.1)
        assert switch.held()  # the other button
        os.write(writer, event(1, 305, 0))
        assert becomes(switch, False)


def test_an_unplugged_device_counts_as_let_go(tmp_path):
    path = tmp_path / "event0"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    with DeadMan(path) as switch:
        other = os.open(path, os.O_WRONLY)
        os.close(writer)
        os.write(other, event(1, 304, 1))
        assert becomes(switch, True)
        os.close(other)
        assert becomes(switch, False)


def test_a_device_that_is_not_there_is_named_with_what_to_do(tmp_path):
    with pytest.raises(LinkError, match=r"event7: No such file.*by-id"), DeadMan(tmp_path / "event7"):
        pass
