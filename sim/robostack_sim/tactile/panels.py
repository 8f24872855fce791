"""What a report shows of placements and insertions: what the pad felt, what its camera saw, and where the pegs went."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from robostack.evaluate import chart
from robostack.evaluate.chart import Level, Line
from robostack.evaluate.flight import Flight
from robostack.evaluate.html import nothing, number, row, section
from robostack.evaluate.material import Material
from robostack.evaluate.panels import TaskPanels
from robostack.evaluate.panels_flights import Tile

if TYPE_CHECKING:
    import torch

KINDS = ("place", "insert")
"""of flights: a run has those of its own task"""
CELL = 15
EVERY = 2
"""periods a frame of the animation"""
SKIN = "anyskin"
MAGNETOMETERS = (("ink", "middle"), ("c1", "+x"), ("c2", "+y"), ("c3", "\u2212x"), ("c4", "\u2212y"))
"""tone and place of each, in the contract's order"""
DEGREES = math.degrees(1.0)


def field(m: Material) -> str:
    """Both pads' fields over a flight, as animations without a script, and what pushes the peg."""
    flights = m.of_kind(*KINDS)
    if not flights:
        return section("What the pads felt", "", nothing("No peg was flown: <code>robostack fly</code>"))
    flight = _most_leaning(flights)
    frames = flight["force_field"].reshape(len(flight), 2, 3, 14, 10)[::EVERY]
    seconds = len(flight) * flight.dt_s
    pads = ("first pad", "second pad")
    shown = [f"<h3>{name}</h3>{_animated(frames[:, i], 2.0 * seconds)}" for i, name in enumerate(pads)]
    up = flight["pad_load"].reshape(len(flight), 2, 3)[:, :, 1].sum(1)
    pushed = chart.lines(
        [Line(flight.time_s, up, "c1")], x_label="seconds", y_label="pushing the peg up, N", size=(360, 230)
    )
    why = (
        f"Force on the taxels during {escape(flight.name)}, {number(seconds)} s at half speed, over and "
        "over: discs are pressing, lines shear. The band is the peg, its slope how it leans."
    )
    return section("What the pads felt", why, row([*shown, f"<h3>both pads together</h3>{pushed}"]))


def images(m: Material) -> str:
    """The camera behind the first pad, at the start and at the end of a flight."""
    flights = m.of_kind(*KINDS)
    if not flights:
        return ""
    from robostack_sim.tactile.sensor.picture import png

    flight = _most_leaning(flights)
    shown = []
    for words, at in (("gripped", 0), ("at the end", -1)):
        image, difference = _images(flight, at)
        for name, pixels in ((f"{words}: image", image), ("less the gel at rest", difference)):
            data = base64.b64encode(png(pixels)).decode()
            style = "width:100%;image-rendering:pixelated"
            shown.append(f'<h3>{name}</h3><img alt="{name}" style="{style}" src="data:image/png;base64,{data}">')
    why = "What a camera behind the first pad's gel sees, drawn from how the peg lay in it, and its difference image."
    return section("What its camera saw", why, row(shown, wide=True))


def skin(m: Material) -> str:
    """What five magnetometers said, where a policy felt by them over a serial line."""
    flights = [f for f in m.of_kind(*KINDS) if SKIN in f.columns]
    if not flights:
        return ""
    flight = _most_leaning(flights)
    said = flight[SKIN].reshape(len(flight), len(MAGNETOMETERS), 3)
    charts = []
    for k, axis in enumerate("xyz"):
        series = [Line(flight.time_s, said[:, i, k], tone, name) for i, (tone, name) in enumerate(MAGNETOMETERS)]
        charts.append(chart.lines(series, x_label="seconds", y_label=f"{axis} of the field, uT", size=(360, 230)))
    why = (
        f"Five magnetometers under the first pad, less their baseline, during {escape(flight.name)}: as they "
        "came over the serial line, which is all that the policy felt."
    )
    return section("What the magnetic skin said", why, chart.legend(MAGNETOMETERS) + row(charts))


Figure = tuple[str, float, str, Level | None]
"""name in a flight, scale to its unit, label with the unit, what it must be below"""


def placed(m: Material) -> str:
    from robostack_sim.tactile.placement.config import PlacementConfig

    limits, below = PlacementConfig(), lambda bar: Level(bar, f"stands below {number(bar)}")
    return _ends(m, "How they came to stand", [
        ("tilt", DEGREES, "tilt of the peg, °", below(DEGREES * limits.upright_rad)),
        ("off_centre", 1e3, "distance from the place, mm", below(1e3 * limits.centred_m)),
        ("gap", 1e3, "height of the lowest point, mm", below(1e3 * limits.standing_m)),
    ])  # fmt: skip


def inserted(m: Material) -> str:
    from robostack_sim.tactile.insertion.config import InsertionConfig

    usual = InsertionConfig()
    bar = 1e3 * (usual.depth_m - usual.inserted_m)
    return _ends(m, "How they went in", [
        ("tilt", DEGREES, "tilt of the peg, °", None),
        ("off_centre", 1e3, "distance of the foot from the hole's axis, mm", None),
        ("foot", 1e3, "height of the foot above the hole's floor, mm", Level(bar, f"in below {number(bar)}")),
    ])  # fmt: skip


