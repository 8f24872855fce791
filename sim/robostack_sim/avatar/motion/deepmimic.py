"""DeepMimic's motion files of its humanoid (PyPI `pybullet` ships some): JSON, 44 numbers a frame.

dt, root position and turn, then each joint's: a quaternion, or the angle of a knee or elbow about z. y up, x ahead, z
right. The skeleton's measures are those of DeepMimic's humanoid3d character file.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from robostack import quaternion as quat
from robostack.axes import from_x_ahead
from robostack_sim.avatar.motion.clip import Clip, MotionError, Skeleton

_SIDE = ("right", "left")
JOINTS: tuple[tuple[str, int], ...] = (
    ("root", 4), ("chest", 4), ("neck", 4),
    *((f"{side}_{name}", size) for side in _SIDE
      for name, size in (("hip", 4), ("knee", 1), ("ankle", 4), ("shoulder", 4), ("elbow", 1))),
)  # fmt: skip
"""in the file's order, with how many numbers each has"""
NUMBERS = 1 + 3 + sum(size for _, size in JOINTS)
BODY: dict[str, tuple[str, tuple[float, float, float]]] = {
    "chest": ("root", (0.0, 0.236151, 0.0)),
    "neck": ("chest", (0.0, 0.223894, 0.0)),
    "head_end": ("neck", (0.0, 0.28, 0.0)),
    "right_hip": ("root", (0.0, 0.0, 0.084887)),
    "right_knee": ("right_hip", (0.0, -0.421546, 0.0)),
    "right_ankle": ("right_knee", (0.0, -0.409870, 0.0)),
    "right_toes_end": ("right_ankle", (0.17, -0.045, 0.0)),
    "right_shoulder": ("chest", (-0.02405, 0.18311 + 0.06039, 0.18311)),
    "right_elbow": ("right_shoulder", (0.0, -0.274788, 0.0)),
    "right_wrist": ("right_elbow", (0.0, -0.258947, 0.0)),
}
"""parent, and offset from it in the file's axes, m; the left side is the right one's mirror image"""


def _skeleton() -> Skeleton:
    names, parents, offsets = ["root"], [-1], [(0.0, 0.0, 0.0)]
    for side in _SIDE:
        for name, (parent, (x, y, z)) in BODY.items():
            mine = name.replace("right", side)
            if mine in names:
                continue
            names.append(mine)
            parents.append(names.index(parent.replace("right", side)))
            offsets.append((x, y, z if side == "right" else -z))
    return Skeleton(tuple(names), tuple(parents), from_x_ahead(np.array(offsets)))


def read_deepmimic(path: Path) -> Clip:
    """Raises MotionError."""
    try:
        frames = np.array(json.loads(path.read_text(encoding="utf-8"))["Frames"], dtype=float)
    except OSError as error:
        raise MotionError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise MotionError(f"{path} is no motion of DeepMimic: {error}") from error
    if frames.ndim != 2 or frames.shape[1] != NUMBERS:
        raise MotionError(f"{path}: frames of {frames.shape[1:]} numbers; its humanoid has {NUMBERS}")
    period_s = float(np.median(frames[:-1, 0]))  # the last frame's is a pause in some files
    if not period_s > 0.0:
        raise MotionError(f"{path}: a frame lasts {period_s:g} s")
    skeleton = _skeleton()
    rotation = np.tile(quat.IDENTITY, (len(frames), len(skeleton.names), 1))
    at = 4
    for name, size in JOINTS:
        values = frames[:, at : at + size]
        at += size
        turn = quat.normalise(values) if size == 4 else quat.from_euler("Z", values)
        rotation[:, skeleton.index(name)] = from_x_ahead(turn)
    return Clip(path.stem, skeleton, 1.0 / period_s, from_x_ahead(frames[:, 1:4]), rotation)
