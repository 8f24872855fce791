"""Reads and sets PVs by lines of JSON, in a process and a libca of its own: what operators and other programs do."""

from __future__ import annotations

import json
import sys
from typing import Any

import epics


def main() -> None:
    pvs: dict[str, Any] = {}
    for line in sys.stdin:
        name, *value = json.loads(line)
        if name not in pvs:
            pvs[name] = epics.PV(name, auto_monitor=False)
        answer = None
        for _ in range(20):  # while it is away
            try:
                if pvs[name].wait_for_connection(1.0):
                    answer = (
                        pvs[name].put(value[0], wait=True, timeout=5.0) if value else pvs[name].get(use_monitor=False)
                    )
            except epics.ca.ChannelAccessGetFailure:
                continue
            if answer is not None:
                break
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
