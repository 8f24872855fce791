"""The panels of a report in their order: each a function from Material to one HTML section, most important first.

Between how training went and what can be held against the run come the task's own: entry point `robostack.panels`, by
the task's name; a task without one gets the panels of flights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from robostack import registry
from robostack.evaluate.material import Material
from robostack.evaluate.panels_figures import summary, training
from robostack.evaluate.panels_flights import Tile, errors, figure_eights, flight_tiles, recoveries, rotors, timing
from robostack.evaluate.panels_proof import contract, machine, ports

Panel = Callable[[Material], str]


@dataclass(frozen=True)
class TaskPanels:
    """What a report shows of one task only."""

    tiles: Callable[[Material], Sequence[Tile]]
    """figures at a glance"""
    panels: tuple[Panel, ...]


FLIGHTS = TaskPanels(flight_tiles, (recoveries, figure_eights, errors, rotors, timing))


def task_panels(task: str) -> TaskPanels:
    own: TaskPanels = registry.load("panel", task) if task in registry.entries("panel") else FLIGHTS
    return own


def panels(own: TaskPanels) -> tuple[Panel, ...]:
    return (summary, training, *own.panels, ports, contract, machine)
