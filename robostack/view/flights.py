"""A run's flights on a page: one, or all of a kind at once, to scrub through; another laid over it, to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robostack import quaternion
from robostack.evaluate.flight import GUARDED, STATUS, Flight, position_error, survived
from robostack.spec import ContractError
from robostack.view.page import BLUE, GREY, ORANGE, RED, Array, Colour, Machines, Page, Paths, places, shapes_of

NOTHING = "nothing"


class FlightsPage:
    """`advance` at any rate; what is chosen on the page is looked up there, so nothing here runs in another thread.

    Raises ContractError where no flight has a position.
    """

    def __init__(self, flights: Sequence[Flight], machine: Mapping[str, Any], host: str, port: int) -> None:
        flights = drawable(flights)
        flown = np.concatenate([np.zeros((1, 3)), *(in_space(f)[::10] for f in flights if survived(f))])
        reach_m = float(np.clip(np.abs(flown).max(), 0.3, 20.0))
        self._page = page = Page(host, port, reach_m=reach_m, low_m=float(flown[:, 2].min()))
        self.where, self.close, self._shapes = page.where, page.close, shapes_of(machine)
        self._choices: dict[str, list[Flight]] = {f.name: [f] for f in flights}
        for kind in dict.fromkeys(str(f.about.get("kind")) for f in flights):
            alike = [f for f in flights if str(f.about.get("kind")) == kind and not f.name.startswith(GUARDED)]
            if len(alike) > 2:
                self._choices = {f"{kind}, all {len(alike)}": alike, **self._choices}
        recorded = [f.name for f in flights if f.name.startswith(GUARDED)]
        first = recorded[0] if recorded else next(iter(self._choices))
        gui = page.server.gui
        self.flight = gui.add_dropdown("flight", [*self._choices], initial_value=first)
        self.beside = gui.add_dropdown("laid over it", [NOTHING, *(f.name for f in flights)], initial_value=NOTHING)
        self.time_s = gui.add_slider("time, s", 0.0, 1.0, 0.01, 0.0)
        self.plays = gui.add_checkbox("play", True)
        self.speed = gui.add_slider("speed", 0.1, 3.0, 0.1, 1.0)
        self.larger = gui.add_slider("drawn larger", 1.0, 5.0, 0.5, 2.0)
        self.said = gui.add_markdown("")
        self._shown: tuple[str, str] = ("", "")
        self._drawn: list[Machines | Paths] = []
        self._groups: list[tuple[Machines, list[Flight]]] = []

    def advance(self, seconds: float) -> None:
        """So much later on the wall."""
        asked = (self.flight.value, self.beside.value)
        if asked[0] != self._shown[0]:
            self.beside.value = counterpart(self._choices[asked[0]], [*self._choices.values()])
            self.time_s.value = 0.0
            asked = (asked[0], self.beside.value)
        if asked != self._shown:
            self._lay_out(*asked)
        elif self.plays.value:
            later = self.time_s.value + seconds * self.speed.value
            self.time_s.value = later if later <= self.time_s.max else 0.0
        self._draw()

    def _lay_out(self, name: str, beside: str) -> None:
        self._shown = (name, beside)
        for part in self._drawn:
            part.remove()
        self._drawn, self._groups = [], []
        flights = self._choices[name]
        lost = [f for f in flights if not survived(f)]
        kept = [f for f in flights if f not in lost]
        recorded = flights[0].name.startswith(GUARDED)
        self._add("kept", kept, ORANGE if recorded else BLUE)
        self._add("lost", lost, RED)
        if len(flights) == 1 and "reference" in flights[0].columns:
            self._add_path("reference", [places(flights[0]["reference"]) - start(flights[0])], GREY)
        if beside != NOTHING:
            self._add("beside", self._choices[beside], BLUE if recorded else ORANGE)
        self.time_s.max = max(f.dt_s * (len(f) - 1) for f in flights)

    def _add(self, name: str, flights: list[Flight], colour: Colour) -> None:
        if not flights:
            return
        machines = Machines(self._page, name, len(flights), colour, self._shapes)
        self._groups.append((machines, flights))
        self._drawn.append(machines)
        if len(flights) <= 4:
            self._add_path(f"{name}_path", [in_space(f) for f in flights], colour)

    def _add_path(self, name: str, lines: list[Array], colour: Colour) -> None:
        paths = Paths(self._page, name, colour)
        longest = max(map(len, lines))
        paths.show(np.stack([np.pad(p, ((0, longest - len(p)), (0, 0)), mode="edge") for p in lines], 1))
        self._drawn.append(paths)

    def _draw(self) -> None:
        time_s = self.time_s.value
        with self._page.server.atomic():
            for machines, flights in self._groups:
                rows = [row_at(f, time_s) for f in flights]
                position = np.stack([in_space(f)[k] for f, k in zip(flights, rows, strict=True)])
                attitude = np.stack([attitudes(f)[k] for f, k in zip(flights, rows, strict=True)])
                machines.show(position, attitude, self.larger.value)
        text = self._words(time_s)
        if text != self.said.content:
            self.said.content = text

    def _words(self, time_s: float) -> str:
        flights = self._choices[self._shown[0]]
        if len(flights) > 1:
            lost = sum(not survived(f) for f in flights)
            error = [float(position_error(f)[row_at(f, time_s)]) for f in flights]
            lines = [f"**{time_s:.2f} s**", f"{len(flights)} flights, {lost} lost (red)"]
            return "\n\n".join([*lines, f"median {np.median(error):.3f} m off the reference"])
        flight, k = flights[0], row_at(flights[0], time_s)
        lines = [
            f"**{time_s:.2f} s**, {STATUS[flight.status[k]]}",
            f"{position_error(flight)[k]:.3f} m off the reference",
            f"on {flight.about.get('board', 'a simulation')}",
        ]
        if self._shown[1] != NOTHING:
            other = self._choices[self._shown[1]][0]
            apart = in_space(flight)[k] - in_space(other)[row_at(other, time_s)]
            lines.append(f"{np.linalg.norm(apart):.3f} m from **{other.name}**")
        return "\n\n".join(lines)


def drawable(flights: Sequence[Flight]) -> list[Flight]:
    """Those with a position. Raises ContractError where there is none."""
    found = [f for f in flights if "position" in f.columns and f["position"].shape[1] <= 3 and len(f)]
    if not found:
        has = ", ".join(flights[0].columns) if flights else "none"
        raise ContractError(f"nothing to draw: a view wants flights with a position (x, y, z); these have {has}")
    return found


def counterpart(chosen: Sequence[Flight], choices: Sequence[Sequence[Flight]]) -> str:
    """The simulated flight like a recorded one, or the other way round; by name, NOTHING where there is none."""
    flight = chosen[0]
    recorded = flight.name.startswith(GUARDED)
    for other in (c[0] for c in choices if len(c) == 1 and len(chosen) == 1):
        alike = all(other.about.get(k) == flight.about.get(k) for k in ("kind", "period_s"))
        if alike and other.name.startswith(GUARDED) != recorded:
            return other.name
    return NOTHING


def row_at(flight: Flight, time_s: float) -> int:
    """The period that `time_s` lies in, the last one from its end on."""
    return min(len(flight) - 1, int(time_s / flight.dt_s + 1e-6))


def in_space(flight: Flight) -> Array:
    """(T, 3) m from where its reference begins, so that flights in different places compare."""
    return places(flight["position"]) - start(flight)


def start(flight: Flight) -> Array:
    """(3,) m"""
    return places(flight["reference"][0]) if "reference" in flight.columns else np.zeros(3, np.float32)


def attitudes(flight: Flight) -> Array:
    """(T, 4) quat_wxyz, level where it was not logged."""
    return flight["attitude"] if "attitude" in flight.columns else np.tile(quaternion.IDENTITY, (len(flight), 1))
