"""Claims: a flight log comes back as it was, never runs code, and its figures are the closed forms'."""

import numpy as np
import pytest
from example_run import recovery, serial_hover

from robostack.evaluate.flight import (
    Column,
    Flight,
    FlightError,
    percentiles,
    position_error,
    rms_position_error,
    survival,
    survived,
)


def circle(radius_m, seconds=4.0, dt_s=0.01, **about):
    """A circle around the reference at the origin: its error is its radius."""
    t = np.arange(round(seconds / dt_s)) * dt_s
    position = radius_m * np.stack([np.cos(t), np.sin(t), 0 * t], axis=1)
    return Flight("circle", dt_s, {"position": Column(position, "m")}, np.zeros(len(t), np.uint8), {}, about)


def test_a_flight_comes_back_as_it_was(tmp_path):
    flight = serial_hover()
    again = Flight.load(flight.save(tmp_path / "hover.npz"))
    assert (again.name, again.dt_s, again.about) == (flight.name, flight.dt_s, flight.about)
    for name, column in flight.columns.items():
        np.testing.assert_array_equal(again[name], column.values)
        assert (again.columns[name].unit, again.columns[name].elements) == (column.unit, column.elements)
    np.testing.assert_array_equal(again.timing["echo_s"], flight.timing["echo_s"])
    np.testing.assert_array_equal(again.status, flight.status)


def test_every_truncation_of_a_log_is_refused_by_its_name(tmp_path):
    data = circle(0.1).save(tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "cut.npz"
    for size in (*range(0, len(data), 97), len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(FlightError, match=r"cut\.npz"):
            Flight.load(path)


def test_a_pickle_in_a_log_is_not_opened(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, header=np.array([{"format": 1}], dtype=object))
    with pytest.raises(FlightError, match="not a flight log"):
        Flight.load(path)


def test_an_npz_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(FlightError, match="not a flight log"):
        Flight.load(tmp_path / "other.npz")


def test_a_missing_column_lists_the_ones_there_are():
    with pytest.raises(FlightError, match="no column 'rotor_speed'; it has position"):
        circle(0.1)["rotor_speed"]


@pytest.mark.parametrize("dt_s", [0.0, -0.01, float("nan")])
def test_a_period_that_is_no_time_is_refused(dt_s):
    with pytest.raises(FlightError, match="dt_s"):
        Flight("bad", dt_s, {}, np.zeros(0, np.uint8))


def test_columns_of_another_length_are_refused():
    with pytest.raises(FlightError, match="position has 3 rows, status has 4"):
        Flight("bad", 0.01, {"position": Column(np.zeros((3, 3)), "m")}, np.zeros(4, np.uint8))


@pytest.mark.parametrize("radius_m", [0.0, 0.05, 0.5])
def test_the_error_of_a_circle_is_its_radius(radius_m):
    assert rms_position_error(circle(radius_m)) == pytest.approx(radius_m, abs=1e-6)
    assert rms_position_error(circle(radius_m), last_s=1.0) == pytest.approx(radius_m, abs=1e-6)
    np.testing.assert_allclose(position_error(circle(radius_m)), radius_m, atol=1e-6)


def test_leaving_the_box_once_is_not_surviving():
    assert survived(circle(0.59))
    assert not survived(circle(0.61))
    assert survival([circle(0.1), circle(0.7), circle(0.1), circle(0.1)]) == 0.75
    assert not survived(recovery(17, lost=True))


def test_a_position_that_is_not_a_number_is_not_surviving():
    flight = circle(0.1)
    flight["position"][7, 1] = np.nan
    assert not survived(flight)


def test_a_flight_on_the_fallback_is_not_surviving():
    flight = circle(0.1)
    flight.status[-1] = 1
    assert not survived(flight)


def test_a_flight_cut_short_is_not_surviving():
    assert survived(circle(0.1))
    assert not survived(circle(0.1, cut_short="the board is gone"))


def test_percentiles_pool_all_flights_that_have_the_measure():
    a, b = circle(0.1), circle(0.1)
    a.timing["instructions"] = np.arange(1, 51, dtype=np.float64)
    b.timing["instructions"] = np.arange(51, 102, dtype=np.float64)
    assert percentiles([a, b, circle(0.1)], "instructions") == {"p50": 51.0, "p99": 100.0, "max": 101.0}
    assert percentiles([circle(0.1)], "instructions") == {}
