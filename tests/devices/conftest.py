"""A virtual Crazyflie with the app tests' policy, and the real cflib on its radio."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from robostack_real.devices.crazyflie import Crazyflie
from robostack_real.twins.crazyflie import VirtualCrazyflie
from robostack_real.twins.crazyflie_app import build_app

sys.path.insert(0, str(Path(__file__).parents[1] / "crazyflie"))

from pilot import make_spec, write_generated


@pytest.fixture
def policy() -> SimpleNamespace:
    """What a flight asks of a LoadedPolicy."""
    return SimpleNamespace(spec=make_spec(), policy_hash="c0ffee42" * 8)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, need_tool: Callable[..., str]) -> Path:
    """The app around tests/crazyflie/policy/infer.c."""
    need_tool("cc")
    folder = tmp_path_factory.mktemp("app")
    return build_app(write_generated(folder / "generated", make_spec()), folder)


@pytest.fixture
def machine(library: Path) -> Iterator[VirtualCrazyflie]:
    with VirtualCrazyflie(library) as machine:
        yield machine
        assert machine.failure is None


@pytest.fixture
def crazyflie(machine: VirtualCrazyflie) -> Iterator[Crazyflie]:
    with Crazyflie(machine.uri) as crazyflie:
        yield crazyflie
