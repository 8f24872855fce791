"""Claims: a headset that falls silent is held, then stood, then taken up again, and nothing ever jumps."""

from __future__ import annotations

import numpy as np
import pytest

from robostack import quaternion as quat
from robostack_real.headset.steady import HOLD_S, RAMP_S, RESUME_S, SILENT_S, Lead, PoseValue, Steady

DT_S = 1.0 / 72.0
STAND: PoseValue = (np.array([0.0, 0.0, 1.5]), quat.IDENTITY)


def live(x: float) -> PoseValue:
    return np.array([x, 0.0, 1.5]), quat.from_rotation_vector(np.array([0.0, 0.0, x]))


def run(steady: Steady, seconds: float, pose: PoseValue | None, silent: bool = False) -> list[float]:
    """x of what leads, a period each."""
    return [
        float(steady.step(pose, (k + 1) * DT_S if silent else 0.0, DT_S)[0][0]) for k in range(round(seconds / DT_S))
    ]


@pytest.fixture
def steady() -> Steady:
    found = Steady(STAND)
    run(found, RESUME_S + 0.1, live(0.4))
    return found


def test_nothing_known_is_standing():
    steady = Steady(STAND)
    assert run(steady, 0.5, None) == [0.0] * 36 and steady.lead is Lead.STAND


def test_what_is_live_leads_exactly(steady):
    position, rotation = steady.step(live(0.43), 0.01, DT_S)
    assert position == pytest.approx(live(0.43)[0]) and rotation == pytest.approx(live(0.43)[1])


def test_silence_is_held_then_stood(steady):
    led = run(steady, SILENT_S + HOLD_S, live(0.4), silent=True)
    assert led == pytest.approx([0.4] * len(led)) and steady.lead is Lead.HOLD
    # its age goes on where it was
    led = [
        float(steady.step(live(0.4), SILENT_S + HOLD_S + k * DT_S, DT_S)[0][0]) for k in range(round(RAMP_S / DT_S) + 2)
    ]
    assert led == sorted(led, reverse=True) and led[-1] == 0.0


@pytest.mark.parametrize("gap_s", [0.05, 0.3, 0.9, 5.0])
def test_after_a_gap_of_any_length_it_comes_back_without_a_jump(steady, gap_s):
    before = run(steady, gap_s, live(0.4), silent=True)
    after = run(steady, RESUME_S + 0.1, live(0.9))
    steps = np.abs(np.diff([0.4, *before, *after]))
    longest = 1.5 * 0.9 / RESUME_S * DT_S * 1.05  # a smooth step's steepest, over the farthest way
    assert steps.max() < longest or gap_s < SILENT_S
    assert after[-1] == pytest.approx(0.9)
