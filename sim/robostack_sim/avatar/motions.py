"""What a character is trained on and judged by: motions on planted feet, retargeted to its body, kept on disk.

A recording is cut where a foot leaves its place, and led as a headset leads it: head and hands alone, from inverse
kinematics that plants the feet where they stood. Where there are no recordings, and beside them, a wearer is made up:
minimum-jerk ways (Flash and Hogan 1985) of head and hands between random places within reach, bows among them, from
random stances.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from robostack import quaternion as quat
from robostack.run_folder import write_atomic
from robostack_sim.avatar import retarget
from robostack_sim.avatar.body import CONTROL_DT_S, Body
from robostack_sim.avatar.motion.clip import Clip, MotionError
from robostack_sim.avatar.motion.parts import TRACKED, parts_of
from robostack_sim.avatar.reference import Reference
from robostack_sim.avatar.retarget import Retargeter
from robostack_sim.avatar.wearer import HANDS, PoseValue, Wearer, about_up

VERSION = 3
"""of what is kept on disk; another one when the way here changes"""
PLANTED_M = 0.2
"""an ankle that stays in a box of this size is planted"""
SHORTEST_S = 5.0
SOLUTIONS, SETTLE = 2, 80
"""of a frame, as many as a headset's 72 Hz would have, and of the first one, which is far from rest"""
SYNTHETIC = Wearer(head_m=1.5, shoulder_m=1.33, arm_m=0.52, width_m=0.34)
WAIST_M = 0.9
"""of it, about which it bows: three times in ten, by BOWS_RAD"""
BOWS_RAD = (0.3, 1.9)
BACK_M = 0.42
"""that hips go back in a bow of a right angle, so that the weight stays over the feet"""
Poses = Mapping[str, PoseValue]


@dataclass(frozen=True)
class Motion:
    """T frames, one a control period."""

    name: str
    qpos: np.ndarray
    """(T, nq) of the body, by inverse kinematics"""
    tracked_m: np.ndarray
    """(T, 3, 3) where head and hands are led"""
    recorded: bool


@dataclass(frozen=True)
class Led:
    """What leads a character through a motion, before it is retargeted."""

    name: str
    wearer: Wearer
    poses: tuple[Poses, ...]
    recorded: bool

    def digest(self) -> bytes:
        found = hashlib.sha256(repr(self.wearer).encode())
        for poses in self.poses:
            for part in sorted(poses):
                found.update(np.concatenate(poses[part]).astype(np.float32).tobytes())
        return found.digest()


def planted(clip: Clip) -> list[Clip]:
    """The stretches of at least SHORTEST_S in which no ankle leaves its place. Raises MotionError for a skeleton
    without feet."""
    parts = parts_of(clip.skeleton)
    ankles = clip.position_m[:, [parts["left_foot"], parts["right_foot"]]]
    found, begin, low, high = [], 0, ankles[0], ankles[0]
    for k in range(len(clip) + 1):
        if k < len(clip):
            low, high = np.minimum(low, ankles[k]), np.maximum(high, ankles[k])
            if (high - low).max() <= PLANTED_M:
                continue
        if k - begin > SHORTEST_S * clip.rate_hz:
            found.append(clip.cut(begin / clip.rate_hz, (k - 1) / clip.rate_hz))
        if k < len(clip):
            begin, low, high = k, ankles[k], ankles[k]
    return found


def of_clip(clip: Clip) -> Led:
    """Head and hands as they went, seen from below the head as a calibration does; feet flat on the floor, at the
    median of where they were."""
    reference = Reference(clip, 1.0 / CONTROL_DT_S)
    frames = list(reference)
    rest, parts = clip.skeleton.rest_m()[:, 0], reference.parts
    before = {p: np.array([rest[parts[p]] - rest[0], 0.0, 0.0]) for p in ("head", "left_foot", "right_foot")}
    stance: dict[str, PoseValue] = {}
    for foot in ("left_foot", "right_foot"):
        place = (np.median([f[foot][0] for f in frames], axis=0) - before[foot]) * [1.0, 1.0, 0.0]
        yaw = float(np.median(np.unwrap([float(quat.yaw(f[foot][1])) for f in frames])))
        stance[foot] = place, about_up(yaw)
    poses = tuple({**{p: (f[p][0] - before["head"], f[p][1]) for p in TRACKED}, **stance} for f in frames)
    return Led(clip.name, reference.wearer, poses, recorded=True)


