"""Claims: flights are judged by the orbit that was reached, and a curriculum says how wrong a machine is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from robostack.evaluate.flight import STATUS, Column, Flight
from robostack_sim.beam.config import BeamOrbitConfig
from robostack_sim.beam.orbit import BeamOrbit

HARD = BeamOrbitConfig(num_envs=64, judged_steps=3)


def test_a_flight_that_fell_back_is_no_success_and_none_that_was_cut_short_counts() -> None:
    one = BeamOrbit(replace(HARD, num_envs=1))
    names = {n: v.numpy() for n, v in one.snapshot().items()}

    def flight(rms_m: float, status: str = "policy", **about: str) -> Flight:
        columns = {n: np.repeat(v, 4, 0) for n, v in names.items()} | {"rms": np.full((4, 1), rms_m)}
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
