"""A person of our own who moves as the tests say, in a T at rest."""

from __future__ import annotations

import numpy as np
import pytest

from robostack import quaternion as quat
from robostack_sim.avatar.motion.clip import Clip, Skeleton

BONES: dict[str, tuple[str, tuple[float, float, float]]] = {
    "Spine1": ("Hips", (0.0, 0.0, 0.25)), "Neck": ("Spine1", (0.0, 0.0, 0.25)), "Head": ("Neck", (0.0, 0.0, 0.1)),
    "Head_end": ("Head", (0.0, 0.0, 0.2)),
}  # fmt: skip
for _side, _y in (("Left", 1.0), ("Right", -1.0)):
    BONES |= {
        f"{_side}Arm": ("Spine1", (0.0, 0.18 * _y, 0.2)), f"{_side}ForeArm": (f"{_side}Arm", (0.0, 0.28 * _y, 0.0)),
        f"{_side}Hand": (f"{_side}ForeArm", (0.0, 0.25 * _y, 0.0)), f"{_side}UpLeg": ("Hips", (0.0, 0.1 * _y, 0.0)),
        f"{_side}Leg": (f"{_side}UpLeg", (0.0, 0.0, -0.42)), f"{_side}Foot": (f"{_side}Leg", (0.0, 0.0, -0.42)),
        f"{_side}ToeBase": (f"{_side}Foot", (0.14, 0.0, -0.06)),
    }  # fmt: skip
RATE_HZ = 60.0


def person() -> Skeleton:
    names = ["Hips", *BONES]
    parents = [-1, *(names.index(p) for p, _ in BONES.values())]
    return Skeleton(tuple(names), tuple(parents), np.array([(0.0, 0.0, 0.0), *(o for _, o in BONES.values())]))


@pytest.fixture
def waving() -> Clip:
    """Stands, and in four seconds lowers both arms, raises the left one ahead and looks to the left."""
    skeleton = person()
    time = np.arange(int(4 * RATE_HZ) + 1) / RATE_HZ
    ramp = np.clip(time / 2.0, 0.0, 1.0)
    later = np.clip((time - 2.0) / 2.0, 0.0, 1.0)
    rotation = np.tile(quat.IDENTITY, (len(time), len(skeleton.names), 1))

    def turn(joint: str, axis: tuple[float, float, float], angle: np.ndarray) -> None:
        i = skeleton.index(joint)
        rotation[:, i] = quat.multiply(quat.from_rotation_vector(np.outer(angle, axis)), rotation[:, i])

    turn("LeftArm", (1.0, 0.0, 0.0), -1.2 * ramp)
    turn("RightArm", (1.0, 0.0, 0.0), 1.2 * ramp)
    turn("LeftArm", (0.0, 1.0, 0.0), -1.3 * later)
    turn("Head", (0.0, 0.0, 1.0), 0.6 * later)
    root = np.tile([0.0, 0.0, 0.9], (len(time), 1))
    return Clip("waving", skeleton, RATE_HZ, root, rotation)
