import hashlib

import pytest
from contracts import QUADROTOR
from ports import CPort, PythonPort


@pytest.fixture(scope="session")
def c_port(tmp_path_factory):
    """Makes a started C port of a spec; each spec is compiled once a session."""
    folder = tmp_path_factory.mktemp("firmware")
    return lambda spec: CPort(spec, folder / hashlib.sha256(spec.canonical_json()).hexdigest())


@pytest.fixture(params=["python", "c"])
def port(request, c_port):
    """Makes a started port of a spec: a claim over this fixture holds for both."""
    return PythonPort if request.param == "python" else c_port


@pytest.fixture
def quadrotor(port):
    return port(QUADROTOR)
