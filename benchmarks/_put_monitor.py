"""Every value that PVs take, seen by a client with a process and a libca of its own.

Says `ready` when it sees all of them, and once its input ends a JSON object: PV -> values, the one before first.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import epics

from robostack_real.devices.epics.channel_access import repeater


def main() -> None:
    repeater()
    seen: dict[str, list[float]] = {name: [] for name in sys.argv[1:]}

    def changed(pvname: str = "", value: float = 0.0, **_: Any) -> None:
        seen[pvname].append(value)

    pvs = [epics.PV(name, callback=changed, auto_monitor=True) for name in seen]
    until = time.monotonic() + 10.0
    while not all(seen.values()):
        if time.monotonic() > until:
            raise SystemExit(f"no answer from {', '.join(p.pvname for p in pvs if not seen[p.pvname])}")
        time.sleep(0.01)
    print("ready", flush=True)
    sys.stdin.read()
    time.sleep(1.0)  # for what is still on its way
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
