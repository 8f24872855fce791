"""Claims: a policy learns to correct by gradients through the machines, and its exported file corrects as it does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from robostack.learn.shac import SHAC
from robostack.learn.trained import export_actor
from robostack.nets.actor import ActorConfig
from robostack.runtime.runner import Runner
from robostack_sim.beam.config import BeamOrbitConfig
from robostack_sim.beam.orbit import BeamOrbit
from robostack_sim.beam.trials import SETTINGS, correct

PLAIN = replace(SETTINGS["offsets alone (TBSAC's)"].config, num_envs=128, steps=5, judged_steps=5)


def test_a_short_training_corrects_most_machines_and_the_file_is_the_policy(tmp_path: Path) -> None:
    torch.manual_seed(0)
    learner = SHAC(iterations=40, horizon=5, learning_rate=5e-3, actor=ActorConfig(hidden=(64,))).learner(
        BeamOrbit(PLAIN)
    )
    while learner.progress < 1.0:
        learner.iterate()
    runner = Runner(export_actor(learner.task, learner.actor, tmp_path / "policy.onnx"))
    task = BeamOrbit(replace(PLAIN, num_envs=200, steps=20))
    reset = np.array(runner.spec.state.reset)
    found = correct(runner, reset, task, seed=1, steps=6)
    before = (found.rms_m[0] < 1e-3).float().mean().item()
    assert found.held(6) > 0.6 > before + 0.3

    class Torch:
        """The same network, not exported."""

        def infer(self, observation: dict, applied: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            channels = {n: torch.from_numpy(v) for n, v in {**observation, "applied_action": applied}.items()}
            with torch.no_grad():
                action, following = learner.actor.step(channels, torch.from_numpy(state))
            return action.numpy(), following.numpy()

    again = correct(Torch(), reset, task, seed=1, steps=6)
    assert torch.allclose(found.rms_m, again.rms_m, atol=1e-5)


def test_a_policy_file_carries_the_nominal_response_and_the_probe(tmp_path: Path) -> None:
    task = BeamOrbit(BeamOrbitConfig(num_envs=2, probe_a=0.3))
    learner = SHAC(actor=ActorConfig(hidden=(8,))).learner(task)
    spec = export_actor(task, learner.actor, tmp_path / "policy.onnx").spec
    machine = spec.provenance["machine"]
    assert np.shape(machine["response_m_per_a"]) == (100,)
    assert np.allclose(machine["probe_a"], task.probe_a)
    assert [c.name for c in spec.observations] == [
        "bpm_position",
        "corrector_current",
        "target_orbit",
        "probe_response",
    ]


def test_figures_count_moves_and_a_lost_beam_never_succeeds() -> None:
    class Nothing:
        def infer(self, observation: dict, applied: np.ndarray, state: object) -> tuple[np.ndarray, None]:
            return np.zeros_like(applied), None

    task = BeamOrbit(replace(PLAIN, num_envs=50, steps=20))
    found = correct(Nothing(), np.zeros(0), task, seed=1, steps=3)
    assert found.within(3) == found.held(3) == (found.rms_m[0] < 1e-3).float().mean().item()
    assert found.travel_a.max() == 0.0 and set(found.steps.tolist()) <= {0.0, float("inf")}

    class Away(Nothing):
        def infer(self, observation: dict, applied: np.ndarray, state: object) -> tuple[np.ndarray, None]:
            return np.full_like(applied, 3.0), None

    thrown = correct(Away(), np.zeros(0), task, seed=1, steps=6)
    assert thrown.lost.float().mean() > 0.5 and thrown.held(6) == 0.0
