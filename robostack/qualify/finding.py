"""What a probe found: curves over what it swept, rows with a bar or without, and cases that can be flown again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from robostack.evaluate.html import number
from robostack.qualify.bench import Bench, Flown
from robostack.qualify.condition import Case, Condition, Outcome
from robostack.spec import ContractError
from robostack.task import Bar


@dataclass(frozen=True)
class Curve:
    """Outcomes along one thing that was swept."""

    figure: str
    """what a Bar calls it"""
    label: str
    unit: str
    levels: tuple[float, ...]
    outcomes: tuple[Outcome, ...]

    def worst(self, within: tuple[float, float] | None = None) -> tuple[float, Outcome]:
        """Level and outcome."""
        low, high = within or (min(self.levels), max(self.levels))
        found = [(o, x) for x, o in zip(self.levels, self.outcomes, strict=True) if low - 1e-9 <= x <= high + 1e-9]
        if not found:
            raise ContractError(f"a bar for {self.figure} within {within}, and it is swept over {self.levels}")
        outcome, level = min(found)
        return level, outcome

    def rows(self, bars: Sequence[Bar]) -> list[dict[str, Any]]:
        """Where a bar asks, and over all that was swept where that is more."""
        asked = [b for b in bars if b.figure == self.figure]
        rows = [self._row(b.within, b) for b in asked]
        whole = (min(self.levels), max(self.levels))
        if not any(b.within in (None, whole) for b in asked):
            rows.append(self._row(None, None))
        return rows

    def _row(self, within: tuple[float, float] | None, bar: Bar | None) -> dict[str, Any]:
        low, high = within or (min(self.levels), max(self.levels))
        level, outcome = self.worst(within)
        what = f"{self.label}, {number(low)} to {number(high)} {self.unit}".rstrip()
        return row(what, outcome.success, bar, f"worst at {number(level)} {self.unit}".rstrip())


@dataclass(frozen=True)
class Finding:
    """Of one probe."""

    title: str
    why: str
    rows: Sequence[dict[str, Any]] = ()
    curves: Sequence[Curve] = ()
    worst: tuple[Case, Flown] | None = None
    """what can be flown again, and how it went"""
    ports: Sequence[Any] = ()
    """robostack.export.verify.PortResult"""


Probe = Callable[[Bench], Finding]


def row(what: str, share: float | None, bar: Bar | None, reference: str = "") -> dict[str, Any]:
    """A share of 1 as a row of a table, in percent."""
    return {
        "what": what,
        "value": None if share is None else round(100.0 * share, 2),
        "unit": "%" if share is not None else "",
        "bar": None if bar is None else round(100.0 * bar.least, 2),
        "better": "higher",
        "reference": reference,
    }


def bar_of(bars: Iterable[Bar], figure: str) -> Bar | None:
    """The first of its name."""
    return next((b for b in bars if b.figure == figure), None)


def levels(bench: Bench, figure: str, swept: Iterable[float]) -> tuple[float, ...]:
    """Rising, with the ends of the bars that ask for this figure among them where they lie inside."""
    found = sorted({float(x) for x in swept})
    ends = [float(e) for b in bench.bars if b.figure == figure and b.within for e in b.within]
    return tuple(sorted({*found, *(e for e in ends if found[0] < e < found[-1])}))


def sweep(
    bench: Bench, figure: str, label: str, unit: str, swept: Sequence[float], under: Callable[[float], Condition],
    seed: int,
) -> Curve:  # fmt: skip
    """One condition a level, all flown together."""
    return Curve(figure, label, unit, tuple(swept), tuple(bench.fly([under(x) for x in swept], seed)))


def flown_case(bench: Bench, name: str, finalists: Sequence[Condition], seed: int) -> tuple[Case, Flown]:
    """The worst of them on fresh episodes, and then others under that."""
    outcomes = bench.fly(finalists, seed + 1)
    condition = finalists[min(range(len(finalists)), key=outcomes.__getitem__)]
    flown = bench.flown([condition] * bench.episodes, bench.seeded(seed))
    return Case(
        name, bench.policy.policy_hash, condition, bench.episodes, bench.seeded(seed), flown.outcome(slice(None))
    ), flown
