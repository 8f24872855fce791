"""What a skeleton's joints are to a body: hips, head, hands, feet, by the names that the formats have for them."""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path

from robostack_sim.avatar.motion.clip import MotionError, Skeleton

TRACKED = ("head", "left_hand", "right_hand")
"""what a headset and two controllers see"""
FEET = ("left_foot", "left_toes", "right_foot", "right_toes")


@cache
def _known() -> dict[str, list[str]]:
    return tomllib.loads(files(__package__).joinpath("parts.toml").read_text(encoding="utf-8"))


def parts_of(skeleton: Skeleton, more: Path | None = None) -> dict[str, int]:
    """Joint of each part. `more` is a file with lines as in parts.toml that come first.

    Raises MotionError that says which line is missing.
    """
    known = _known()
    if more is not None:
        try:
            own = tomllib.loads(more.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise MotionError(f"{more}: {error}") from error
        if strange := own.keys() - known.keys():
            raise MotionError(f"{more}: {sorted(strange)[0]!r} is no part; there are {', '.join(known)}")
        known = known | own
    joints = {_plain(name): i for i, name in reversed(list(enumerate(skeleton.names)))}
    found = {}
    for part, names in known.items():
        here = next(
            (joints[_plain(n)] for n in ([names] if isinstance(names, str) else names) if _plain(n) in joints), None
        )
        if here is None:
            close = difflib.get_close_matches(part, skeleton.names, n=1, cutoff=0.0)
            raise MotionError(
                f"no joint is known to be {part}; the skeleton has {', '.join(skeleton.names)}. "
                f'Write the line  {part} = ["{close[0]}"]  with the right name into a file and give that as --parts'
            )
        found[part] = here
    return found


def _plain(name: str) -> str:
    return name.rpartition(":")[2].lower().replace(" ", "_")
