"""python -m my_device policy.onnx my_device://127.0.0.1:9000: the policy on the machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys

import numpy as np

import robostack as rs
from robostack import devices
from robostack.runtime import loop
from robostack.runtime.controller import Controller


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m my_device", description=__doc__)
    parser.add_argument("policy")
    parser.add_argument("uri")
    parser.add_argument("--seconds", type=float, help="default: until Ctrl-C")
    asked = parser.parse_args()
    try:
        policy = rs.load(asked.policy)
        spec = policy.spec
        controller = Controller(policy, spec)
        told = {c.name: (np.zeros(c.shape), 0.0) for c in spec.observations if c.source == "command"}
        with devices.connect(asked.uri, policy.policy) as device:
            device.arm()
            while not (seen := device.read()):
                device.write(controller.tick(told))  # neutral, as it is not armed yet
            controller.tick({**told, **seen})
            controller.arm()

            def tick(missed: int) -> None:
                controller.applied(device.write(controller.tick({**told, **device.read()}, missed)))

            periods = round(asked.seconds / spec.control_dt_s) if asked.seconds else None
            timing = loop.run(tick, spec.control_dt_s, stop=device.stop, periods=periods)
    except (rs.ContractError, ConnectionError) as error:
        print(error, file=sys.stderr)
        return 1
    fell = f", fell back: {controller.status.reason.name.lower()}" if controller.status.tripped else ""
    print(f"{timing.ticks} periods, {timing.late} late{fell}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