def synthetic(seed: int, seconds: float = 10.0) -> Led:
    """One made-up motion. The wearer's arms are up to 15 % longer or shorter than was measured."""
    random, w = np.random.default_rng([VERSION, seed]), SYNTHETIC
    frames, liveliness = round(seconds / CONTROL_DT_S), random.uniform(0.3, 1.0)
    stance: dict[str, PoseValue] = {}
    for foot, side in (("left_foot", 1.0), ("right_foot", -1.0)):
        place = np.array([random.uniform(-0.15, 0.15), side * random.uniform(-0.02, 0.16), 0.0])
        stance[foot] = place, about_up(side * random.uniform(-0.1, 0.5))

    wide = max(float(np.linalg.norm(place)) for place, _ in stance.values())

    def head_place() -> np.ndarray:
        """Away from where it stands, no higher than over the feet on stretched legs."""
        x, y, down = liveliness * np.array(
            [random.uniform(-0.12, 0.3), random.uniform(-0.2, 0.2), -abs(random.normal()) * 0.15 - 0.02]
        )
        return np.array([x, y, down + np.sqrt(w.head_m**2 - x**2 - y**2 - wide**2) - w.head_m])

    def bow() -> np.ndarray:
        return np.array([0.0, random.uniform(*BOWS_RAD) * (random.random() < 0.3), 0.0])

    bows = _ways(random, frames, bow, 0.6)
    trunk = quat.from_rotation_vector(bows)
    back = -BACK_M * np.sin(bows[:, 1:2]) * [1.0, 0.0, 0.0]

    def bent(height_m: float) -> np.ndarray:
        """(frames, 3) that what is so high moves when the trunk bows."""
        up = np.array([0.0, 0.0, height_m - WAIST_M])
        return np.asarray(back + quat.rotate(trunk, np.tile(up, (frames, 1))) - up)

    head = _ways(random, frames, head_place, 0.35)
    nod = _ways(random, frames, lambda: liveliness * 0.25 * random.normal(size=3), 0.35) + 0.8 * bows
    head_m = head + bent(w.head_m) + [0.0, 0.0, w.head_m]
    longer = random.uniform(0.85, 1.15)
    arms = {}
    for hand, side in zip(HANDS, (1.0, -1.0), strict=True):

        def hand_place() -> np.ndarray:
            way = random.normal(size=3)
            way[0] = 0.9 * abs(way[0]) - 0.1
            return longer * w.arm_m * random.uniform(0.25, 1.0) * way / np.linalg.norm(way)

        shoulder = np.array([0.0, side * 0.5 * w.width_m, w.shoulder_m])
        turn = quat.from_rotation_vector(_ways(random, frames, lambda: 0.5 * random.normal(size=3), 0.3))
        reach = quat.rotate(trunk, _ways(random, frames, hand_place, 0.18))
        arms[hand] = reach + bent(w.shoulder_m) + shoulder + 0.8 * head, turn
    nods = quat.from_rotation_vector(nod)
    poses = tuple(
        {"head": (head_m[k], nods[k]), **{h: (place[k], turn[k]) for h, (place, turn) in arms.items()}, **stance}
        for k in range(frames)
    )
    return Led(f"synthetic_{seed}", w, poses, recorded=False)


