"""Claims: what a policy is told that is no trajectory is given by element, and what there is not is refused by name."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

from robostack.spec import Channel, ContractError
from robostack_real.nodes.setpoint_node import constants

TOLD = (
    Channel(name="target_orbit", shape=(2,), elements=("bpm_1_x", "bpm_1_y"), unit="m", low=(-0.04,), high=(0.04,)),
    Channel(name="mode", shape=(1,), low=(0.0,), high=(1.0,)),
)


def test_elements_are_put_into_their_channels_and_the_others_are_zero() -> None:
    found = constants("bpm_1_y=-0.001, mode_0=1", TOLD)
    assert {n: v.tolist() for n, v in found.items()} == {"target_orbit": [0.0, -0.001], "mode": [1.0]}
    assert not any(v.any() for v in constants("", TOLD).values())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bpm_9_x=0.001", "'bpm_9_x' is no element; there are bpm_1_x, bpm_1_y, mode_0"),
        ("bpm_1_x=1.0", r"bpm_1_x=1.0: needs a number in \[-0.04, 0.04\] m"),
        ("bpm_1_x=nan", "bpm_1_x=nan: needs a number"),
        ("bpm_1_x", "bpm_1_x: needs a number"),
    ],
)
def test_what_cannot_be_told_is_refused(text: str, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        constants(text, TOLD)
