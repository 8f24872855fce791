import sys
from pathlib import Path

import pytest
from bench import Bench, compile_library

sys.path.insert(0, str(Path(__file__).parents[1] / "boards"))

import tiny
from tiny import firmware  # noqa: F401


@pytest.fixture(scope="session")
def generated(tmp_path_factory):
    """Where the tiny policy's generated sources lie."""
    return tiny.write_generated(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def c_link(tmp_path_factory, generated):
    """The C link as a library, compiled once a session."""
    tiny.need(tiny.missing_tools("host"), "C compiler")
    return compile_library(tmp_path_factory.mktemp("link"), generated)


@pytest.fixture
def bench(c_link):
    """A board fresh from reset."""
    return Bench(c_link)
