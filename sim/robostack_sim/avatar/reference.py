"""A recorded clip as poses of a wearer: what leads a character through it, and what a policy is judged against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from robostack import quaternion as quat
from robostack_sim.avatar.motion.clip import Clip, Skeleton
from robostack_sim.avatar.motion.contacts import on_floor
from robostack_sim.avatar.motion.parts import FEET, TRACKED, parts_of
from robostack_sim.avatar.motion.trackers import PERFECT, Tracked, TrackerModel, track
from robostack_sim.avatar.wearer import HANDS, Calibration, PoseValue, Wearer

LED = ("head", *HANDS, "left_foot", "right_foot")


class Reference:
    """A clip stood on the floor, ahead from the origin, with the measures of who was recorded.

    Raises MotionError where a part of the body is missing.
    """

    def __init__(self, clip: Clip, rate_hz: float = 72.0) -> None:
        self.parts = parts_of(clip.skeleton)
        feet = [self.parts[f] for f in FEET]
        self.clip = on_floor(clip.at(rate_hz), feet).facing_ahead()
        self.wearer = Wearer.of_skeleton(clip.skeleton, self.parts)
        self.from_t = {p: _from_t(clip.skeleton, self.parts, p) for p in LED}
        rest = clip.skeleton.rest_m()
        floor = min(rest[f][2] for f in feet)
        self._feet_m = {p: rest[self.parts[p]] * [1.0, 1.0, 0.0] + [0.0, 0.0, rest[self.parts[p]][2] - floor] for p in LED[3:]}

    def __len__(self) -> int:
        return len(self.clip)

    def __iter__(self) -> Iterator[Mapping[str, PoseValue]]:
        """Each frame's poses; of the feet, ways from where they are at rest."""
        place, turn = self.clip.position_m, self.clip.orientation
        for k in range(len(self)):
            found = {}
            for part in LED:
                at = self.parts[part]
                there = place[k, at] - self._feet_m.get(part, np.zeros(3))
                found[part] = there, quat.multiply(turn[k, at], self.from_t[part])
            yield found


def worn(clip: Clip, rate_hz: float, model: TrackerModel = PERFECT, seed: int = 0) -> tuple[Tracked, Calibration]:
    """What a headset would have seen of the clip, and the calibration of who wore it. Raises MotionError."""
    reference = Reference(clip, rate_hz)
    tracked = track(reference.clip, reference.parts, model, rate_hz=rate_hz, seed=seed)
    mounts = np.array([model.mount_m[p] for p in TRACKED])
    # the devices' own axes are the joints': at rest the world's
    back = {p: quat.inverse(reference.from_t[p]) for p in TRACKED}
    w = reference.wearer
    worn_by = replace(w, head_m=w.head_m + float(mounts[0, 2]))
    return tracked, Calibration(worn_by, np.array([mounts[0, 0], 0.0, 0.0]), quat.IDENTITY, back)


def _from_t(skeleton: Skeleton, parts: Mapping[str, int], part: str) -> np.ndarray:
    """(4,) from the T to the skeleton's rest, of one part: nothing but for hands whose arms hang at rest."""
    if part not in HANDS:
        return quat.IDENTITY
    side = part.removesuffix("_hand")
    rest = skeleton.rest_m()
    arm = rest[parts[part]] - rest[parts[f"{side}_shoulder"]]
    arm = arm / np.linalg.norm(arm)
    out = np.array([0.0, 1.0 if side == "left" else -1.0, 0.0])
    axis = np.cross(out, arm)
    size = float(np.linalg.norm(axis))
    if size < 1e-6:
        return quat.IDENTITY
    return quat.from_rotation_vector(axis / size * np.arctan2(size, float(out @ arm)))
