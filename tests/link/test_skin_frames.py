"""Claims: frames without header and checksum are found wherever they begin, and nothing is ever read that none sent."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from robostack_real.link.skin_frames import END, SkinDecoder

SIZE = 82
ENDS = np.frombuffer(b"\x01\r\nA\r\nzB\x80\r\n\xc1\r\n\r\xc2\n\r\nD", "<f4")
"""fields of 8 to 560 uT whose bytes hold CR LF"""


def frame(seed: int, ends: float) -> np.ndarray:
    """(5, 4), a share `ends` of its fields from ENDS"""
    random = np.random.default_rng(seed)
    fields = np.where(random.random(15) < ends, random.choice(ENDS, 15), 0.15 * random.integers(-32767, 32768, 15))
    return np.column_stack([random.uniform(15.0, 45.0, 5), fields.reshape(5, 3)]).astype("<f4")


def frames(ends: float = 0.4) -> st.SearchStrategy[np.ndarray]:
    return st.integers(0, 2**32 - 1).map(lambda seed: frame(seed, ends))


def wire(sent: list[np.ndarray]) -> bytes:
    return b"".join(f.tobytes() + END for f in sent)


def read(stream: bytes, cuts: list[int], decoder: SkinDecoder | None = None) -> list[bytes]:
    decoder = decoder or SkinDecoder()
    places = sorted({0, len(stream), *(c % (len(stream) + 1) for c in cuts)})
    return [f.tobytes() for a, b in pairwise(places) for f in decoder.feed(stream[a:b])]


@settings(max_examples=60, deadline=None)
@given(sent=st.lists(frames(), min_size=2, max_size=6), cuts=st.lists(st.integers(0, 10_000), max_size=12))
def test_every_frame_behind_a_first_end_comes_out_however_the_stream_is_cut(sent, cuts):
    decoder = SkinDecoder()
    assert read(wire(sent), cuts, decoder) == [f.tobytes() for f in sent[1:]]
    assert decoder.dropped == 0


@settings(max_examples=60, deadline=None)
@given(
    first=frames(), start=st.integers(0, SIZE - 2), noise=st.binary(max_size=400), times=st.integers(1, 5),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
)  # fmt: skip
def test_it_finds_its_place_in_a_skin_that_stands_still_with_cr_lf_inside_its_numbers(first, start, noise, times, cuts):
    first[2, 1:] = ENDS[:3]
    stream = noise + wire([first])[start:] + wire([first] * times)
    assert read(stream, cuts) == [first.tobytes()] * times


@settings(max_examples=100, deadline=None)
@given(
    sent=st.lists(frames(0.0), min_size=8, max_size=12), at=st.integers(2 * SIZE, 4 * SIZE),
    lost=st.integers(1, SIZE - 1), cuts=st.lists(st.integers(0, 10_000), max_size=12),
)  # fmt: skip
def test_a_piece_that_is_lost_costs_the_frames_it_touched_and_is_counted(sent, at, lost, cuts):
    clean, decoder = wire(sent), SkinDecoder()
    assume(clean[at - 1 : at] + clean[at + lost : at + lost + 1] != b"\r\n")  # the cut makes an end by chance
    found = read(clean[:at] + clean[at + lost :], cuts, decoder)
    names = [f.tobytes() for f in sent]
    whole, after = at // SIZE, -(-(at + lost) // SIZE)
    if (at + lost) % SIZE in (0, SIZE - 1):  # its CR is gone too, behind which the next would stand
        after += 1
    assert found == names[1:whole] + names[after:]
    assert 1 <= decoder.dropped <= 2


@settings(max_examples=60, deadline=None)
@given(
    sent=st.lists(frames(), min_size=6, max_size=8), at=st.integers(2 * SIZE, 3 * SIZE),
    noise=st.binary(min_size=1, max_size=300), cuts=st.lists(st.integers(0, 10_000), max_size=12),
)  # fmt: skip
def test_noise_in_between_is_never_read_as_a_frame(sent, at, noise, cuts):
    clean, decoder = wire(sent), SkinDecoder()
    found = read(clean[:at] + noise + clean[at:], cuts, decoder)
    names = [f.tobytes() for f in sent]
    assert found[: at // SIZE - 1] == names[1 : at // SIZE]
    assert found[-2:] == names[-2:] and set(found) <= set(names)
    assert decoder.dropped >= 1


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9, 1e-20])
def test_a_number_that_no_magnetometer_says_drops_its_frame_alone(value):
    sent = [np.full((5, 4), 20.0 + k, "<f4") for k in range(6)]
    spoiled = [f.copy() for f in sent]
    spoiled[2][3, 1] = value
    decoder = SkinDecoder()
    assert read(wire(spoiled), [], decoder) == [sent[k].tobytes() for k in (1, 3, 4, 5)]
    assert decoder.dropped == 1


def test_text_is_no_frame_and_is_not_kept():
    decoder = SkinDecoder()
    assert decoder.feed(b"25.10 -13.20 45.75 99.10\r\n" * 1000) == []
    assert len(decoder._kept) < SIZE and decoder.dropped == 0
