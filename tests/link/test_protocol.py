"""What the Python parsers refuse, and how the handshake refuses."""

import struct

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from robostack.spec import ContractError
from robostack_real.link.errors import ProtocolError
from robostack_real.link.protocol import VERSION, Actuation, Identity, Message, SelfTestResult, Type, observe_payload

RAMP = tiny.SPEC.envelope.fallback[0]
OTHER_SPECS = {
    "timing": {"control_dt_s": 0.02},
    "observations": {"observations": tiny.SPEC.observations[::-1]},
    "actions": {"actions": (tiny.SPEC.actions[0].model_copy(update={"unit": "kN"}),)},
    "state": {"state": tiny.SPEC.state.model_copy(update={"reset": (0.0, 0.0)})},
    "envelope": {"envelope": {"fallback": (RAMP.model_copy(update={"rate_per_s": (1.0, 1.0)}),)}},
}


def spec_with(changes):
    return tiny.PolicySpec(**{**tiny.SPEC.model_dump(), "self_test": None, **changes})


def test_a_board_with_the_same_policy_passes_the_handshake(bench):
    assert bench.check(tiny.SPEC, tiny.POLICY_HASH).task == "tiny"
    bench.observe(np.zeros(5))
    bench.arm()
    assert bench.identify().armed


@pytest.mark.parametrize("section", OTHER_SPECS)
def test_the_handshake_names_the_section_that_differs_both_values_and_the_remedy(bench, section):
    other = spec_with(OTHER_SPECS[section])
    with pytest.raises(ContractError) as refusal:
        bench.check(other, tiny.POLICY_HASH)
    text = str(refusal.value)
    assert text.startswith(f"{section}: ")
    for spec in (other, tiny.SPEC):
        assert spec.section_digests()[section][:12] in text
    assert "flash bench with firmware generated from it" in text


def test_the_handshake_says_the_numbers_it_knows(bench):
    with pytest.raises(ContractError, match=r"control_dt_s 0\.02 and 0\.01"):
        bench.check(spec_with(OTHER_SPECS["timing"]), tiny.POLICY_HASH)


def test_the_handshake_refuses_other_weights_under_the_same_interface(bench):
    with pytest.raises(ContractError, match=r"policy_hash: the policy has 111111111111, .* has c0c0c0c0c0c0"):
        bench.check(tiny.SPEC, "11" * 32)


def test_a_board_that_was_not_checked_is_not_armed(bench):
    with pytest.raises(ContractError, match="unchecked"):
        bench.arm()


@given(data=st.binary(max_size=400))
def test_parsers_refuse_anything_else_with_a_protocol_error(data):
    for parse in (
        Message.parse,
        Identity.parse,
        lambda d: Actuation.parse(Message(Type.ACTUATE, 0, d), 2, 0),
        lambda d: SelfTestResult.parse(d, 4),
    ):
        try:
            parse(data)
        except ProtocolError:
            continue


def test_a_board_of_another_protocol_version_is_named(bench):
    with pytest.raises(ProtocolError, match=f"the board speaks protocol 9, this robostack {VERSION}: flash firmware"):
        Identity.parse(b"\x09" + bytes(300))


@pytest.mark.parametrize(("at", "value", "what"), [(15, 99, "trip reason 99")])
def test_numbers_out_of_range_are_refused(at, value, what):
    payload = bytearray(struct.pack("<IIHHHBBB", 0, 0, 0, 0, 0, 0, 0, 255) + bytes(8))
    payload[at] = value
    with pytest.raises(ProtocolError, match=what):
        Actuation.parse(Message(Type.ACTUATE, 0, bytes(payload)), 2, 0)


@pytest.mark.parametrize(
    ("age_s", "sent"),
    [(0.0, 0), (0.05, 500), (0.05001, 501), (6.5535, 65535), (1e9, 65535), (float("inf"), 65535)],
)
def test_ages_round_up_and_saturate(age_s, sent):
    payload = observe_payload(np.zeros(1, dtype=np.float32), [True], [age_s])
    assert struct.unpack_from("<H", payload, 4) == (sent,)


@pytest.mark.parametrize("age_s", [-1e-3, float("nan")])
def test_an_age_that_cannot_be_is_refused(age_s):
    with pytest.raises(ValueError, match="an age is 0 or more"):
        observe_payload(np.zeros(1, dtype=np.float32), [True], [age_s])


@pytest.mark.parametrize(
    ("values", "fresh"), [(np.zeros(4), None), (np.zeros((1, 5)), None), (np.zeros(5), [True] * 2)]
)
def test_an_observation_of_the_wrong_size_is_refused_before_it_is_sent(bench, values, fresh):
    with pytest.raises(ValueError, match="takes 5 values in 3 channels"):
        bench.observe(values, fresh)
