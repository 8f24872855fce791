"""A policy of the beam's contract that corrects without training, and what the tests of a beam stack see of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from running import Ear, Running

from robostack.export.graph import Graph
from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack.runtime.controller import Controller
from robostack.runtime.runner import Runner
from robostack.spec import PolicySpec, State
from robostack_real.nodes import wire
from robostack_sim.beam.config import BeamOrbitConfig
from robostack_sim.beam.orbit import BeamOrbit

JOINTS, ARRAY = "sensor_msgs/msg/JointState", "std_msgs/msg/Float64MultiArray"


class Correction:
    """A share of what the nominal response says, a pull to zero current, and a memory of what was made of its moves: so
    that its action tells of every one of its inputs, and of how often it was asked."""

    def __init__(self, response_m_per_a: np.ndarray, gain: float) -> None:
        correctors = response_m_per_a.shape[1]
        normal = response_m_per_a.T @ response_m_per_a + 1e-8 * np.eye(correctors)
        solve = gain * np.linalg.solve(normal, response_m_per_a.T)
        pull, push = 5e-3 * np.eye(correctors), 0.1 * np.eye(correctors)
        self.weights = np.concatenate([-solve, solve, -pull, push], 1).astype(np.float32)

    def onnx(self, graph: Graph, names: dict[str, str], applied: str, state: str | None) -> tuple[str, str | None]:
        assert state is not None
        half = graph.constant(np.float32(0.5))
        memory = graph.op("Mul", graph.op("Add", state, applied), half)
        y = graph.op("Concat", names["bpm_position"], names["target_orbit"], names["corrector_current"], memory, axis=1)
        return graph.op("Gemm", y, graph.constant(self.weights), transB=1), memory

    def __call__(self, observation: Any, applied: Any, state: Any, /) -> tuple[Any, Any]:
        memory = np.float32(0.5) * (state + applied)
        parts = [observation[n] for n in ("bpm_position", "target_orbit", "corrector_current")]
        return np.concatenate([*parts, memory], 1) @ self.weights.T, memory


def export(path: Path, config: BeamOrbitConfig, gain: float) -> LoadedPolicy:
    task = BeamOrbit(config)
    shape = len(task.line.readings), len(task.line.correctors)
    actor = Correction(np.array(task.machine["response_m_per_a"]).reshape(shape), gain)
    spec = PolicySpec(
        task=task.name, control_dt_s=task.step_dt, observations=task.actor_channels, actions=task.actions,
        state=State(reset=(0.0,) * shape[1]), envelope=task.envelope, provenance={"settings": asdict(config)},
    )  # fmt: skip
    return export_onnx(actor, spec, path, reference=actor)


class Beam:
    """All that a beam stack said."""

    def __init__(self, ear: Ear, policy: LoadedPolicy, golden_m: dict[str, float]) -> None:
        self.ear, self.policy = ear, policy
        self.target_m = np.array([golden_m.get(name, 0.0) for name in policy.spec.observations[0].elements])
        self._orbits = ear.keep("bpm_position", JOINTS)
        self._currents = ear.keep("corrector_current", ARRAY)
        self._actions = ear.keep("action", JOINTS)
        self._applied = ear.keep("applied_action", JOINTS)

    @property
    def rms_mm(self) -> float:
        """Of the newest orbit about the golden one."""
        return float(1e3 * np.sqrt(np.mean((np.array(self._orbits[-1][1].position) - self.target_m) ** 2)))

    @property
    def current_a(self) -> np.ndarray:
        return np.array(self._currents[-1][1].data)

    @property
    def action_a(self) -> np.ndarray:
        """The newest; nothing before the first."""
        return np.array(self._actions[-1][1].effort) if self._actions else np.zeros(1)

    def applied(self) -> dict[int, np.ndarray]:
        """By stamp of the observation."""
        return {wire.stamp_ns(m.header): np.array(m.effort) for _, m in self._applied}

    def actions(self) -> dict[int, np.ndarray]:
        return {wire.stamp_ns(m.header): np.array(m.effort) for _, m in self._actions}

    def moves(self) -> int:
        return sum(bool(step.any()) for step in self.applied().values())

    def move(self, more: int) -> None:
        """Until so many moves have been made from now on."""
        self.ear.start()
        wanted = self.moves() + more
        self.ear.until(lambda: self.moves() >= wanted, f"{more} moves")

    def on_the_ground(self, stack: Running) -> None:
        """Everything runs, and the supervisor is idle."""
        ear = self.ear
        for role in stack.ended():
            stack.again(role)
        ear.until(lambda: all(r and r.age_s() < 0.3 for r in map(ear.report, ("policy", "device", "supervisor"))), "up")
        if ear.state("supervisor") != "idle" or ear.state("device") != "disarmed":
            ear.ask("estop")
            ear.until(lambda: ear.state("supervisor") == ear.state("device") == "stopped", "stopped")
            ear.reset()
        wanted = {"supervisor": "idle", "device": "disarmed", "policy": "ready"}
        ear.until(lambda: all(ear.state(role) == state for role, state in wanted.items()), "on the ground")

    def acted_again(self) -> float:
        """A: by how much the actions differ at most from what the same policy, behind the same envelope, makes of the
        same readings, told what was made of each of its moves."""
        controller = Controller(Runner(self.policy), self.policy.spec)
        controller.arm()
        actions, applied, worst, compared = self.actions(), self.applied(), 0.0, 0
        for sent_s, orbit in self._orbits:
            stamp = wire.stamp_ns(orbit.header)
            if stamp not in actions:
                continue
            current = min(self._currents, key=lambda c: abs(c[0] - sent_s))[1].data
            samples = {"bpm_position": (orbit.position, 0.0), "corrector_current": (current, 0.0),
                       "target_orbit": (self.target_m, 0.0)}  # fmt: skip
            found = controller.tick(samples)
            if np.isfinite(actions[stamp]).all():
                worst, compared = max(worst, float(np.abs(found - actions[stamp]).max())), compared + 1
            controller.applied(applied.get(stamp, found))
        assert compared > 5
        return worst
