"""A recorded clip as poses of a wearer: what leads a character through it, and what a policy is judged against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from robostack import quaternion as quat
from robostack_sim.avatar.motion.clip import Clip, Skeleton
from robostack_sim.avatar.motion.contacts import on_floor
from robostack_sim.avatar.motion.parts import FEET, TRACKED, parts_of
from robostack_sim.avatar.motion.trackers import PERFECT, Tracked, TrackerModel, track
from robostack_sim.avatar.wearer import HANDS, Calibration, PoseValue, Wearer, about_up, ankle_m

LED = ("hips", "head", *HANDS, "left_foot", "right_foot")


class Reference:
    """A clip stood on the floor, ahead from the origin, with the measures of who was recorded.

    `parts` is a file of names for joints that are not known. Raises MotionError where a part of the body is missing.
    """

    def __init__(self, clip: Clip, rate_hz: float = 72.0, parts: Path | None = None) -> None:
        self.parts = parts_of(clip.skeleton, parts)
        feet = [self.parts[f] for f in FEET]
        self.clip = on_floor(clip.at(rate_hz), feet).facing_ahead()
        self.wearer = Wearer.of_skeleton(clip.skeleton, self.parts)
        self.from_t = {p: _from_t(clip.skeleton, self.parts, p) for p in LED}
        rest = {p: clip.skeleton.rest_m()[i] for p, i in self.parts.items()}
        middle = 0.5 * (rest["left_hip"] + rest["right_hip"])
        self._stands_m = {
            f"{side}_foot": (rest[f"{side}_hip"] - middle) * [0.0, 1.0, 0.0] + [0.0, 0.0, ankle_m(rest)]
            for side in ("left", "right")
        }

    def __len__(self) -> int:
        return len(self.clip)

    def __iter__(self) -> Iterator[Mapping[str, PoseValue]]:
        """Each frame's poses; of a foot, its way from where it would stand below its hip."""
        place, turn = self.clip.position_m, self.clip.orientation
        for k in range(len(self)):
            found = {
                part: (place[k, self.parts[part]], quat.multiply(turn[k, self.parts[part]], self.from_t[part]))
                for part in LED
            }
            heading = about_up(float(quat.yaw(found["hips"][1])))
            for foot, stands in self._stands_m.items():
                found[foot] = found[foot][0] - quat.rotate(heading, stands), found[foot][1]
            yield found


def worn(
    clip: Clip, rate_hz: float, model: TrackerModel = PERFECT, seed: int = 0, parts: Path | None = None
) -> tuple[Tracked, Calibration]:
    """What a headset would have seen of the clip, and the calibration of who wore it. Raises MotionError."""
    reference = Reference(clip, rate_hz, parts)
    tracked = track(reference.clip, reference.parts, model, rate_hz=rate_hz, seed=seed)
    mounts = np.array([model.mount_m[p] for p in TRACKED])
    # the devices' own axes are the joints': at rest the world's
    back = {p: quat.inverse(reference.from_t[p]) for p in TRACKED}
    w = reference.wearer
    worn_by = replace(w, head_m=w.head_m + float(mounts[0, 2]))
    return tracked, Calibration(worn_by, np.array([mounts[0, 0], 0.0, 0.0]), quat.IDENTITY, back)


def _from_t(skeleton: Skeleton, parts: Mapping[str, int], part: str) -> np.ndarray:
    """(4,) of one part, from a T, arms out and legs down, to the skeleton at rest: arms may hang, legs be spread."""
    side, _, what = part.partition("_")
    if what not in ("hand", "foot"):
        return quat.IDENTITY
    rest = skeleton.rest_m()
    limb = rest[parts[part]] - rest[parts[f"{side}_{'shoulder' if what == 'hand' else 'hip'}"]]
    limb = limb / np.linalg.norm(limb)
    in_a_t = np.array([0.0, 1.0 if side == "left" else -1.0, 0.0] if what == "hand" else [0.0, 0.0, -1.0])
    axis = np.cross(in_a_t, limb)
    size = float(np.linalg.norm(axis))
    return quat.from_rotation_vector(axis / max(size, 1e-9) * np.arctan2(size, float(in_a_t @ limb)))
