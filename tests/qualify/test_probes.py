"""Claims: probes find what closed forms say of a loop, and a search finds the corner that is worst."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from slider import Slider, slider_policy

from robostack.evaluate.html import meets
from robostack.export.onnx import LoadedPolicy
from robostack.qualify.bench import Bench
from robostack.qualify.condition import Outcome
from robostack.qualify.probes import latency, nominal, parameters, rate, repeat, sensors, spare_channel, worst_case
from robostack.qualify.search import worst_points
from robostack.task import Bar


def test_action_repeat_fails_where_the_loop_is_unstable_and_its_score_is_the_area(slider_bench: Bench) -> None:
    found = repeat.probe(slider_bench)
    (curve,) = found.curves
    stable = [0.5 * j < 2.0 for j in curve.levels]
    assert [o.success == 1.0 for o in curve.outcomes] == stable
    score = 100.0 * (2.0 + 0.5) / 29.0  # whole from 1 to 3, then down to 0 at 4
    assert found.rows[-1]["value"] == pytest.approx(score, abs=0.01)


def test_latency_fails_where_the_loop_is_unstable(slider_bench: Bench) -> None:
    found = latency.probe(slider_bench)
    late = {x: o.success for x, o in zip(found.curves[0].levels, found.curves[0].outcomes, strict=True)}
    stable = {d: 2.0 * math.sin(math.pi / (4 * d + 2)) > 0.5 for d in (0, 1, 2, 3)}
    assert {d: s > 0.9 for d, s in late.items()} == stable
    assert found.rows[0]["bar"] == 90.0 and meets(found.rows[0])
    assert found.rows[-1]["value"] is None and "no delay_s" in found.rows[-1]["reference"]


def test_a_parameter_is_swept_over_its_range_and_judged_where_the_bar_asks(slider_bench: Bench) -> None:
    found = parameters.probe(slider_bench)
    gain, push = found.curves
    assert (gain.levels[0], gain.levels[-1], push.levels[0], push.levels[-1]) == (0.5, 3.5, -0.2, 0.2)
    assert 1.5 in gain.levels
    asked, whole = (r for r in found.rows if r["what"].startswith("gain"))
    assert asked["bar"] == 90.0 and meets(asked) and whole["bar"] is None
    # a gain of 3.5 turns x over by 0.75 a step, and is home in forty
    assert all(o.success == 1.0 for o in gain.outcomes)
    assert [o.reward for o in push.outcomes][4] > push.outcomes[0].reward


def test_the_worst_case_is_the_corner_in_which_most_is_left_and_is_flown_afresh(slider_bench: Bench) -> None:
    slider_bench.generations = 12
    found = worst_case.probe(slider_bench)
    assert found.worst
    case, flown = found.worst
    # what a push leaves is |push| / (5 gain), so the worst is at a low gain and a strong push
    assert case.condition.parameters["gain"] < 0.6 and abs(case.condition.parameters["push_m_s"]) > 0.17
    again = slider_bench.flown([case.condition] * case.episodes, case.seed)
    assert again.rewards.tobytes() == flown.rewards.tobytes()
    assert again.outcome(slice(None)) == case.outcome


@pytest.mark.parametrize(("talk", "passes"), [(0.0, True), (5.0, False)])
def test_a_spare_channel_that_is_listened_to_fails_and_one_that_is_not_passes(
    tmp_path: Path, talk: float, passes: bool
) -> None:
    policy = slider_policy(tmp_path / "policy.onnx", talk)
    found = spare_channel.probe(Bench(policy, Slider(), episodes=32, generations=4))
    rows = {r["what"]: r for r in found.rows}
    gossip = rows["adversary on gossip"]
    assert "spare" in gossip["reference"] and meets(gossip) is passes
    position = rows["adversary on position"]
    assert "noise" in position["reference"] and meets(position)


def test_what_a_task_has_not_is_said_in_its_row_and_misses_its_bar(slider_file: LoadedPolicy) -> None:
    class Still(Slider):
        parameters = ()
        bars = (Bar("rate", 0.9), Bar("worst_case", 0.9))

        def at_rate(self, rate: float) -> Slider:
            raise TypeError("no time passes between its steps")

    bench = Bench(slider_file, Still(), episodes=4)
    for probe, why in ((rate, "no time passes"), (worst_case, "no parameter"), (parameters, "declares none")):
        (row,) = probe.probe(bench).rows
        assert row["value"] is None and why in row["reference"]
        assert meets(row) is (None if probe is parameters else False)


def test_sensors_that_are_worse_are_flown_up_to_what_they_say(slider_bench: Bench) -> None:
    noise, bias, outage = sensors.probe(slider_bench).curves
    assert noise.outcomes[0].success == bias.outcomes[0].success == outage.outcomes[0].success == 1.0
    assert noise.outcomes[-1].reward < noise.outcomes[0].reward
    by_length = dict(zip(outage.levels, outage.outcomes, strict=True))
    assert by_length[3.0].fell_back == 0.0 and by_length[4.0].fell_back > 0.9  # max_age_s is 0.35 s


def test_nominal_says_what_the_envelope_changes(slider_bench: Bench) -> None:
    on, off, taken = nominal.probe(slider_bench).rows
    assert on["value"] == off["value"] == 100.0 and taken["value"] == 0.0 and meets(on)


def test_a_search_in_a_box_finds_its_worst_corner_side_by_side() -> None:
    def flies(points: list[list[np.ndarray]]) -> list[list[Outcome]]:
        corners = (np.array([1.0, -1.0, 1.0]), np.array([-1.0]))
        return [
            [Outcome(1.0, 1.0, float(np.abs(x - corner).sum()), 0.0) for x in xs]
            for xs, corner in zip(points, corners, strict=True)
        ]

    first, second = worst_points([np.zeros(3), np.zeros(1)], flies, generations=20, population=10, seed=0)
    assert 2 <= len(first) <= 4
    for point in (first[-2], first[-1]):  # the worst that was met, and where the search came to
        assert point == pytest.approx([1.0, -1.0, 1.0], abs=0.2)
    assert second[-1] == pytest.approx([-1.0], abs=0.2)
