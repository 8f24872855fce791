"""Claims: a body's parts are found by the names of each format, and a missing one says which line to write."""

from __future__ import annotations

from dataclasses import replace

import pytest

from robostack_sim.avatar.motion.clip import MotionError, Skeleton
from robostack_sim.avatar.motion.parts import parts_of


def renamed(skeleton: Skeleton, **names: str) -> Skeleton:
    return replace(skeleton, names=tuple(names.get(n, n) for n in skeleton.names))


def test_names_of_mixamo_and_of_capitals_are_the_same_parts(waving):
    plain = parts_of(waving.skeleton)
    prefixed = replace(waving.skeleton, names=tuple(f"mixamorig:{n.upper()}" for n in waving.skeleton.names))
    assert parts_of(prefixed) == plain
    assert waving.skeleton.names[plain["left_hand"]] == "LeftHand"


def test_an_unknown_joint_says_the_line_to_add_and_that_line_helps(waving, tmp_path):
    strange = renamed(waving.skeleton, LeftHand="Paw.L")
    with pytest.raises(MotionError, match=r'no joint is known to be left_hand.*Paw\.L.*\n?.*left_hand = \["'):
        parts_of(strange)
    own = tmp_path / "parts.toml"
    own.write_text('left_hand = ["Paw.L"]\n')
    assert strange.names[parts_of(strange, own)["left_hand"]] == "Paw.L"
    for text, said in (('tail = ["x"]', "'tail' is no part"), ("left_hand = [", "parts.toml")):
        own.write_text(text)
        with pytest.raises(MotionError, match=said):
            parts_of(strange, own)
