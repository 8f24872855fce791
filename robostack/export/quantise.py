"""A dense layer in integers: int16 weights and inputs, 32-bit sums that cannot overflow.

Element c of the input is q[c] / scale[c]; row r of the weights, over it, is w[r, c] 2^-k, with a k for each group of
four rows that the kernel computes together. A sum is then in units of 2^-k; shifted right by s it is in units of
2^-(k - s), and the bias, in these units, is added.
Rounding is to the nearest, of weights and biases with halves to even.

The sum is the bound: |q| <= 32767, so a row whose |w| add up to 65535 at most stays below 2^31 whatever comes in, also
half way through, and with half a unit of a shift up to 15 added. For layers of 64 that leaves weights of 12 bits and
more; wider sums make the port no more exact (measured), because its inputs and its tanh are what errs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LARGEST = 32767
LARGEST_ROW = 65535
LARGEST_SHIFT = 15
ONE = 2.0**15
"""What tanh and sigmoid give is in units of 2^-15."""
SUM_BITS = 17
"""What they take is in units of 2^-17."""
HEADROOM = 1.5
"""An input saturates at this many times the largest magnitude seen."""
GROUP = 4
"""The kernel computes rows in groups of four; missing ones are zero."""


@dataclass(frozen=True)
class Layer:
    """A quantised dense layer; R rows filled up to a multiple of four, C columns to a multiple of two."""

    weights: np.ndarray
    """(R, C) int64 within int16"""
    bias: np.ndarray
    """(R,) int64 within int32"""
    shift: np.ndarray
    """(R / 4,) 0 to 15"""
    sum_bits: np.ndarray
    """(R / 4,) b: a result is in units of 2^-b"""

    @property
    def for_activation(self) -> bool:
        """Are the results what tanh and sigmoid take?"""
        return bool((self.sum_bits == SUM_BITS).all())

    @property
    def words(self) -> np.ndarray:
        """uint32 pairs, the even column in the low half: groups of four rows, column by column."""
        pairs = (self.weights[:, 0::2] & 0xFFFF) | (self.weights[:, 1::2] & 0xFFFF) << 16
        return pairs.reshape(-1, GROUP, pairs.shape[1]).transpose(0, 2, 1).reshape(-1).astype(np.uint32)


def input_scale(ranges: np.ndarray) -> np.ndarray:
    """(C,) largest magnitudes seen -> (C,) float32. An element that was never seen to move takes the coarsest."""
    seen = np.where(ranges > 0, ranges, ranges.max() or 1.0)
    return np.clip(LARGEST / (HEADROOM * seen), 1e-18, 1e18).astype(np.float32)


def quantise(weights: np.ndarray, bias: np.ndarray, scale: np.ndarray) -> Layer:
    """(rows, columns) weights and (rows,) bias over an input of `scale` -> its results in units of 2^-17 where all rows
    can have them, else as fine as they come."""
    rows, columns = weights.shape
    scaled = np.zeros((-(-rows // GROUP) * GROUP, columns + columns % 2))
    scaled[:rows, :columns] = np.asarray(weights, np.float64) / scale
    offset = np.zeros(len(scaled))
    offset[:rows] = bias
    magnitude = np.abs(scaled) + 1e-300
    # half a unit a column is what rounding may add to a row's sum; a bias must fit in 2^30 at the largest shift
    room = np.minimum(LARGEST / magnitude.max(1), (LARGEST_ROW - 0.5 * columns) / magnitude.sum(1))
    room = np.minimum(room, 2.0 ** (30 + LARGEST_SHIFT) / (np.abs(offset) + 1e-200))
    room = np.clip(room, 2.0**-60, 2.0 ** (SUM_BITS + LARGEST_SHIFT)).reshape(-1, GROUP).min(1)
    k = np.floor(np.log2(room)).astype(int)
    whole = np.rint(scaled * np.exp2(k).repeat(GROUP)[:, None]).astype(np.int64)
    reach = np.abs(whole).sum(1).reshape(-1, GROUP).max(1) * LARGEST
    heaviest = np.abs(offset).reshape(-1, GROUP).max(1)
    shift = k - SUM_BITS
    if not _fits(reach, heaviest, k, shift).all():
        fits = np.array([_fits(reach, heaviest, k, np.full_like(k, s)) for s in range(LARGEST_SHIFT + 1)])
        assert fits.any(0).all()
        shift = fits.argmax(0)
    held = np.rint(offset * np.exp2(k - shift).repeat(GROUP)).astype(np.int64)
    assert np.abs(whole).max() <= LARGEST
    assert np.abs(whole).sum(1).max() <= LARGEST_ROW
    return Layer(whole, held, shift, k - shift)


def _fits(reach: np.ndarray, bias: np.ndarray, k: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """By group: is the shift one, and does no result leave 32 bits?"""
    s = np.clip(shift, 0, LARGEST_SHIFT)
    return (s == shift) & ((reach >> s) + 2 + np.abs(bias) * np.exp2(k - s) < 2.0**31)
