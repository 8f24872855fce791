"""Claims: `robostack fly` corrects unseen machines by a board's own answers; a curriculum says how wrong they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from robostack import cli
from robostack.evaluate.flight import STATUS, Flight
from robostack.evaluate.fly import fly
from robostack.learn.curriculum import settings_of
from robostack.learn.curriculum.episodes import CurriculumTask
from robostack.run_folder import RunFolder
from robostack_sim.beam import scenarios
from robostack_sim.beam.config import BeamOrbitConfig
from robostack_sim.beam.orbit import BeamOrbit

HARD = BeamOrbitConfig(num_envs=64, judged_steps=3)


def test_a_board_corrects_machines_and_the_flights_are_judged_by_the_true_orbit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, need_tool: object
) -> None:
    need_tool("cc")  # type: ignore[operator]
    monkeypatch.setattr(scenarios, "MACHINES", 2)
    folder = tmp_path / "run"
    line = "train beam_orbit --num-envs 4 --judged-steps 3 --learner.iterations 3 --learner.horizon 2 --run-folder"
    assert cli.main([*line.split(), str(folder)]) == cli.main(["export", str(folder)]) == 0
    run = RunFolder.open(folder)
    rows = {r["what"]: r["value"] for r in fly(run, board="host", transport="lockstep")}
    assert rows["flown twice, same bytes"] == 1.0
    flights = [Flight.load(run.flights / f"machine_{i:02d}.npz") for i in range(2)]
    assert all(len(f) == 4 for f in flights)
    assert not np.allclose(flights[0]["orbit"], flights[1]["orbit"])
    last = [1e3 * f["rms"][-1, 0] for f in flights]
    assert rows["RMS of the orbit, median after 3 moves"] == pytest.approx(np.mean(last))
    moved = flights[0]["corrector_current"][1:] - flights[0]["corrector_current"][:-1]
    np.testing.assert_allclose(moved, flights[0]["action"][:-1], atol=1e-5)


def test_a_flight_that_fell_back_is_no_success_and_none_that_was_cut_short_counts() -> None:
    one = BeamOrbit(replace(HARD, num_envs=1))
    names = {n: v.numpy() for n, v in one.snapshot().items()}

    def flight(rms_m: float, status: str = "policy", **about: str) -> Flight:
        columns = {n: np.repeat(v, 4, 0) for n, v in names.items()} | {"rms": np.full((4, 1), rms_m)}
        from robostack.evaluate.flight import Column

        found = {n: Column(v, one.snapshot_units()[n]) for n, v in columns.items()}
        return Flight("m", 1.0, found, np.full(4, STATUS.index(status), np.uint8), about={"kind": "correct", **about})

    flights = [flight(0.9e-3), flight(1.1e-3), flight(0.5e-3, "fallback"), flight(0.5e-3, cut_short="lost")]
    rows = one.judge_flights(flights)
    assert rows[0]["what"] == "machines of 3 below 1 mm after 3 moves"
    assert rows[0]["value"] == pytest.approx(100.0 / 3.0)
    assert rows[1]["value"] == pytest.approx(0.9)
    assert one.judge_flights([]) == []


def test_a_curriculum_says_how_wrong_each_machine_is() -> None:
    task = BeamOrbit(HARD)
    share = torch.linspace(0.0, 1.0, 64)
    said = {p.name: p.high * share for p in task.parameters}
    assert set(said) == {"magnet_offset_m", "optics_error", "gain_error", "flipped_correctors"}
    task.draw_parameters_from(lambda mask: said)
    task.reset(1)
    offset, gain = task.offset_m.abs().amax(1), (task.gain.abs() - 1.0).abs().amax(1)
    for found, width in ((offset, said["magnet_offset_m"]), (gain, said["gain_error"])):
        assert (found <= width + 1e-6).all() and (found >= 0.4 * width).all()
    assert torch.equal((task.gain < 0).sum(1).float(), said["flipped_correctors"].round())
    ideal = BeamOrbit(replace(HARD, optics_error=0.0, gain_error=0.0, flipped_correctors=0, magnet_offset_m=0.0))
    assert torch.allclose(task.per_ampere[0], ideal.per_ampere[0], atol=1e-7)
    assert task.zero_m[0].abs().max() < 1e-7


def test_a_curriculum_hears_of_every_episode_that_ended() -> None:
    adr = settings_of("adr")()
    task = CurriculumTask(BeamOrbit(replace(HARD, steps=2, judged_steps=2)), adr)
    for _ in range(6):
        task.step(torch.zeros(64, 10))
    assert task.scalars()
