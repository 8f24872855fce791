"""Claims: a margin is all of the way when nothing is near a limit, and 0 where the envelope acts."""

from __future__ import annotations

import numpy as np
import pytest

from robostack.runtime.controller import Controller
from robostack.runtime.margins import margins
from robostack.spec import PolicySpec


class Silent:
    def infer(self, *inputs: object) -> tuple[np.ndarray, None]:
        return np.full(4, 1000.0, np.float32), None


def test_the_oldest_channel_and_the_element_nearest_to_a_limit_count(quadrotor_spec: PolicySpec) -> None:
    controller = Controller(Silent(), quadrotor_spec)
    good = {c.name: np.full(c.shape, 0.5) for c in quadrotor_spec.observations}
    controller.arm()
    action = controller.tick({name: (value, 0.0) for name, value in good.items()})
    found = margins(quadrotor_spec, controller.status, action)
    assert found == pytest.approx({"margin_age": 1.0, "margin_action": 1000 / 2273})
    for _ in range(4):
        controller.tick({name: (value, 0.0) for name, value in good.items() if name != "velocity"})
    assert margins(quadrotor_spec, controller.status, action)["margin_age"] == pytest.approx(1 - 0.04 / 0.05)
    assert not controller.status.tripped
    for _ in range(2):
        controller.tick({})
    at_limit = np.array([0.0, 100.0, 2273.0, 5.0], np.float32)
    found = margins(quadrotor_spec, controller.status, at_limit)
    assert controller.status.tripped and found["margin_age"] < 0.0 and found["margin_action"] == 0.0
