"""The integer kernels themselves, bound by ctypes: the portable twin of what a Cortex-M4F computes with SMLAD."""

import ctypes
import re

import numpy as np
import pytest

from robostack.export.firmware import firmware_source
from robostack.export.host import WARNINGS, compile_c
from robostack.export.quantise import LARGEST, LARGEST_ROW, LARGEST_SHIFT, Layer

UNIT, TAKEN = 2.0**15, 2.0**17
FLOATS, WORDS = ctypes.POINTER(ctypes.c_float), ctypes.POINTER(ctypes.c_uint32)
INTS, BYTES = ctypes.POINTER(ctypes.c_int32), ctypes.POINTER(ctypes.c_uint8)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    library = tmp_path_factory.mktemp("kernels") / "kernels_int16.so"
    source = firmware_source() / "policy" / "kernels_int16.c"
    sanitize = ("-fsanitize=undefined", "-fno-sanitize-recover=all")  # a signed sum that wraps ends the test run
    command = ["cc", *WARNINGS, *sanitize, "-O2", "-ffp-contract=off", "-shared", "-fPIC", source, "-o", library]
    compile_c(command, "kernels")
    found = ctypes.CDLL(str(library))
    found.rs_quantise.restype = found.rs_preactivation.restype = ctypes.c_float
    return found


def pointer(values: np.ndarray, kind: type) -> object:
    return values.ctypes.data_as(kind)


def halves(pairs: np.ndarray) -> np.ndarray:
    return np.stack([pairs & 0xFFFF, pairs >> 16], 1).reshape(-1).astype(np.uint16).view(np.int16).astype(int)


def activation(kernels: ctypes.CDLL, name: str, x: np.ndarray) -> np.ndarray:
    y = np.empty(len(x) // 2, np.uint32)
    getattr(kernels, name)(pointer(x, INTS), pointer(y, WORDS), ctypes.c_uint32(len(x)))
    return halves(y)


def quantise(kernels: ctypes.CDLL, x: np.ndarray, scale: float = 1.0) -> tuple[np.ndarray, float]:
    x, by = np.float32(x), np.full(len(x), scale, np.float32)
    y = np.full(-(-len(x) // 2), 0xAAAAAAAA, np.uint32)
    lost = kernels.rs_quantise(pointer(x, FLOATS), pointer(by, FLOATS), pointer(y, WORDS), ctypes.c_uint32(len(x)))
    return halves(y), lost


ALL = np.arange(-8 * 2**17, 8 * 2**17, dtype=np.int32)
EXTREMES = np.array([-(2**31), 2**31 - 1, -(2**31) + 1, 0], np.int32)


@pytest.mark.parametrize("name", ["rs_tanh_int16", "rs_sigmoid_int16"])
def test_tanh_and_sigmoid_are_within_three_units_for_every_argument_and_never_leave_int16(
    kernels: ctypes.CDLL, name: str
) -> None:
    exact = np.tanh if name == "rs_tanh_int16" else lambda x: 0.5 + 0.5 * np.tanh(0.5 * x)
    for x in (ALL, EXTREMES):
        y = activation(kernels, name, x)
        assert np.abs(y - UNIT * exact(x / TAKEN)).max() <= 2.6
        assert np.abs(y).max() <= LARGEST


def test_tanh_is_odd_and_never_falls(kernels: ctypes.CDLL) -> None:
    y = activation(kernels, "rs_tanh_int16", ALL)
    assert np.diff(y).min() >= 0
    assert np.array_equal(y[1:], -activation(kernels, "rs_tanh_int16", -ALL)[1:])


def test_the_table_is_what_its_comment_says() -> None:
    text = (firmware_source() / "policy" / "tanh_table.h").read_text()
    table = [int(v) for v in re.findall(r"\d+", text[text.index("= {") :])]
    t = np.tanh(np.arange(len(table)) / 32)
    raised = np.rint(UNIT * (t + t * (1 - t * t) / 32**2 / 8))
    assert np.array_equal(table, np.minimum(raised, LARGEST))


def test_an_input_saturates_rounds_to_the_nearest_and_fills_an_odd_pair_with_zero(kernels: ctypes.CDLL) -> None:
    y, lost = quantise(kernels, np.array([1e9, -1e9, 2.5, -2.5, 0.49, 32766.6, -32766.6]))
    assert list(y) == [LARGEST, -LARGEST, 3, -2, 0, LARGEST, -LARGEST, 0]
    assert lost == 0


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_no_finite_number_is_reported(kernels: ctypes.CDLL, odd: float) -> None:
    assert np.isnan(quantise(kernels, np.array([1.0, odd, 2.0]))[1])
    x, y = np.float32([0.5, odd]), np.zeros(2, np.int32)
    assert np.isnan(kernels.rs_preactivation(pointer(x, FLOATS), pointer(y, INTS), ctypes.c_uint32(2)))


def dense(kernels: ctypes.CDLL, layer: Layer, x: np.ndarray) -> np.ndarray:
    rows, columns = layer.weights.shape
    pairs = ((x[0::2] & 0xFFFF) | (x[1::2] & 0xFFFF) << 16).astype(np.uint32)
    bias, shift, y = layer.bias.astype(np.int32), layer.shift.astype(np.uint8), np.empty(rows, np.int32)
    tables = (pointer(layer.words, WORDS), pointer(bias, INTS), pointer(shift, BYTES), pointer(pairs, WORDS))
    kernels.rs_dense_int16(*tables, ctypes.c_uint32(columns // 2), pointer(y, INTS), ctypes.c_uint32(rows))
    return y


def exact(layer: Layer, x: np.ndarray) -> np.ndarray:
    shift = layer.shift.repeat(4)
    return layer.bias + ((layer.weights @ x + ((1 << shift) >> 1)) >> shift)


@pytest.mark.parametrize("columns", [2, 6, 8, 36, 64])
def test_dense_computes_every_sum_exactly(kernels: ctypes.CDLL, columns: int) -> None:
    random = np.random.default_rng(columns)
    for rows in (4, 8, 64):
        weights = random.integers(-LARGEST_ROW // columns, LARGEST_ROW // columns, (rows, columns))
        shift = random.integers(0, LARGEST_SHIFT + 1, rows // 4)
        layer = Layer(np.clip(weights, -LARGEST, LARGEST), random.integers(-1000, 1000, rows), shift, shift)
        x = random.integers(-LARGEST, LARGEST + 1, columns)
        assert np.array_equal(dense(kernels, layer, x), exact(layer, x))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("shift", [0, LARGEST_SHIFT])
def test_the_largest_row_on_the_largest_inputs_does_not_wrap(kernels: ctypes.CDLL, sign: int, shift: int) -> None:
    weights = np.zeros((4, 64), int)
    weights[:, :3] = LARGEST, LARGEST, 1
    assert np.abs(weights).sum(1).max() == LARGEST_ROW
    layer = Layer(weights, np.zeros(4, int), np.array([shift]), np.array([shift]))
    x = np.full(64, sign * LARGEST)
    assert np.array_equal(dense(kernels, layer, x), exact(layer, x))
