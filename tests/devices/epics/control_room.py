"""Reads and sets PVs by lines of JSON, in a process and a libca of its own: what operators and other programs do.

["PV"] -> its value         {"PV": value, ...} -> true, once all of these puts are done
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from typing import Any

import epics

from robostack_real.devices.epics.channel_access import repeater


def main() -> None:
    repeater()
    pvs: dict[str, Any] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        for name in asked:
            if name not in pvs:
                pvs[name] = epics.PV(name, auto_monitor=False)
        answer = None
        for _ in range(60):  # while they are away
            with suppress(
                epics.ca.ChannelAccessException, epics.ca.ChannelAccessGetFailure, epics.ca.CASeverityException
            ):
                if all([pvs[name].wait_for_connection(1.0) for name in asked]):
                    answer = put(pvs, asked) if isinstance(asked, dict) else pvs[asked[0]].get(use_monitor=False)
            if answer is not None:
                break
        print(json.dumps(answer), flush=True)


def put(pvs: dict[str, Any], values: dict[str, Any]) -> bool | None:
    """All at once. None: not all of them are done in time."""
    for name, value in values.items():
        pvs[name].put(value, use_complete=True)
    until = time.monotonic() + 5.0
    while not all(pvs[name].put_complete for name in values):
        if time.monotonic() > until:
            return None
        epics.ca.poll(0.001, 1.0)
    return True


if __name__ == "__main__":
    main()
