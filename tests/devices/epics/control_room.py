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
        pv, answer = pvs[name], None
        if pv.wait_for_connection(10.0):
            answer = pv.put(value[0], wait=True, timeout=5.0) if value else pv.get(use_monitor=False, timeout=5.0)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