def _ways(random: np.random.Generator, frames: int, place: object, fastest_s: float) -> np.ndarray:
    """(frames, 3) from place to place, each way of minimum jerk, sometimes with a rest at its end."""
    assert callable(place)
    here, parts, length = place(), [], 0
    while length < frames:
        there, n = place(), max(2, round(random.uniform(fastest_s, 1.6) / CONTROL_DT_S))
        s = np.arange(n)[:, None] / n
        parts.append(here + (there - here) * s**3 * (10.0 - 15.0 * s + 6.0 * s**2))
        if random.random() < 0.3:
            parts.append(np.repeat(there[None], round(random.uniform(0.2, 1.0) / CONTROL_DT_S), 0))
        here, length = there, sum(map(len, parts))
    return np.concatenate(parts)[:frames]


def retargeted(body: Body, led: Led) -> Motion:
    retargeter = Retargeter(body.character, led.wearer, body.ahead_m)
    qpos, tracked = [], []
    for k, poses in enumerate(led.poses):
        targets = retargeter.targets(poses)
        for _ in range(SETTLE if k == 0 else SOLUTIONS):
            pose = retargeter.solve(targets, CONTROL_DT_S / SOLUTIONS)
        qpos.append(pose)
        tracked.append([targets[p].position_m + body.up_m for p in TRACKED])
    return Motion(led.name, body.pose(np.array(qpos)), np.array(tracked), led.recorded)


def motions(body: Body, clips: Sequence[Clip], made_up: int, mirror: bool, kept: Path | None = None) -> list[Motion]:
    """The planted stretches of the clips, of their mirror images too, and so many made-up motions, retargeted.

    What was retargeted once is read from `kept` (by default ~/.cache/robostack/motions) as long as character, motion
    and inverse kinematics are the same. Raises MotionError when nothing is left to learn from.
    """
    leds = [of_clip(part) for clip in clips for whole in _both(clip, mirror) for part in planted(whole)]
    leds += [synthetic(k) for k in range(made_up)]
    if not leds:
        raise MotionError(
            f"{', '.join(c.name for c in clips) or 'no clip'}: no {SHORTEST_S:g} s in which both feet stay where they "
            "are; give other clips, or let some be made up (synthetic)"
        )
    folder = kept or _cache_folder()
    ours = hashlib.sha256(f"{VERSION}{body.character.spec.to_xml()}{_settings(body)}".encode()).digest()
    return list(_shown([(led, folder / f"{_name(ours, led)}.npz") for led in leds], body))


def _both(clip: Clip, mirror: bool) -> tuple[Clip, ...]:
    return (clip, clip.mirrored()) if mirror else (clip,)


def _settings(body: Body) -> str:
    """What of the retargeting a motion depends on."""
    r, c = retarget, body.character
    costs = r.COSTS, r.BALANCE_COST, r.POSTURE_COST, r.IDLE_COST, r.STANDING_COSTS, r.STANDING_DAMPING
    how = r.ITERATIONS, SOLUTIONS, SETTLE, r.REACH, r.FASTEST_RAD_S, r.CROUCH
    what = c.head_scale, c.hand_scale, c.rest.tolist(), body.ahead_m, body.lift_m, body.joints
    return repr((costs, how, what))


def _name(ours: bytes, led: Led) -> str:
    return hashlib.sha256(ours + led.digest()).hexdigest()[:32]


def _shown(asked: list[tuple[Led, Path]], body: Body) -> Iterator[Motion]:
    from rich.console import Console
    from rich.progress import track

    missing = any(not path.exists() for _, path in asked)
    what = f"retarget to {body.character.name}"
    for led, path in track(asked, what, console=Console(stderr=True), disable=not missing):
        yield _read(path, led, body) or _made(path, led, body)


def _read(path: Path, led: Led, body: Body) -> Motion | None:
    """None where it is not there, or damaged: it is made again."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = Motion(led.name, file["qpos"].astype(float), file["tracked_m"].astype(float), led.recorded)
    except (OSError, KeyError, ValueError, BadZipFile):
        return None
    return found if found.qpos.shape == (len(led.poses), body.model.nq) else None


def _made(path: Path, led: Led, body: Body) -> Motion:
    import io

    found = retargeted(body, led)
    buffer = io.BytesIO()
    np.savez(buffer, qpos=found.qpos, tracked_m=found.tracked_m)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())
    return found


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "robostack" / "motions"
