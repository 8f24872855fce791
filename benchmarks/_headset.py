"""A wearer for avatar_live.py, in a process of its own: plays the clip that comes along as a headset and two
controllers by VMC, there and back again, and prints when it sent each frame (s, this machine's monotonic clock).

    python benchmarks/_headset.py PORT FRAMES RATE_HZ
"""

from __future__ import annotations

import json
import socket
import sys
import time

import numpy as np
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from robostack.axes import to_unity
from robostack_sim.avatar.motion.reading import named
from robostack_sim.avatar.reference import worn

CLIP = "punch"
DEVICES = (("Hmd", "headset"), ("Con", "left"), ("Con", "right"))


def bundle(position_m: np.ndarray, rotation: np.ndarray) -> bytes:
    """Of one frame, (3, 3) and (3, 4) of head, left and right hand."""
    found = OscBundleBuilder(IMMEDIATELY)
    for (kind, serial), place, turn in zip(DEVICES, position_m, rotation, strict=True):
        w, x, y, z = to_unity(turn).tolist()
        message = OscMessageBuilder(f"/VMC/Ext/{kind}/Pos")
        for value in (serial, *to_unity(place).tolist(), x, y, z, w):
            message.add_arg(value)
        found.add_content(message.build())
    return bytes(found.build().dgram)


def main(port: int, frames: int, rate_hz: float) -> None:
    tracked, _ = worn(named(CLIP), rate_hz)
    there = [bundle(p, q) for p, q in zip(tracked.position_m, tracked.rotation, strict=True)]
    loop = [*there, *there[-2:0:-1]]
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sent_s, start = [], time.monotonic()
    for k in range(frames):
        time.sleep(max(0.0, start + k / rate_hz - time.monotonic()))
        sent_s.append(time.monotonic())
        sender.sendto(loop[k % len(loop)], ("127.0.0.1", port))
    print(json.dumps(sent_s))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
