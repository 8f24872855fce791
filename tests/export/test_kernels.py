"""The C kernels themselves, bound by ctypes."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

from robostack.export.firmware import firmware_source
from robostack.export.host import WARNINGS, compile_c
from robostack.export.program import pack

FLOATS = ctypes.POINTER(ctypes.c_float)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    library = tmp_path_factory.mktemp("kernels") / "kernels.so"
    source = firmware_source() / "policy" / "kernels.c"
    compile_c(["cc", *WARNINGS, "-O2", "-ffp-contract=off", "-shared", "-fPIC", source, "-o", library], "kernels")
    return ctypes.CDLL(str(library))


def unary(kernels: ctypes.CDLL, name: str, x: np.ndarray) -> np.ndarray:
    x = np.ascontiguousarray(x, np.float32)
    y = np.empty_like(x)
    getattr(kernels, name)(x.ctypes.data_as(FLOATS), y.ctypes.data_as(FLOATS), ctypes.c_uint32(x.size))
    return y


GRID = np.linspace(-12, 12, 1_200_001).astype(np.float32)


def test_tanh_is_within_two_millionths_odd_and_never_beyond_one(kernels: ctypes.CDLL) -> None:
    y = unary(kernels, "rs_tanh", GRID)
    assert np.abs(y - np.tanh(GRID.astype(np.float64))).max() <= 2e-6
    assert np.array_equal(y, -unary(kernels, "rs_tanh", -GRID))
    assert np.abs(y).max() <= 1.0


def test_tanh_rises_up_to_rounding_and_has_no_step_where_it_is_held(kernels: ctypes.CDLL) -> None:
    assert np.diff(unary(kernels, "rs_tanh", GRID)).min() >= -1e-6
    at = np.float32([7.0])
    around = np.concatenate([np.nextafter(at, np.float32(0)), at, np.nextafter(at, np.float32(9)), [np.inf]])
    assert np.ptp(unary(kernels, "rs_tanh", around)) <= 1e-6


def test_sigmoid_is_within_a_millionth(kernels: ctypes.CDLL) -> None:
    exact = 1 / (1 + np.exp(-GRID.astype(np.float64)))
    assert np.abs(unary(kernels, "rs_sigmoid", GRID) - exact).max() <= 1e-6


def test_nan_and_infinity_come_out_as_they_should(kernels: ctypes.CDLL) -> None:
    odd = np.float32([np.nan, np.inf, -np.inf])
    for name, at_infinity in (("rs_tanh", (1, -1)), ("rs_sigmoid", (1, 0))):
        y = unary(kernels, name, odd)
        assert np.isnan(y[0])
        assert np.allclose(y[1:], at_infinity, atol=2e-6)
    assert np.isnan(unary(kernels, "rs_sqrt", np.float32([np.nan, -1.0]))).all()


def test_sqrt_is_correctly_rounded(kernels: ctypes.CDLL) -> None:
    x = np.exp(np.random.default_rng(0).uniform(-80, 80, 10_000)).astype(np.float32)
    assert np.array_equal(unary(kernels, "rs_sqrt", x), np.sqrt(x))


def test_clip_lets_nan_pass(kernels: ctypes.CDLL) -> None:
    x = np.float32([np.nan, -np.inf, -1.0, 0.5, np.inf])
    y = np.empty_like(x)
    limits = ctypes.c_float(-0.5), ctypes.c_float(0.75)
    kernels.rs_clip(x.ctypes.data_as(FLOATS), *limits, y.ctypes.data_as(FLOATS), ctypes.c_uint32(x.size))
    assert np.array_equal(y, np.float32([np.nan, -0.5, -0.5, 0.5, 0.75]), equal_nan=True)


@pytest.mark.parametrize("inputs", [1, 2, 7, 64])
def test_dense_sums_in_the_stated_order_whatever_the_number_of_rows(kernels: ctypes.CDLL, inputs: int) -> None:
    random = np.random.default_rng(inputs)
    for rows in range(1, 30):
        weights = random.normal(size=(rows, inputs)).astype(np.float32)
        bias, x = random.normal(size=rows).astype(np.float32), random.normal(size=inputs).astype(np.float32)
        wanted = bias.copy()
        for i in range(inputs):
            wanted = wanted + weights[:, i] * x[i]
        packed, y = pack(weights), np.empty(rows, np.float32)
        pointers = [a.ctypes.data_as(FLOATS) for a in (packed, bias, x)]
        sizes = ctypes.c_uint32(inputs), y.ctypes.data_as(FLOATS), ctypes.c_uint32(rows)
        kernels.rs_dense(*pointers, *sizes)
        assert np.array_equal(y, wanted)


def test_fast_math_is_refused_by_the_source_itself(tmp_path: Path) -> None:
    source = firmware_source() / "policy" / "kernels.c"
    command = ["cc", "-O2", "-ffast-math", "-c", str(source), "-o", str(tmp_path / "k.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "the policy would not be the one that was verified" in done.stderr
