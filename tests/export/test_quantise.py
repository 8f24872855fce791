import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robostack.export.quantise import LARGEST, LARGEST_ROW, LARGEST_SHIFT, SUM_BITS, input_scale, quantise


def layer_of(rows: int, columns: int, size: float, seed: int):  # type: ignore[no-untyped-def]
    random = np.random.default_rng(seed)
    weights = random.normal(0, size, (rows, columns)) * random.choice([0.0, 1e-3, 1.0], (rows, 1))
    scale = np.exp(random.uniform(-3, 10, columns)).astype(np.float32)
    return weights, random.normal(0, size, rows), scale


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 300), st.sampled_from([1e-4, 0.1, 10.0, 1e4]), st.integers(0, 2**32 - 1))
def test_no_input_can_make_a_result_leave_32_bits(rows: int, columns: int, size: float, seed: int) -> None:
    layer = quantise(*layer_of(rows, columns, size, seed))
    assert layer.weights.shape == (-(-rows // 4) * 4, columns + columns % 2)
    assert np.abs(layer.weights).max() <= LARGEST
    assert np.abs(layer.weights).sum(1).max() <= LARGEST_ROW
    assert 0 <= layer.shift.min() <= layer.shift.max() <= LARGEST_SHIFT
    sums = np.abs(layer.weights).sum(1) * LARGEST + ((1 << layer.shift.repeat(4)) >> 1)
    assert sums.max() < 2**31
    assert ((sums >> layer.shift.repeat(4)) + np.abs(layer.bias)).max() < 2**31


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_weights_and_biases_are_within_half_a_unit_of_their_scale(rows: int, columns: int, seed: int) -> None:
    weights, bias, scale = layer_of(rows, columns, 0.3, seed)
    layer = quantise(weights, bias, scale)
    bits = layer.sum_bits.repeat(4)
    unit = np.exp2(-(bits + layer.shift.repeat(4)))[:rows, None]
    assert (np.abs(layer.weights[:rows, :columns] * unit - weights / scale) <= 0.5001 * unit).all()
    assert (np.abs(layer.bias * np.exp2(-bits) - np.pad(bias, (0, len(bits) - rows))) <= 0.5001 * np.exp2(-bits)).all()
    assert not layer.weights[rows:].any()
    assert not layer.weights[:, columns:].any()


def test_a_usual_layer_gives_what_tanh_takes_and_one_of_huge_sums_does_not() -> None:
    weights, scale = np.full((4, 8), 0.5), np.full(8, 2.0**15)
    assert quantise(weights, np.ones(4), scale).for_activation
    huge = quantise(weights * 1e6, np.ones(4), scale)
    assert not huge.for_activation
    assert huge.sum_bits.max() < SUM_BITS


def test_a_bias_that_drowns_its_weights_still_fits() -> None:
    layer = quantise(np.full((1, 2), 1e-6), np.array([1e9]), np.full(2, 2.0**15))
    assert layer.bias[0] * 2.0 ** -layer.sum_bits[0] == pytest.approx(1e9)


def test_words_hold_groups_of_four_rows_column_by_column() -> None:
    layer = quantise(np.eye(4), np.zeros(4), np.ones(4))
    low, high = layer.words & 0xFFFF, layer.words >> 16
    one = layer.weights[0, 0]
    assert list(low) == [one, 0, 0, 0, 0, 0, one, 0]
    assert list(high) == [0, one, 0, 0, 0, 0, 0, one]


def test_what_was_never_seen_to_move_takes_the_coarsest_scale_and_still_works() -> None:
    scale = input_scale(np.array([0.0, 1.0, 100.0]))
    assert scale[0] == scale[2] < scale[1]
    assert np.isfinite(input_scale(np.zeros(3))).all()
