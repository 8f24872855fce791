"""Material: all that a report is made of, read from a run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robostack.evaluate.flight import Flight, FlightError
from robostack.run_folder import RunFolder

if TYPE_CHECKING:
    from robostack.export.onnx import LoadedPolicy
    from robostack.spec import PolicySpec


@dataclass(frozen=True)
class Material:
    """`metrics` by stage, `flights` in the order of their file names, the contract once one is exported."""

    run: RunFolder
    metrics: Mapping[str, Any]
    flights: Sequence[Flight]
    policy: LoadedPolicy | None
    damaged: Sequence[str] = ()
    """Files that could not be read, in words."""

    @classmethod
    def read(cls, run: RunFolder) -> Material:
        """Reads a run folder; a damaged flight or policy is reported on the page and does not stop it."""
        flights, damaged, policy = [], [], None
        for path in sorted(run.flights.glob("*.npz")):
            try:
                flights.append(Flight.load(path))
            except FlightError as error:
                damaged.append(str(error))
        if run.policy.exists():
            from robostack.export.onnx import load_policy
            from robostack.spec import ContractError

            try:
                policy = load_policy(run.policy)
            except ContractError as error:
                damaged.append(str(error))
        return cls(run, run.metrics(), flights, policy, damaged)

    @property
    def spec(self) -> PolicySpec | None:
        return self.policy.spec if self.policy else None

    @property
    def task(self) -> str:
        return self.spec.task if self.spec else self.run.path.resolve().parent.name

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        return figures(self.metrics)

    def section(self, name: str) -> dict[str, Any]:
        """A section of metrics.json, empty when that stage has not run."""
        value = self.metrics.get(name)
        return value if isinstance(value, dict) else {}

    def of_kind(self, *kinds: str) -> list[Flight]:
        """Flights whose `about["kind"]` is one of `kinds`, in the order of their file names."""
        return [f for f in self.flights if f.about.get("kind") in kinds]


def figures(metrics: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows of every stage that judges a policy."""
    found = (metrics.get(stage) for stage in ("trial", "fly", "evaluate"))
    return [row for section in found if isinstance(section, dict) for row in section.get("rows") or []]
