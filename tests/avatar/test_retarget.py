"""Claims: a person leads every character with head, hands and feet, within its joints' limits and on its feet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mink")

from robostack import quaternion as quat
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.motion.clip import MotionError
from robostack_sim.avatar.reference import Reference, worn
from robostack_sim.avatar.retargeted import Retargeted, retargeted
from robostack_sim.avatar.wearer import Calibration, TPose, Wearer

CHARACTERS = ("human", "mouse", "dinosaur")
T = {
    "head": (np.array([0.0, 0.0, 1.6]), quat.IDENTITY),
    "left_hand": (np.array([0.0, 0.7, 1.4]), quat.IDENTITY),
    "right_hand": (np.array([0.0, -0.7, 1.4]), quat.IDENTITY),
}


@pytest.mark.parametrize("name", CHARACTERS)
def test_a_wave_is_followed(name, waving):
    result = retargeted(Character.load(name), Reference(waving))
    figures = result.figures(Character.load(name))
    for part in ("head", "left_hand", "right_hand", "left_foot", "right_foot"):
        assert figures[f"{part}, p95 cm"] < 2.0, part
    assert figures["joints past their limits, %"] == 0.0
    assert figures["centre of mass inside, %"] > 99.0
    assert figures["feet skate, cm/s"] < 1.0


@pytest.mark.parametrize("name", CHARACTERS)
def test_who_leans_too_far_has_the_centre_of_mass_outside_of_the_feet(name):
    character = Character.load(name)
    leaning = character.rest.copy()
    about = character.rest_m["left_foot"] * [1.0, 0.0, 1.0]
    turn = quat.from_rotation_vector(np.array([0.0, 0.7, 0.0]))
    leaning[:3] = about + quat.rotate(turn, leaning[:3] - about)
    leaning[3:7] = quat.multiply(turn, leaning[3:7])
    stands = Retargeted(np.stack([character.rest] * 2), {}, np.ones((2, 2), bool), 72.0).figures(character)
    leans = Retargeted(np.stack([leaning] * 2), {}, np.ones((2, 2), bool), 72.0).figures(character)
    assert (stands["centre of mass inside, %"], leans["centre of mass inside, %"]) == (100.0, 0.0)


def test_a_wearer_is_measured_by_bones_as_in_a_t(waving):
    by_bones = Reference(waving).wearer
    assert by_bones.head_m == pytest.approx(0.42 + 0.42 + 0.06 + 0.6)
    assert by_bones.arm_m == pytest.approx(0.53) and by_bones.width_m == pytest.approx(0.36)
    in_a_t = Wearer.in_a_t(T)
    assert in_a_t.head_m == 1.6 and in_a_t.shoulder_m == 1.4
    assert in_a_t.arm_m == pytest.approx(0.5 * (1.4 - 0.22 * 1.6))


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ("left_hand", (0.0, 0.2, 1.0)),
        ("head", (0.0, 0.0, 0.3)),
        ("right_hand", (0.0, -0.7, 0.8)),
        ("head", (0.0, 0.0, np.nan)),
    ],
)
def test_what_is_no_t_is_said(part, place):
    with pytest.raises(ValueError, match="this is no T"):
        Wearer.in_a_t({**T, part: (np.array(place), quat.IDENTITY)})


def test_a_wearer_anywhere_who_looks_anywhere_is_taken_to_the_origin():
    turn = quat.from_rotation_vector(np.array([0.0, 0.0, 2.0]))
    moved = {p: (quat.rotate(turn, x) + np.array([3.0, 1.0, 0.0]), quat.multiply(turn, q)) for p, (x, q) in T.items()}
    calibration = Calibration.of(moved)
    for part, (place, away) in calibration.poses(moved).items():
        assert place == pytest.approx(T[part][0]) and away == pytest.approx(quat.IDENTITY)


def test_hands_that_are_swapped_are_put_right():
    swapped = {**T, "left_hand": T["right_hand"], "right_hand": T["left_hand"]}
    calibration = Calibration.of(swapped)
    assert calibration.swapped
    assert calibration.poses(swapped)["left_hand"][0] == pytest.approx(T["left_hand"][0])


def test_a_t_has_to_be_held_still_for_a_second():
    watch = TPose()
    assert watch.step({}, 0.1) is None and "no head was seen yet" in watch.missing
    found = [watch.step({**T, "head": (T["head"][0] + [0.05 * k, 0, 0], quat.IDENTITY)}, 0.1) for k in range(12)]
    assert found == [None] * 12, "who walks does not stand"
    found = [watch.step(T, 0.1) for _ in range(12)]
    assert found[8] is None and found[-1] is not None


def test_what_is_played_leads_like_the_clip_that_it_is(waving):
    tracked, calibration = worn(waving, 72.0)
    reference = Reference(waving, 72.0)
    for k, poses in enumerate(reference):
        there = calibration.poses(
            {
                p: (tracked.position_m[k, i], tracked.rotation[k, i])
                for i, p in enumerate(("head", "left_hand", "right_hand"))
            }
        )
        assert there["left_hand"][1] == pytest.approx(poses["left_hand"][1], abs=1e-6)
        away = there["left_hand"][0] - poses["left_hand"][0]
        assert np.abs(away).max() < 0.1, "off by the headset's mount"


def test_a_clip_without_a_head_is_refused(waving):
    names = tuple(
        "skull" if n == "Head" else "top" if n == "Head_end" else "nape" if n == "Neck" else n
        for n in waving.skeleton.names
    )
    with pytest.raises(MotionError, match="known to be head"):
        Reference(replace(waving, skeleton=replace(waving.skeleton, names=names)))
