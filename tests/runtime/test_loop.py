"""The loop keeps absolute time, holds instead of catching up, and always stops the machine."""

import os
import signal
import threading
from itertools import pairwise

import pytest

from robostack.runtime.loop import Distribution, Stop, run

DT_S = 0.01


class Time:
    """A clock that only sleep and work move; sleep may overshoot."""

    def __init__(self, overshoot_s=0.0):
        self.now, self.overshoot_s, self.sleeps = 100.0, overshoot_s, 0

    def clock(self):
        return self.now

    def sleep(self, duration_s):
        self.sleeps += 1
        self.now += duration_s + self.overshoot_s


def run_in(time, tick, periods=None, stop=lambda: None):
    return run(tick, DT_S, stop=stop, periods=periods, clock=time.clock, sleep=time.sleep)


def test_errors_of_sleep_do_not_add_up():
    time, starts = Time(overshoot_s=0.001), []
    timing = run_in(time, lambda _: starts.append(time.now - 100), periods=1000)
    assert starts[-1] == pytest.approx(999 * DT_S + 0.001)
    assert (timing.ticks, timing.late) == (1000, 0)
    assert timing.jitter.max_s == pytest.approx(0.001)


def test_a_late_tick_holds_and_is_never_caught_up():
    time, calls = Time(), []

    def tick(missed):
        calls.append((round((time.now - 100) / DT_S, 3), missed))
        time.now += 0.037 if len(calls) == 2 else 0.001

    timing = run_in(time, tick, periods=10)
    # the second tick ran from 1.0 to 4.7 periods: 2, 3 and 4 are held, 5 is on time
    assert calls == [(0, 0), (1, 0), (5, 3), (6, 0), (7, 0), (8, 0), (9, 0)]
    assert (timing.ticks, timing.late) == (7, 3)
    assert timing.work.max_s == pytest.approx(0.037)


def test_a_tick_may_begin_in_the_first_half_of_its_period():
    time, starts = Time(), []

    def tick(_):
        starts.append(round((time.now - 100) / DT_S, 3))
        time.now += 0.014

    timing = run_in(time, tick, periods=4)
    assert starts == [0, 1.4, 3]
    assert (timing.ticks, timing.late) == (3, 1)


def test_two_ticks_are_never_closer_than_half_a_period():
    time, starts = Time(), []

    def tick(_):
        starts.append(time.now)
        time.now += (len(starts) * 7919 % 31) * 1e-3

    timing = run_in(time, tick, periods=2000)
    assert min(b - a for a, b in pairwise(starts)) > 0.5 * DT_S - 1e-9
    assert timing.ticks + timing.late == 2000
    assert timing.late > 0


def test_ctrl_c_lets_the_tick_end_and_stops_once():
    time, events = Time(), []

    def tick(_):
        os.kill(os.getpid(), signal.SIGINT)
        events.append("tick")

    before = signal.getsignal(signal.SIGINT)
    timing = run_in(time, tick, stop=lambda: events.append("stop"))
    assert events == ["tick", "stop"]
    assert timing.interrupted
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_cannot_cut_the_stop_short():
    events = []

    def stop():
        os.kill(os.getpid(), signal.SIGINT)
        events.append("stopped")

    run_in(Time(), lambda _: None, periods=1, stop=stop)
    assert events == ["stopped"]


def test_an_error_in_a_tick_stops_the_machine_and_is_not_hidden():
    stops = []

    def tick(_):
        raise RuntimeError("sensor gone")

    with pytest.raises(RuntimeError, match="sensor gone"):
        run_in(Time(), tick, stop=lambda: stops.append(1))
    assert stops == [1]


def test_a_tick_ends_the_loop_in_good_order():
    stops = []

    def tick(_):
        raise Stop

    timing = run_in(Time(), tick, stop=lambda: stops.append(1))
    assert (stops, timing.interrupted) == ([1], False)


def test_a_loop_runs_in_a_thread_that_cannot_catch_signals():
    ticks = []
    thread = threading.Thread(target=lambda: run_in(Time(), ticks.append, periods=5))
    thread.start()
    thread.join()
    assert ticks == [0] * 5


def test_the_real_clock_runs_every_period_once():
    ticks = []
    timing = run(ticks.append, 0.001, stop=lambda: None, periods=20)
    assert timing.ticks + timing.late == 20
    assert len(ticks) == timing.ticks


@pytest.mark.parametrize("dt_s", [0.0, -1.0, float("nan")])
def test_a_period_that_is_none_is_refused(dt_s):
    with pytest.raises(ValueError, match="dt_s must be above 0"):
        run(lambda _: None, dt_s, stop=lambda: None)


def test_a_histogram_counts_every_duration_and_bounds_its_quantiles():
    d = Distribution()
    durations = [1e-7, 5e-5, 5e-5, 2e-3, 10.0]
    for duration in durations:
        d.add(duration)
    assert sum(d.counts) == d.count == 5
    assert (d.counts[0], d.counts[-1]) == (1, 1)
    assert d.mean_s == pytest.approx(sum(durations) / 5)
    assert 5e-5 <= d.quantile(0.5) <= 6.3e-5
    assert d.quantile(1.0) == d.max_s == 10.0


def test_the_summary_is_plain_data():
    summary = run_in(Time(), lambda _: None, periods=3).as_dict()
    assert (summary["ticks"], summary["late"]) == (3, 0)
    assert len(summary["jitter"]["counts"]) == len(summary["edges_s"]) + 1
