"""python -m my_device.pretend policy.onnx: a machine that stands still, to run against before there is one."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable
from contextlib import suppress

import numpy as np

import robostack as rs
from robostack.spec import PolicySpec


def serve(spec: PolicySpec, line: socket.socket, heard: Callable[[np.ndarray], object] = lambda action: None) -> None:
    """Answers each action with a measurement, until the line is closed."""
    sensors = [c for c in spec.observations if c.source == "sensor"]
    low, high = ([v for c in sensors for v in c.per_element(limit)] for limit in ("low", "high"))
    still = np.clip(0.0, low, high).astype("<f4")
    while True:
        try:
            packet, who = line.recvfrom(65536)
        except OSError:
            return
        heard(np.frombuffer(packet, "<f4"))
        line.sendto(still.tobytes(), who)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m my_device.pretend", description=__doc__)
    parser.add_argument("policy")
    parser.add_argument("--port", type=int, default=9000)
    asked = parser.parse_args()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", asked.port))
        print(f"my_device://127.0.0.1:{asked.port}; Ctrl-C ends it", flush=True)
        with suppress(KeyboardInterrupt):
            serve(rs.load(asked.policy).spec, line)


if __name__ == "__main__":
    main()
