"""What a policy makes of its task where it feels over a serial line: a flight of every scenario, in real time, through
the skin's twin and its driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from robostack.evaluate.flight import Column, Flight, percentiles
from robostack.export.onnx import LoadedPolicy
from robostack.runtime import loop
from robostack.runtime.controller import Sample
from robostack.runtime.envelope import Array
from robostack.spec import ContractError
from robostack.task import Scenario, Task
from robostack_real.devices.anyskin_device import CHANNEL, UNIT
from robostack_real.devices.watch import FIRST_S, watch
from robostack_real.twins.simulated import task_of
from robostack_real.twins.skin_on_line import SkinOnLine

PREFIX = "skin_"
"""begins the names of these flights"""


class Trial:
    """Of one policy. Raises ContractError for a policy that feels no skin, or whose task has nothing to fly."""

    def __init__(self, policy: LoadedPolicy) -> None:
        self.policy, self.task = policy, task_of(policy.spec)
        self.scenarios: Sequence[Scenario] = self.task.scenarios()
        if not self.scenarios:
            raise ContractError(f"{policy.origin}: its task {self.task.name!r} has no scenarios")

    def flights(self) -> Iterator[Flight]:
        """As they end; one that ended early says so in `about`. Raises ConnectionError where none begins, and
        KeyboardInterrupt on Ctrl-C, with the machine stopped."""
        for scenario in self.scenarios:
            device: Any = _Logged(scenario, self.policy, self.task)
            seconds = scenario.seconds + FIRST_S
            why, timing = watch(device, self.policy, device.told, live=True, seconds=seconds, say=lambda line: None)
            if timing.interrupted:
                raise KeyboardInterrupt
            if not len(device):
                raise ConnectionError(f"{scenario.name}: {why}")
            yield device.flight(why, timing)

    def figures(self, flights: Sequence[Flight]) -> list[dict[str, Any]]:
        age = percentiles(flights, "skin_age_s")
        counted = {what: sum(int(f.about[what]) for f in flights) for what in ("frames", "dropped", "late")}
        return [
            *self.task.judge_flights(flights),
            _row("frames that came over the serial line", counted["frames"], "", "higher"),
            _row("of them cut", counted["dropped"], ""),
            _row("age of a reading that was acted on, p99", 1e3 * age["p99"], "ms"),
            _row("periods that came too late", counted["late"], f"of {sum(map(len, flights))}"),
        ]


class _Logged(SkinOnLine):
    """Notes each period from when it is armed, and ends the loop once the scenario is over."""

    def __init__(self, scenario: Scenario, policy: LoadedPolicy, task: Task) -> None:
        super().__init__(f"anyskin_twin://{scenario.name}", policy)
        self._of, self._policy, self._task = scenario, policy, task
        self._wanted = round(scenario.seconds / task.step_dt)
        self._armed = False
        self._felt: Sample = (np.zeros(0), 0.0)
        self._rows: list[dict[str, Array]] = []
        self._age_s: list[float] = []

    def __len__(self) -> int:
        return len(self._rows)

    def read(self) -> Mapping[str, Sample]:
        samples = super().read()
        values, age_s = self._felt
        self._felt = samples.get(CHANNEL, (values, age_s + self._task.step_dt))
        return samples

    def arm(self) -> None:
        super().arm()
        self._armed = True

    def write(self, action: Array) -> Array:
        if self._armed:
            values, age_s = self._felt
            self._rows.append({**self._simulated.snapshot(), "action": action, CHANNEL: np.asarray(values)})
            self._age_s.append(age_s)
            if len(self) == self._wanted:
                raise loop.Stop
        return super().write(action)

    def flight(self, why: str, timing: loop.Timing) -> Flight:
        (skin,) = self.skins
        units = {**self._task.snapshot_units(), "action": self._policy.spec.actions[0].unit, CHANNEL: UNIT}
        columns = {n: Column(np.stack([row[n] for row in self._rows]), units.get(n, "")) for n in self._rows[0]}
        about = {
            **self._of.about, "kind": self._of.kind, "transport": "a magnetic skin's serial line",
            "frames": skin.frames, "dropped": skin.dropped, "late": timing.late, **({"cut_short": why} if why else {}),
        }  # fmt: skip
        return Flight(
            PREFIX + self._of.name, self._task.step_dt, columns, np.zeros(len(self), np.uint8),
            {"skin_age_s": np.array(self._age_s)}, about,
        )  # fmt: skip


def _row(what: str, value: float, unit: str, better: str = "lower") -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "bar": None, "better": better}
