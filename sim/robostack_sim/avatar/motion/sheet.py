"""Clips to look at: what each is in a line, and stick figures of it on a page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from robostack.evaluate import html
from robostack_sim.avatar.motion.clip import Clip, MotionError
from robostack_sim.avatar.motion.contacts import contacts, on_floor, skate_m_s
from robostack_sim.avatar.motion.parts import FEET, parts_of

POSES = 10
SCALE, HEIGHT_M, WIDTH_M = 60.0, 2.1, 1.3
"""pixels a metre, and the room for one figure"""


def described(clip: Clip, parts: Path | None = None) -> dict[str, Any]:
    """Name, length, and how planted its feet are; `misses` says why it drives no character, empty where it does.
    `parts` is a file of names for joints that are not known."""
    found: dict[str, Any] = {
        "clip": clip.name, "duration_s": clip.duration_s, "rate_hz": clip.rate_hz, "joints": len(clip.skeleton.names),
        "stands": None, "skate_m_s": None, "misses": "",
    }  # fmt: skip
    try:
        feet = [parts_of(clip.skeleton, parts)[f] for f in FEET]
    except MotionError as error:
        return {**found, "misses": str(error)}
    return {**found, "stands": float(contacts(clip, feet).mean()), "skate_m_s": skate_m_s(clip, feet)}


def sheet(clips: Sequence[Clip], parts: Path | None = None) -> str:
    """A page: of each clip some poses from the side, as time goes on."""
    sections = [
        html.section(escape(c.name), f"{c.duration_s:.1f} s at {c.rate_hz:g} Hz", _figures(c, parts)) for c in clips
    ]
    return html.page("Clips", f"{len(clips)} motions", "seen from the left, time to the right", sections)


def _figures(clip: Clip, parts: Path | None) -> str:
    try:
        joints = parts_of(clip.skeleton, parts)
        clip = on_floor(clip, [joints[f] for f in FEET]).facing_ahead()
    except MotionError:
        pass
    rows = np.linspace(0, len(clip) - 1, POSES).round().astype(int)
    lines = []
    for n, k in enumerate(rows):
        place = clip.position_m[k] - clip.root_m[k] * [1.0, 1.0, 0.0]
        x = SCALE * ((n + 0.5) * WIDTH_M + place[:, 0])
        y = SCALE * (HEIGHT_M - 0.1 - place[:, 2])
        lines += [
            f'<line x1="{x[p]:.1f}" y1="{y[p]:.1f}" x2="{x[i]:.1f}" y2="{y[i]:.1f}"/>'
            for i, p in enumerate(clip.skeleton.parents)
            if p >= 0
        ]
    width, height = POSES * WIDTH_M * SCALE, HEIGHT_M * SCALE
    floor = SCALE * (HEIGHT_M - 0.1)
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="stick figures of {escape(clip.name)}">'
        f'<line x1="0" y1="{floor}" x2="{width:.0f}" y2="{floor}" stroke="currentColor" opacity="0.25"/>'
        f'<g stroke="currentColor" stroke-width="2.2" stroke-linecap="round">{"".join(lines)}</g></svg>'
    )
