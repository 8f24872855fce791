"""Claims a machine at a line, and gives it back at the next, again and again, in a process and a libca of its own."""

from __future__ import annotations

import select
import sys
from pathlib import Path

from robostack.spec import ContractError
from robostack_real.devices.epics.machine import BeamMachine
from robostack_real.devices.epics.machine_file import MachineFile


def main() -> None:
    config, folder = map(Path, sys.argv[1:])
    folder.mkdir()
    with BeamMachine(MachineFile.read(config), folder) as machine:
        print("ready", flush=True)
        while sys.stdin.readline():
            try:
                machine.operator.claim()
                print(machine.operator.token, flush=True)
            except ContractError as refused:
                print(refused, flush=True)
            while not select.select([sys.stdin], [], [], 0.1)[0]:
                machine.operator.check()
            sys.stdin.readline()
            machine.release("")


if __name__ == "__main__":
    main()
