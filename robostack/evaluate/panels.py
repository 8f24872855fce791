"""The panels of a report in their order: each a function from Material to one HTML section, most important first."""

from __future__ import annotations

from collections.abc import Callable

from robostack.evaluate.material import Material
from robostack.evaluate.panels_figures import summary, training
from robostack.evaluate.panels_flights import errors, figure_eights, recoveries, rotors, timing
from robostack.evaluate.panels_proof import contract, machine, ports

PANELS: tuple[Callable[[Material], str], ...] = (
    summary,
    training,
    recoveries,
    figure_eights,
    errors,
    rotors,
    timing,
    ports,
    contract,
    machine,
)
