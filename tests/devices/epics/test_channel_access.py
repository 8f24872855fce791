"""Claims: libca has nothing to complain of."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("ours", [True, False])
def test_where_no_repeater_is_installed_ours_runs(spare_port: int, ours: bool) -> None:
    code = f"""
import time, epics
from robostack_real.devices.epics.channel_access import repeater
{"repeater()" if ours else ""}
epics.PV("NOBODY:Here")
time.sleep(0.3)
"""
    environment = {**os.environ, "PATH": "/nowhere", "EPICS_CA_REPEATER_PORT": str(spare_port)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ("caRepeater" in done.stderr) is not ours
    assert not ours or not done.stderr
