"""The contract as C says what the spec says, and refuses what C cannot hold."""

import math
import re

import numpy as np
import pytest

from robostack.export.contract_c import contract_table
from robostack.spec import Channel, ContractError, SelfTest, State

HASH = "0f" * 32


def floats_of(text: str, name: str) -> list[float]:
    body = re.search(rf"static const float {name}\[\] = {{(.*?)}}", text)[1]
    return [float.fromhex(v.strip().removesuffix("f")) for v in body.split(",")]


def test_floats_are_the_nearest_32_bits(quadrotor_spec):
    spec = quadrotor_spec.model_copy(update={"state": State(reset=(0.1, -1 / 3, 0.0))})
    assert floats_of(contract_table(spec, HASH), "state_reset") == np.float32([0.1, -1 / 3, 0.0]).tolist()


def test_digests_are_in_the_table(quadrotor_spec):
    text = contract_table(quadrotor_spec, HASH)
    interface = ", ".join(f"0x{b:02x}" for b in bytes.fromhex(quadrotor_spec.interface_hash))
    assert f"interface_hash[] = {{{interface}}}" in text
    assert "policy_hash[] = {0x0f, 0x0f," in text


@pytest.mark.parametrize("digits", ["", "0f", "zz" * 32, "0f" * 33])
def test_a_wrong_policy_hash_is_refused(quadrotor_spec, digits):
    with pytest.raises(ContractError, match="policy_hash"):
        contract_table(quadrotor_spec, digits)


def test_a_limit_beyond_32_bits_is_refused_by_name(quadrotor_spec):
    wide = Channel(name="wide", shape=(1,), low=(-1e300,), high=(1.0,))
    observations = (*quadrotor_spec.observations, wide)
    spec = quadrotor_spec.model_copy(update={"observations": observations})
    with pytest.raises(ContractError, match=r"observations\.wide\.low"):
        contract_table(spec, HASH)


def test_more_held_periods_than_the_firmware_counts_are_refused(quadrotor_spec):
    patient = Channel(name="patient", shape=(1,), hold_periods=65536)
    spec = quadrotor_spec.model_copy(update={"observations": (*quadrotor_spec.observations, patient)})
    with pytest.raises(ContractError, match=r"patient\.hold_periods: 65536"):
        contract_table(spec, HASH)


def test_self_test_rows_of_a_wrong_length_are_refused(quadrotor_spec):
    test = SelfTest(inputs=((0.0,) * 3,), outputs=((0.0,) * 4,))
    with pytest.raises(ContractError, match=r"self_test\.inputs: 1 rows of \[3\] values; need 1 of 20"):
        contract_table(quadrotor_spec.model_copy(update={"self_test": test}), HASH)


def test_the_tumble_limit_is_a_cosine(quadrotor_spec):
    tilt = quadrotor_spec.envelope.tumble.max_tilt_rad
    assert f".tumble_cos = {float(np.float32(math.cos(tilt))).hex()}f" in contract_table(quadrotor_spec, HASH)
