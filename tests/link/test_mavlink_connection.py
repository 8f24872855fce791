"""Claims: a MAVLink connection survives any bytes, and knows how old a sample is and what PX4's integers are."""

from __future__ import annotations

import math
import socket
import struct
import time
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robostack_real.link.mavlink import AUTOPILOT, Clock, Connection, UdpPort, dialect, is_loopback, parameter_value


class Line:
    """An autopilot's end of a connection."""

    def __init__(self, system: int = 7, component: int = AUTOPILOT) -> None:
        self.mav = dialect.MAVLink(None, srcSystem=system, srcComponent=component)

    def beat(self) -> bytes:
        quad, px4 = dialect.MAV_TYPE_QUADROTOR, dialect.MAV_AUTOPILOT_PX4
        packed: bytes = dialect.MAVLink_heartbeat_message(quad, px4, 0, 0, 3, 3).pack(self.mav)
        return packed


def hear(link: Connection, data: bytes) -> None:
    for message in link._mav.parse_buffer(data) or ():
        if message.get_type() != "BAD_DATA":
            link._take(message)


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_are_no_message_and_the_next_frames_are(raws: list[bytes]) -> None:
    link, line = Connection("udpin://127.0.0.1:1"), Line()
    for raw in raws:
        hear(link, raw)
    for _ in range(40):  # what began like a long frame swallows some
        hear(link, line.beat())
    assert link.system == 7


def test_only_the_first_autopilot_is_heard_and_the_other_is_known() -> None:
    link = Connection("udpin://127.0.0.1:1")
    hear(link, Line(component=100).beat())
    assert link.system == 0  # a camera
    hear(link, Line(7).beat())
    hear(link, Line(8).beat())
    assert link.system == 7 and link.others == {8}
    assert len(link.arrivals["HEARTBEAT"]) == 1


def test_a_listening_port_keeps_to_whom_spoke_first() -> None:
    port = UdpPort("127.0.0.1", 0, listen=True)
    first, second = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    port.write(b"nobody there")
    first.sendto(b"a", ("127.0.0.1", port.port))
    assert port.read() == b"a"
    second.sendto(b"b", ("127.0.0.1", port.port))
    assert port.read() == b""
    port.write(b"c")
    assert first.recv(10) == b"c"
    for each in (port, first, second):
        each.close()


@given(st.floats(-1e3, 1e3), st.floats(0.0, 0.05), st.floats(0.0, 0.3))
def test_the_age_of_a_sample_is_known_to_half_a_round_trip(offset_s: float, trip_s: float, age_s: float) -> None:
    clock = Clock()
    for late in (0.05, 0.0, 0.1):
        clock.add(10.0, 10.0 + (trip_s + late) / 2 + offset_s, 10.0 + trip_s + late)
    assert clock.age_s(20.0 - age_s + offset_s, 20.0) == pytest.approx(age_s, abs=1e-6)
    assert clock.round_trip_s == pytest.approx(trip_s + 0.05)


def test_an_answer_to_somebody_elses_clock_is_not_taken() -> None:
    link, line = Connection("udpin://127.0.0.1:1"), Line()
    hear(link, line.beat())
    hear(link, dialect.MAVLink_timesync_message(10**9, 2 * 10**18).pack(line.mav))
    assert not link.clock.exchanges
    link._synchronised.append(5)
    hear(link, dialect.MAVLink_timesync_message(10**9, 5).pack(line.mav))
    assert len(link.clock.exchanges) == 1


def test_a_clock_that_was_never_set_says_so() -> None:
    assert Clock().round_trip_s == float("inf") and Clock().age_s(1.0, 2.0) == 0.0


@given(st.integers(-1000, 1000))
def test_an_integer_parameter_is_four_bytes_in_the_place_of_a_float(value: int) -> None:
    bits = struct.unpack("<f", struct.pack("<i", value))[0]
    int32, real32 = dialect.MAV_PARAM_TYPE_INT32, dialect.MAV_PARAM_TYPE_REAL32
    if math.isfinite(bits):
        assert parameter_value(dialect.MAVLink_param_value_message(b"X", bits, int32, 1, 0)) == value
    assert parameter_value(dialect.MAVLink_param_value_message(b"X", 0.5, real32, 1, 0)) == 0.5


def test_rate_and_longest_gap_are_those_of_what_arrived() -> None:
    link, now = Connection("udpin://127.0.0.1:1"), time.monotonic()
    link.arrivals["HEARTBEAT"] = deque([now - 0.9, now - 0.5, now - 0.1])
    rate, gap = link.rate("HEARTBEAT", 1.0)
    assert rate == 3.0 and gap == pytest.approx(0.4, abs=0.05)
    assert link.rate("NOTHING", 1.0)[0] == 0.0


def test_loopback_is_an_address_and_not_a_name() -> None:
    assert is_loopback("udpin://127.0.0.1:14540")
    assert not any(is_loopback(u) for u in ("udpin://0.0.0.0:14540", "mavlink:///dev/ttyACM0:921600"))
