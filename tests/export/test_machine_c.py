"""What firmware must know of the machine beyond the contract reaches it through policy.onnx, to the bit."""

import re
from pathlib import Path

import numpy as np
import pytest

from robostack.export.machine_c import machine_header
from robostack.spec import ContractError


def numbers_of(text: str, name: str) -> list[float]:
    body = re.search(rf"#define RS_MACHINE_{name} (.*)", text)[1]
    return [float.fromhex(v.strip("{} ").removesuffix("f")) for v in body.split(",")]


def test_numbers_and_lists_become_macros_of_the_nearest_32_bits():
    text = machine_header({"machine": {"mass": 0.027, "thrust_curve": [0.0, 1e-5, 2.881558e-8], "rotors": 4}})
    assert numbers_of(text, "MASS") == np.float32([0.027]).tolist() and numbers_of(text, "ROTORS") == [4.0]
    assert numbers_of(text, "THRUST_CURVE") == np.float32([0.0, 1e-5, 2.881558e-8]).tolist()
    assert "#define RS_MACHINE_MASS 0x" in text and "#define RS_MACHINE_THRUST_CURVE {" in text


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ("heavy", "provenance.machine: 'heavy' is no table"),
        ({"mass": "0.027 kg"}, "provenance.machine.mass: '0.027 kg' is no number"),
        ({"mass": True}, "is no number"),
        ({"mass": 1e300}, "does not fit 32-bit floats"),
        ({"mass 1\n#error": 1.0}, "not a name in lower case"),
    ],
)
def test_what_is_no_number_is_refused_by_name(machine, message):
    with pytest.raises(ContractError, match=re.escape(message)):
        machine_header({"machine": machine})


def test_a_policy_that_tells_nothing_of_its_machine_still_becomes_c():
    assert "#define RS_MACHINE_H\n" in machine_header({})


def test_a_quadrotors_export_has_its_vehicles_thrust_curve(quadrotor_run: Path):
    text = (quadrotor_run / "exported" / "firmware" / "generated" / "machine.h").read_text()
    assert numbers_of(text, "THRUST_CURVE") == np.float32([0.0, 0.0, 2.881558e-8]).tolist()
