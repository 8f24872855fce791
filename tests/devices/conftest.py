"""A virtual Crazyflie with the app tests' policy, and the real cflib on its radio."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from robostack_real.devices.crazyflie import Crazyflie
from robostack_real.twins.crazyflie import VirtualCrazyflie


def _app_tests() -> Any:
    """tests/crazyflie/conftest.py, which makes the app's policy and compiles it."""
    path = Path(__file__).parents[1] / "crazyflie" / "conftest.py"
    spec = importlib.util.spec_from_file_location("crazyflie_app_fixtures", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


app = _app_tests()
library = app.library


@pytest.fixture
def policy() -> SimpleNamespace:
    """What a flight asks of a LoadedPolicy."""
    return SimpleNamespace(spec=app.make_spec(), policy_hash="c0ffee42" * 8)


@pytest.fixture
def machine(library: Callable[..., Path]) -> Iterator[VirtualCrazyflie]:
    with VirtualCrazyflie(library()) as machine:
        yield machine
        assert machine.failure is None


@pytest.fixture
def crazyflie(machine: VirtualCrazyflie) -> Iterator[Crazyflie]:
    with Crazyflie(machine.uri) as crazyflie:
        yield crazyflie
