"""Claims: TBSAC's setting is a preset that its network learns in and is exported from; an episode ends as it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from robostack import cli
from robostack.evaluate.flight import Flight
from robostack.evaluate.fly import fly
from robostack.export.onnx import load_policy
from robostack.learn.trained import RunSettings
from robostack.nets.actor import Actor, ActorConfig
from robostack.nets.trend import TrendConfig
from robostack.run_folder import RunFolder
from robostack_real.beam.orbit_control import MatrixCorrection
from robostack_sim.beam import scenarios
from robostack_sim.beam.config import TBSAC
from robostack_sim.beam.orbit import TBSAC_DONE_M, BeamOrbit
from robostack_sim.beam.trials import Correction, correct

SMALL = (
    "--num-envs 8 --learner.iterations 4 --learner.updates 2 --learner.batch-size 16 --learner.warmup 20 "
    "--learner.actor.hidden 8 --learner.actor.trend.channel bpm_position "
    "--learner.actor.trend.first probe_response --learner.actor.trend.gain 1000"
)


def robostack(line: str, *more: object) -> int:
    return cli.main([*line.split(), *map(str, more)])


def test_the_trend_starts_with_what_the_probe_did() -> None:
    task = BeamOrbit(replace(TBSAC, num_envs=16))
    trend = TrendConfig("bpm_position", "probe_response", gain=1e3)
    actor = Actor(task, ActorConfig(hidden=(16,), trend=trend))
    readings = lambda currents_a: 1e3 * task.orbit(currents_a, task.start)[:, task._bpms].flatten(1)  # noqa: E731
    obs, _ = task.reset(1)
    assert (task.currents_a == 0.3).all()
    unprobed, first = readings(torch.zeros(16, 10)), readings(task.currents_a)
    seen, memory, _ = actor.perceive(obs.flat, actor.initial_state(16))
    wanted = torch.cat([torch.zeros(16, 10), first - unprobed, first], 1)
    torch.testing.assert_close(seen, wanted, rtol=0.0, atol=1e-4)
    obs, *_, extras = task.step(torch.full((16, 10), -0.2))
    going = extras["rms_m"] > TBSAC_DONE_M
    second = readings(task.currents_a)
    wanted = torch.cat([first - unprobed, second - first, second], 1)
    seen = actor.perceive(obs.flat, memory)[0]
    torch.testing.assert_close(seen[going], wanted[going], rtol=0.0, atol=1e-4)


def corrected(moves: int) -> Correction:
    """By SVD with the matrix of these machines, all of which have the design's."""
    task = BeamOrbit(replace(TBSAC, num_envs=300))
    response = task.nominal_m_a[task._bpms].flatten(0, 1).numpy()
    svd = MatrixCorrection(response, 1.0, 0.2 * np.sqrt(np.square(response).mean()))
    return correct(svd, svd.reset, task, seed=1, steps=moves)


def test_a_machine_whose_episode_ended_in_success_stays_as_it_is() -> None:
    found = corrected(14)
    assert found.within(10) > 0.98
    below = found.rms_m[1:] < TBSAC_DONE_M
    over = below.int().cummax(0).values[:-1].bool()
    assert over[9].float().mean() > 0.9
    assert (found.rms_m[2:] == found.rms_m[1:-1])[over].all()
    assert not (found.rms_m[2:] == found.rms_m[1:-1])[~over].any()
    early = below[:8].any(0)
    assert torch.equal(found.travel_a[early], corrected(9).travel_a[early])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("runs") / "tbsac"
    assert robostack(f"train beam_orbit --preset tbsac --algorithm sac {SMALL} --run-folder", folder) == 0
    return RunFolder.open(folder)


def test_the_preset_trains_on_the_command_line_and_boards_fly_its_policy(
    run: RunFolder, need_tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    need_tool("cc")
    assert RunSettings.of(run).task == replace(TBSAC, num_envs=8)
    assert robostack("export", run.path) == 0
    spec = load_policy(run.policy).spec
    assert [c.name for c in spec.observations] == ["bpm_position", "probe_response"]
    assert spec.actions[0].high == (1.0,) * 10
    assert spec.state.reset == (0.0,) * 20 + (1.0,)
    monkeypatch.setattr(scenarios, "MACHINES", 2)
    rows = {r["what"]: r["value"] for r in fly(run, board="host", transport="lockstep")}
    assert rows["flown twice, same bytes"] == 1.0
    flights = [Flight.load(run.flights / f"machine_{i:02d}.npz") for i in range(2)]
    assert all(len(f) == 11 for f in flights), "before the first move, and after each of ten"
    assert not np.allclose(flights[0]["orbit"], flights[1]["orbit"])
    last_mm = [1e3 * f["rms"][-1, 0] for f in flights]
    assert rows["RMS of the orbit, median after 10 moves"] == pytest.approx(np.mean(last_mm))
    moved = np.diff(flights[0]["corrector_current"], axis=0)
    np.testing.assert_allclose(moved, flights[0]["action"][:-1], atol=1e-5)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--preset tbsak", "no preset of beam_orbit is called 'tbsak'; there are: tbsac"),
        ("--preset tbsac --resume --run-folder {run}", "resume it without --preset"),
    ],
)
def test_a_preset_that_is_not_there_and_one_for_a_run_that_has_begun_are_refused(
    run: RunFolder, line: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert robostack("train beam_orbit " + line.format(run=run.path)) == 1
    assert says in capsys.readouterr().err
