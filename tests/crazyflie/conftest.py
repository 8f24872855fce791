"""The app with a policy written by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from pilot import Pilot, make_pilot, make_spec, write_generated

from robostack.spec import PolicySpec
from robostack_real.twins.crazyflie_app import build_app


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, need_tool: Callable[..., str]) -> Callable[..., Path]:
    """Builds the app around a changed contract, each once a session."""
    need_tool("cc")

    @functools.cache
    def build(spec_json: bytes) -> Path:
        folder = tmp_path_factory.mktemp("app")
        spec = PolicySpec.from_json(spec_json)
        return build_app(write_generated(folder / "generated", spec), folder, ("-O0",))

    return lambda **changes: build(make_spec(**changes).canonical_json())


@pytest.fixture
def pilot(library: Callable[..., Path]) -> Pilot:
    """In the air under the stock controller, nothing in the policy's way."""
    pilot = make_pilot(library())
    pilot.step(25)
    return pilot
