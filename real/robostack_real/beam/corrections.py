"""What the flights of a trial say: one a correction, a row a move, the first before any; trial.py makes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from robostack.evaluate.flight import Flight

CONTROLLERS = {"policy": "policy", "gain_filter": "gain filter", "svd": "SVD, nominal matrix"}
"""as `robostack run --controller` takes them, and in words"""
KIND = "correction"
UNDER_M = 1e-3
"""RMS of the true orbit, at the BPMs that live, about its target"""
PER_MM = 1e3


def moves_to(flight: Flight) -> int | None:
    """After how many moves the orbit was first below UNDER_M; None: never, or the run ended in a hold."""
    below = np.flatnonzero(flight["rms"][: flight.about["moves"] + 1, 0] < UNDER_M)
    return int(below[0]) if len(below) and "cut_short" not in flight.about else None


def machines(flights: Iterable[Flight]) -> list[dict[str, Any]]:
    """One a machine: what is wrong with it, its RMS before (m), and by controller the RMS after and `moves_to`."""
    found: dict[int, dict[str, Any]] = {}
    for f in sorted(flights, key=lambda f: (f.about["machine"], [*CONTROLLERS].index(f.about["controller"]))):
        own = {k: f.about[k] for k in ("machine", "flipped", "dead")}
        entry = found.setdefault(own["machine"], {**own, "before_m": float(f["rms"][0, 0]), "controllers": {}})
        entry["controllers"][f.about["controller"]] = {
            "after_m": float(f["rms"][-1, 0]),
            "after_all_m": float(f["rms_all"][-1, 0]),
            "moves": moves_to(f),
            "held": f.about.get("cut_short", ""),
        }
    return list(found.values())


def rows(flights: Sequence[Flight]) -> list[dict[str, Any]]:
    """Figures of each controller, as rows of a table."""
    found = []
    for controller, name in CONTROLLERS.items():
        own = [f for f in flights if f.about["controller"] == controller]
        if not own:
            continue
        moves = [np.inf if (m := moves_to(f)) is None else m for f in own]
        median = float(np.median(moves))
        said = f"median {median:g} moves" if np.isfinite(median) else "most never"
        before, after, everywhere = (
            PER_MM * float(np.median([f[column][i, 0] for f in own]))
            for column, i in (("rms", 0), ("rms", -1), ("rms_all", -1))
        )
        share = 100.0 * float(np.isfinite(moves).mean())
        what = f"live, {name}: under 1 mm in {own[0].about['moves']} moves"
        found.append(_row(what, share, "%", "higher", f"of {len(own)}, {said}"))
        told = f"from {before:.2f} mm; all BPMs {everywhere:.2f} mm"
        found.append(_row(f"live, {name}: RMS then, median", after, "mm", "lower", told))
    return found


def _row(what: str, value: float, unit: str, better: str, reference: str) -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "bar": None, "better": better, "reference": reference}
