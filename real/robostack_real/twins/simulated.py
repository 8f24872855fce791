"""Any task as if it were a machine: its sensors are read, its actuators written, one control period a write.

URIs are sim://SCENARIO, of those that the task has for `robostack fly`: sim://hover. The plant is the one that the
policy was trained in (its file says with which settings).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch

from robostack import registry
from robostack.export.onnx import LoadedPolicy
from robostack.runtime.controller import Sample
from robostack.runtime.envelope import Array
from robostack.spec import ContractError, PolicySpec
from robostack.task import Layout, Task


class Simulated:
    """See robostack.devices.Device. Raises ContractError for a policy that no task here fits."""

    paces, tripped = False, ""

    def __init__(self, uri: str, policy: LoadedPolicy, *, seed: int = 0) -> None:
        self.where = uri
        task = task_of(policy.spec)
        scenarios = {s.name: s for s in task.scenarios()}
        name = uri.partition("://")[2]
        if name not in scenarios:
            raise ContractError(f"{uri}: task {policy.spec.task!r} has no scenario {name!r}; it has {[*scenarios]}")
        self.task = scenarios[name].make()
        known = self.task.actor_channels
        if any(c not in known for c in policy.spec.observations) or self.task.actions != policy.spec.actions:
            raise ContractError(f"{policy.origin}: the task that its settings make has other channels; train it anew")
        self._scenario, self._seed = scenarios[name], seed
        self.changes = self._scenario.changes
        layout = Layout(self.task.channels)
        columns = {c.name: (c.source, layout.indices((c.name,))) for c in policy.spec.observations}
        self._sensors = {name: at for name, (source, at) in columns.items() if source == "sensor"}
        self._commands = {name: at for name, (source, at) in columns.items() if source == "command"}
        self.channels = tuple(self._sensors)
        self._held = True
        self._begin()

    def read(self) -> Mapping[str, Sample]:
        flat = self._observation
        return {name: (flat[columns], 0.0) for name, columns in self._sensors.items()}

    def told(self) -> Mapping[str, Sample]:
        """What the scenario commands, which is nothing that a machine measures."""
        return {name: (self._observation[columns], 0.0) for name, columns in self._commands.items()}

    def arm(self) -> None:
        """Lets it go; until then a stand holds it at its start."""
        self._held = False

    def write(self, action: Array) -> Array:
        if self._held:
            obs = self.task.observe()
        else:
            obs, *_ = self.task.step(torch.from_numpy(np.asarray(action, np.float32))[None])
        self._observation = obs.flat[0].numpy().copy()
        return action

    def snapshot(self) -> Mapping[str, Array]:
        """What is true, without noise."""
        return {name: value[0].numpy().copy() for name, value in self.task.snapshot().items()}

    def stop(self) -> None:
        """Back on its stand; where actions are changes it stays as it is."""
        self._held = True
        if not self.changes:
            self._begin()

    def _begin(self) -> None:
        self.task.reset(self._seed + self._scenario.seed)
        self._scenario.prepare(self.task)
        self._observation = self.task.observe().flat[0].numpy().copy()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return


def task_of(spec: PolicySpec) -> Task:
    """The one that a policy was trained in. Raises ContractError where it is another one here."""
    from pydantic import TypeAdapter, ValidationError

    kind = registry.load("task", spec.task)
    try:
        settings = TypeAdapter(kind.Config).validate_python(spec.provenance.get("settings", {}))
    except ValidationError as error:
        first = error.errors()[0]
        raise ContractError(
            f"provenance.settings.{'.'.join(map(str, first['loc']))}: {first['msg']}; this robostack's task "
            f"{spec.task!r} is not the one that the policy was trained with"
        ) from error
    task: Task = kind(settings)
    return task
