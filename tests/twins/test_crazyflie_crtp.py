"""Claims: the virtual radio answers by the protocol, survives any bytes, and says no by the firmware's numbers."""

import ctypes
import struct

import numpy as np
import pytest
from cflib.utils.encoding import compress_quaternion
from hypothesis import given
from hypothesis import strategies as st

from robostack_real.twins import crazyflie_crtp as crtp
from robostack_real.twins.crazyflie_app import Mode, Variable
from robostack_real.twins.crazyflie_commander import Commander
from robostack_real.twins.crazyflie_crtp import Crtp, Packet
from robostack_real.twins.crazyflie_supervisor import Supervisor


class Machine:
    """What the protocol speaks for, without C or physics."""

    def __init__(self):
        self.params = {
            "rsp.enable": Variable("rsp.enable", 8, ctypes.c_uint8(1)),
            "rsp.gain": Variable("rsp.gain", 6, ctypes.c_float(2.5)),
        }
        self.logs = {
            "pm.vbat": Variable("pm.vbat", 7, ctypes.c_float(3.9)),
            "rsp.channel": Variable("rsp.channel", 4, ctypes.c_int8(-1)),
        }
        self.commander, self.supervisor = Commander(), Supervisor()
        self.time_ms, self.position_m, self.said = 5000, np.zeros(3), b""

    @property
    def state_bits(self):
        return self.supervisor.bits

    def arm(self, wanted):
        return self.supervisor.arm(wanted)

    def recover(self):
        return self.supervisor.recover(upright=True)

    def emergency_stop(self):
        self.supervisor.emergency_stop()

    def to_app(self, packet):
        self.said = packet

    def from_app(self):
        return [self.said[::-1]] if self.said else []


@pytest.fixture
def machine():
    return Machine()


def ask(machine, port, channel, data):
    return [p.data for p in Crtp(machine).answer(Packet(port, channel, data))]


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_get_answers_that_a_radio_can_carry_and_no_exception(raws):
    machine = Machine()
    link = Crtp(machine)
    for raw in raws:
        packet = Packet.parse(raw)
        assert (packet is None) == (not 1 <= len(raw) <= 31)
        for answer in link.answer(packet) if packet else []:
            assert len(bytes(answer)) <= crtp.MAX_DATA + 1
        machine.time_ms += 1
        assert all(len(bytes(p)) <= 4096 for p in link.due())
        machine.commander.setpoint(machine.time_ms)


@given(st.integers(0, 15), st.integers(0, 3), st.binary(max_size=30))
def test_a_packet_round_trips(port, channel, data):
    assert Packet.parse(bytes(Packet(port, channel, data))) == Packet(port, channel, data)


def test_parameters_are_listed_read_and_written(machine):
    (head,) = ask(machine, crtp.PARAM, 0, b"\3")
    assert struct.unpack_from("<BH", head) == (3, 2)
    assert ask(machine, crtp.PARAM, 0, b"\2\1\0") == [b"\2\1\0\x06rsp\0gain\0"]
    assert ask(machine, crtp.PARAM, 1, b"\1\0") == [b"\1\0\0" + struct.pack("<f", 2.5)]
    assert ask(machine, crtp.PARAM, 2, b"\1\0" + struct.pack("<f", -1.0)) == [b"\1\0" + struct.pack("<f", -1.0)]
    assert machine.params["rsp.gain"].value == -1.0
    assert ask(machine, crtp.PARAM, 1, b"\7\0") == [b"\7\0\2"]  # ENOENT


def test_logs_come_at_their_period_in_the_types_that_were_asked_for(machine):
    link = Crtp(machine)
    create = bytes([6, 9, 0x78, 0, 0, 0x44, 1, 0, 0x77])  # vbat as FP16, channel; half an entry, as cflib leaves it
    assert link.answer(Packet(crtp.LOG, 1, create))[0].data == bytes([6, 9, 0])
    assert link.answer(Packet(crtp.LOG, 1, create))[0].data == bytes([6, 9, 17])  # EEXIST
    assert link.answer(Packet(crtp.LOG, 1, bytes([3, 9, 2])))[0].data == bytes([3, 9, 0])
    seen = []
    for _ in range(40):
        seen += link.due()
        machine.time_ms += 1
    assert [int.from_bytes(p.data[1:4], "little") for p in seen] == [5000, 5020]
    assert struct.unpack_from("<eb", seen[0].data, 4) == (pytest.approx(3.9, abs=1e-3), -1)
    assert link.answer(Packet(crtp.LOG, 1, bytes([3, 8, 2])))[0].data == bytes([3, 8, 2])


def test_a_full_state_setpoint_carries_position_velocity_and_acceleration(machine):
    packed = struct.pack("<B9hI3h", 6, 1000, -2000, 500, 100, 0, 0, 0, 9810, 0, 3 << 30, 0, 0, 0)
    ask(machine, crtp.GENERIC, 0, packed)
    setpoint = machine.commander.setpoint(machine.time_ms)
    assert (setpoint.position.x, setpoint.position.y, setpoint.position.z) == (1.0, -2.0, 0.5)
    assert setpoint.velocity.x == pytest.approx(0.1) and setpoint.acceleration.y == pytest.approx(9.81)
    assert setpoint.attitude_quaternion.w == 1.0
    assert (setpoint.mode.x, setpoint.mode.quat) == (Mode.ABS, Mode.ABS)


@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_a_compressed_quaternion_is_the_one_that_cflib_packed(q):
    q = np.array(q) / np.linalg.norm(q)
    back = np.array(crtp._quaternion(compress_quaternion(q)))
    assert min(np.abs(back - q).max(), np.abs(back + q).max()) < 3e-3


def test_arming_is_answered_with_what_it_is_now(machine):
    assert ask(machine, crtp.SUPERVISOR, 1, b"\1\1") == [b"\x81\1\1"]
    assert ask(machine, crtp.SUPERVISOR, 0, b"\x0c") == [b"\x8c" + struct.pack("<H", machine.supervisor.bits)]
    ask(machine, crtp.SUPERVISOR, 1, b"\3")
    assert machine.supervisor.locked


def test_what_is_sent_to_the_app_comes_to_it_and_its_packets_go_out_unasked(machine):
    link = Crtp(machine)
    assert link.answer(Packet(crtp.PLATFORM, 2, b"hello")) == []
    assert link.due() == [Packet(crtp.PLATFORM, 2, b"olleh")]
