import sys
from pathlib import Path

import pytest

from robostack.export.firmware import firmware_source, generate_firmware

sys.path.insert(0, str(Path(__file__).parents[1] / "boards"))

from tiny import firmware  # noqa: F401


@pytest.fixture(scope="session")
def source():
    return firmware_source()


@pytest.fixture(scope="session")
def policy(_trained_quadrotor):
    """The C generated from a quadrotor's policy: every kind of rung, of feature and of kernel that one has."""
    return _trained_quadrotor / "exported" / "firmware" / "generated"


@pytest.fixture(scope="session")
def swappable(_trained_quadrotor, tmp_path_factory):
    """The same, generated for hot swap."""
    generated = tmp_path_factory.mktemp("hot_swap") / "generated"
    generate_firmware(_trained_quadrotor / "exported" / "policy.onnx", generated, hot_swap=True)
    return generated
