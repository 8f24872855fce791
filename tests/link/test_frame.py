"""One codec, two languages: the same bytes both ways."""

import zlib

import pytest
from bench import CFrames
from hypothesis import given, settings
from hypothesis import strategies as st

from robostack_real.link.frame import Decoder, encode, frame_size

MAX_MESSAGE = 600
messages = st.one_of(
    st.binary(max_size=MAX_MESSAGE),
    st.lists(st.integers(1, 255), max_size=MAX_MESSAGE).map(bytes),  # no zeros: long COBS blocks
    st.sampled_from([253, 254, 255, 508]).map(lambda n: b"\x07" * n + b"\0\x07"),  # a zero behind a full block
    st.sampled_from([249, 250, 251, 253, 254, 255, 504, 505, 508, 509]).map(lambda n: b"\x07" * n),
)
damage = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6)


@given(message=messages)
def test_both_encoders_write_the_same_bytes(c_link, message):
    frame = encode(message)
    assert CFrames(c_link, MAX_MESSAGE).encode(message) == frame
    assert CFrames(c_link, MAX_MESSAGE).encode_in_place(message) == frame
    assert len(frame) <= frame_size(len(message))
    assert frame[0] == frame[-1] == 0
    assert 0 not in frame[1:-1]


@given(sent=st.lists(messages, max_size=4), cut=st.integers(1, 64))
def test_both_decoders_read_what_was_sent_in_pieces_of_any_size(c_link, sent, cut):
    stream = b"".join(map(encode, sent))
    decoder = Decoder(MAX_MESSAGE)
    pieces = [stream[i : i + cut] for i in range(0, len(stream), cut)]
    assert [m for piece in pieces for m in decoder.feed(piece)] == sent
    assert CFrames(c_link, MAX_MESSAGE).feed(stream) == sent


@settings(max_examples=300)
@given(noise=st.binary(max_size=1500), sent=st.lists(messages, max_size=3), damage=damage)
def test_both_decoders_agree_on_damaged_streams_and_find_their_place_again(c_link, noise, sent, damage):
    stream = bytearray(noise + b"".join(map(encode, sent)))
    for at, value in damage:
        if stream:
            stream[at % len(stream)] = value
    python, c = Decoder(MAX_MESSAGE), CFrames(c_link, MAX_MESSAGE)
    last = b"the frame after the damage"
    stream += encode(last)
    found = python.feed(bytes(stream))
    assert found[-1] == last
    assert c.feed(bytes(stream)) == found
    assert c.errors == (python.crc_errors, python.length_errors)


@given(message=st.binary(min_size=1, max_size=100), bit=st.integers(0, 10_000))
def test_a_flipped_bit_never_passes(c_link, message, bit):
    frame = bytearray(encode(message))
    at = 1 + bit // 8 % (len(frame) - 2)
    frame[at] ^= 1 << bit % 8
    assert message not in Decoder().feed(bytes(frame))
    assert message not in CFrames(c_link, MAX_MESSAGE).feed(bytes(frame))


def test_the_crc_is_zlibs():
    message = b"123456789"
    assert zlib.crc32(message) == 0xCBF43926  # the check value of CRC-32/ISO-HDLC
    assert encode(message)[2:-1] == message + (0xCBF43926).to_bytes(4, "little")


@pytest.mark.parametrize("size", [MAX_MESSAGE, MAX_MESSAGE + 1, 50 * MAX_MESSAGE])
def test_a_message_longer_than_the_buffer_is_dropped_and_counted(c_link, size):
    stream = encode(b"\x11" * size)
    python, c = Decoder(MAX_MESSAGE), CFrames(c_link, MAX_MESSAGE)
    for i in range(0, len(stream), 100):
        python.feed(stream[i : i + 100])
    c.feed(stream)
    assert c.errors == (python.crc_errors, python.length_errors) == (0, int(size > MAX_MESSAGE))
