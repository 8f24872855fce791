"""Every kind of fault in flight ends as it must, and a board that lets one pass is found out."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from _faults import KINDS, Flights, bad_line, draw, export_watched, flying
from _fleet import BoardFleet, HostFleet

from robostack.boards import choose
from robostack.export.firmware import export_firmware
from robostack.run_folder import RunFolder

BETWEEN, PERIODS = (4, 9), 64
"""soon, since this policy had one iteration of training and does not fly for long; a setpoint takes 50 periods"""


@pytest.fixture(scope="module")
def policy(_trained_quadrotor, tmp_path_factory):
    return export_watched(RunFolder.at(_trained_quadrotor), tmp_path_factory.mktemp("watched") / "policy.onnx")


@pytest.fixture
def firmware(policy, tmp_path, need_tool):
    need_tool("cc")
    export_firmware(policy, tmp_path / "firmware")
    return tmp_path / "firmware"


def fly(fleet, policy, rounds=1):
    """Rounds of one flight for every kind of fault."""
    done = []
    flights = Flights(fleet, flying(fleet.size), policy)
    for first in range(0, rounds * len(KINDS), fleet.size):
        kinds = [KINDS[i % len(KINDS)] for i in range(first, first + fleet.size)]
        faults = [draw(k, policy.spec, BETWEEN, np.random.default_rng([first, i])) for i, k in enumerate(kinds)]
        flights.fly(faults, PERIODS, seed=first)
        done += faults
    return done


def test_every_fault_on_host_c_ends_as_it_must(policy, firmware):
    faults = fly(HostFleet(policy.spec, firmware, 4 * len(KINDS)), policy, rounds=4)
    assert [f for f in faults if not f.held] == []
    assert {f.kind for f in faults if f.late is not None} == set(KINDS) - {"flood", "wrong_digest"}


def test_every_fault_on_the_emulated_board_ends_as_it_must(policy, firmware, need_tool):
    need_tool("qemu-system-arm")
    fleet = BoardFleet(choose("netduinoplus2"), firmware, 1)
    try:
        assert [f for f in fly(fleet, policy) if not f.held] == []
    finally:
        fleet.close()


def test_a_line_that_loses_and_delays_frames_trips_nothing(policy, firmware):
    flights = Flights(HostFleet(policy.spec, firmware, 50), flying(50), policy)
    lost, tripped_at = bad_line(flights, seconds=0.6, loss=0.05, late=0.1, seed=0)
    assert lost > 100
    assert (tripped_at < 0).all()


@pytest.mark.parametrize(
    ("file", "sound", "broken", "passes"),
    [
        ("envelope/envelope.c", "state->age_s <= channel->max_age_s &&", "true &&", {"stale", "link_loss", "crc"}),
        ("envelope/envelope.c", "state->bad <= channel->hold_periods", "true", {"low_battery"}),
        ("envelope/envelope.c", "  rs_envelope_missed(e, 1);\n", "", {"stale", "link_loss"}),
        ("link/server.c", "return RS_WRONG_POLICY;", "", {"wrong_digest"}),
        ("link/server.c", "rs_envelope_missed(&s->controller.envelope, skipped - 1u);", "", {"overrun"}),
        ("link/frame.c", "sent != rs_crc32(0, d->data, size)", "false", {"crc"}),
    ],
)
def test_a_board_that_lets_a_fault_pass_is_found_out(policy, firmware, file, sound, broken, passes):
    text = (firmware / file).read_text()
    assert text.count(sound) == 1
    (firmware / file).write_text(text.replace(sound, broken))
    faults = fly(HostFleet(policy.spec, firmware, 4 * len(KINDS)), policy, rounds=4)
    assert passes <= {f.kind for f in faults if not f.held}
