"""Claims: a headset sees what it is mounted on, late and noisy as it is said to be, and what is lost stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robostack import quaternion as quat
from robostack_sim.avatar.motion.parts import parts_of
from robostack_sim.avatar.motion.trackers import PERFECT, TrackerModel, track


def test_a_perfect_one_sees_the_joints_through_its_mounts(waving):
    parts = parts_of(waving.skeleton)
    seen = track(waving, parts, PERFECT, rate_hz=60.0)
    head = waving.position_m[:, parts["head"]]
    turned = waving.orientation[:, parts["head"]]
    assert seen.position_m[:, 0] == pytest.approx(head + quat.rotate(turned, np.tile([0.09, 0.0, 0.1], (len(head), 1))))
    assert seen.position_m[:, 1] == pytest.approx(waving.position_m[:, parts["left_hand"]])
    assert seen.seen.all() and seen.time_s[0] == 0.0


def test_noise_latency_and_gaps_are_as_large_as_said(waving):
    parts = parts_of(waving.skeleton)
    model = replace(TrackerModel(), position_noise_m=0.01, rotation_noise_rad=0.02, latency_s=0.05, gaps_per_s=1.0)
    clean, noisy = (track(waving, parts, m, rate_hz=72.0, seed=1) for m in (PERFECT, model))
    assert noisy.time_s - clean.time_s == pytest.approx(0.05)
    assert (noisy.position_m - clean.position_m)[:, 0].std() == pytest.approx(0.01, rel=0.15)
    off = quat.to_rotation_vector(quat.multiply(quat.inverse(clean.rotation), noisy.rotation))[:, 0]
    assert off.std() == pytest.approx(0.02, rel=0.15)
    lost = ~noisy.seen
    assert not lost[:, 0].any() and lost[:, 1:].any()
    k, hand = next((k, h) for k in range(1, len(lost)) for h in (1, 2) if lost[k, h])
    assert (noisy.position_m[k, hand] == noisy.position_m[k - 1, hand]).all()