def placed_tiles(m: Material) -> list[Tile]:
    from robostack_sim.tactile.placement.scenarios import stands

    if not (flights := m.of_kind(*KINDS)):
        return []
    tilt = float(np.median([DEGREES * f["tilt"][-1, 0] for f in flights]))
    stood = sum(stands(f) for f in flights)
    return [(f"{stood} of {len(flights)}", "", "pegs stand in their place"), (number(tilt), "°", "tilt, median")]


def inserted_tiles(m: Material) -> list[Tile]:
    from robostack_sim.tactile.insertion.scenarios import is_in

    if not (flights := m.of_kind(*KINDS)):
        return []
    return [(f"{sum(is_in(f) for f in flights)} of {len(flights)}", "", "pegs are in their hole")]


TACTILE_PLACEMENT = TaskPanels(placed_tiles, (field, images, skin, placed))
TACTILE_INSERTION = TaskPanels(inserted_tiles, (field, images, skin, inserted))


def _ends(m: Material, title: str, figures: Sequence[Figure]) -> str:
    if not (flights := m.of_kind(*KINDS)):
        return ""
    charts = []
    for name, scale, label, level in figures:
        series = [Line(f.time_s, scale * f[name][:, 0], "c1", f.name, thin=True, end_dot=True) for f in flights]
        levels = [level] if level else []
        charts.append(chart.lines(series, x_label="seconds", y_label=label, levels=levels, size=(360, 230)))
    return section(title, "Every flight, true values.", row(charts))


def _most_leaning(flights: list[Flight]) -> Flight:
    return max(flights, key=lambda f: float(f["tilt"][0, 0]))


def _animated(frames: Any, seconds: float) -> str:
    """(T, 3, rows, columns) N as an SVG whose discs and lines change in turn."""
    _, _, rows, columns = frames.shape
    full = float(frames[:, 2].max()) or 1.0
    strongest = float(np.hypot(frames[:, 0], frames[:, 1]).max()) or 1.0
    radius = 0.5 + (0.5 * CELL - 1.0) * np.sqrt(np.clip(frames[:, 2], 0.0, None) / full)
    ends = 1.5 * CELL / strongest * frames[:, :2] * np.array([1.0, -1.0])[:, None, None]  # an image's y goes down
    every = f'dur="{seconds:.2f}s" repeatCount="indefinite" calcMode="discrete"'
    parts = []
    for r in range(rows):
        for c in range(columns):
            x, y = (c + 0.5) * CELL, (rows - r - 0.5) * CELL
            sizes = ";".join(f"{v:.1f}" for v in radius[:, r, c])
            parts.append(
                f'<circle cx="{x}" cy="{y}" r="{sizes.partition(";")[0]}" class="fill c1" fill-opacity=".55">'
                f'<animate attributeName="r" values="{sizes}" {every}/></circle>'
            )
            if np.abs(ends[:, :, r, c]).max() < 1.0:
                continue
            to = [";".join(f"{o + v:.1f}" for v in ends[:, k, r, c]) for k, o in ((0, x), (1, y))]
            first = [v.partition(";")[0] for v in to]
            parts.append(
                f'<line x1="{x}" y1="{y}" x2="{first[0]}" y2="{first[1]}" class="bad" stroke="currentColor" '
                f'stroke-width="1.5"><animate attributeName="x2" values="{to[0]}" {every}/>'
                f'<animate attributeName="y2" values="{to[1]}" {every}/></line>'
            )
    edge = 0.6 * CELL  # for lines that reach out
    box = f"{-edge} {-edge} {columns * CELL + 2 * edge} {rows * CELL + 2 * edge}"
    return f'<svg viewBox="{box}">{"".join(parts)}</svg>'


def _images(flight: Flight, at: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(height, width, 3) of the first pad, upright, 0 to 255: the image, and half its difference about grey."""
    import torch

    from robostack_sim.tactile.gripper import Peg
    from robostack_sim.tactile.sensor.force_field import ForceField
    from robostack_sim.tactile.sensor.image import Camera, TactileImage
    from robostack_sim.tactile.sensor.pads import Grip, Pad
    from robostack_sim.tactile.sensor.solids import Indenters

    grip, indenters = Grip(1), Indenters([Peg(shape=flight.about.get("peg", "round")).solid], 1)
    gel = ForceField(Pad(), grip, indenters)
    camera = TactileImage(Camera(320, 240, 7.5e-5, markers=(10, 7)), grip, indenters)
    grip.relative.copy_(torch.from_numpy(flight["peg_in_pads"][at].copy()).view(grip.relative.shape))
    gel.step(torch.from_numpy(flight["pad_load"][at].copy()).view(1, 2, 3))
    image = camera.render(gel)[0, 0].clone()
    return image.flip(0), (camera.difference()[0, 0] // 2 + 128).flip(0)
