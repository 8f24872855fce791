import sys
from pathlib import Path

import pytest

from robostack.export.firmware import firmware_source

sys.path.insert(0, str(Path(__file__).parents[1] / "boards"))

from tiny import firmware  # noqa: F401


@pytest.fixture(scope="session")
def source():
    return firmware_source()


@pytest.fixture(scope="session")
def policy(_trained_quadrotor):
    """The C generated from a quadrotor's policy: every kind of rung, of feature and of kernel that one has."""
    return _trained_quadrotor / "exported" / "firmware" / "generated"
