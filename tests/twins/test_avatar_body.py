"""Claims: live, a policy keeps a body on its feet; where it fails inverse kinematics leads, and who falls gets up."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mink")

from robostack import quaternion as quat
from robostack.runtime.runner import Runner
from robostack.spec import ContractError
from robostack_real.twins.avatar_body import LIES_S, LiveBody
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.retarget import Target

DT_S = 1.0 / 72.0
PARTS = ("head", "left_hand", "right_hand")


@pytest.fixture(scope="module")
def dinosaur() -> Character:
    return Character.load("dinosaur")


@pytest.fixture(scope="module")
def lazy(lazy_dinosaur) -> Runner:
    return Runner(lazy_dinosaur)


def at_rest(character: Character) -> dict[str, Target]:
    return {p: Target(character.rest_m[p].copy(), quat.IDENTITY) for p in PARTS}


def test_a_body_stands_where_its_character_does_and_physics_moves_it(dinosaur, lazy):
    live = LiveBody(dinosaur, lazy)
    shown = [live.step(dinosaur.rest, at_rest(dinosaur), DT_S) for _ in range(72)]
    assert live.falls == 0 and not live.fell_back
    assert np.abs(shown[-1] - dinosaur.rest).max() < 0.2
    assert np.abs(shown[-1] - dinosaur.rest).max() > 0.0, "it settles"
    assert live._data.time == pytest.approx(1.0, abs=0.01), "a second is a second, whatever the rate"


def test_a_target_out_of_reach_is_a_fall_that_is_shown_by_kinematics_and_gets_up(dinosaur, lazy):
    live = LiveBody(dinosaur, lazy)
    away = at_rest(dinosaur)
    away["head"] = Target(away["head"].position_m + np.array([0.0, 0.0, 2.0]), quat.IDENTITY)
    assert live.step(dinosaur.rest, away, DT_S) == pytest.approx(dinosaur.rest)
    assert live.falls == 1
    for _ in range(round(LIES_S / DT_S) - 2):
        assert live.step(dinosaur.rest, at_rest(dinosaur), DT_S) == pytest.approx(dinosaur.rest)
    for _ in range(30):
        shown = live.step(dinosaur.rest, at_rest(dinosaur), DT_S)
    assert live.falls == 1 and np.abs(shown - dinosaur.rest).max() > 0.0


def test_what_is_no_number_leaves_the_drives_to_kinematics(dinosaur, lazy):
    live = LiveBody(dinosaur, lazy)
    for _ in range(10):
        live.step(dinosaur.rest, at_rest(dinosaur), DT_S)
    live._controller._policy = None  # from here on a call of it would raise
    live._controller.fall_back()
    for _ in range(20):
        shown = live.step(dinosaur.rest, at_rest(dinosaur), DT_S)
    assert live.fell_back and np.isfinite(shown).all()


def test_a_policy_of_another_character_is_refused(lazy):
    with pytest.raises(ContractError, match="train one for it, robostack train avatar --character human"):
        LiveBody(Character.load("human"), lazy)
