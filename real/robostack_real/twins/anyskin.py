"""A virtual AnySkin board on a pseudo-terminal: the simulator's magnetic skin under a ball that a script presses.

It speaks the bytes of AnySkin's own firmware, `5X_binary_burst_stream`, in steps as coarse as its magnetometers', and
fails on demand: see the switches of `VirtualSkin`.
"""

from __future__ import annotations

import fcntl
import math
import os
import struct
import termios
import threading
import time
import tty
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from robostack.spec import ContractError
from robostack_real.devices.anyskin import LIMIT_UT, STEP_UT, Board
from robostack_real.link.skin_frames import END, MAGNETOMETERS
from robostack_sim.tactile.sensor.anyskin import AnySkin, MagneticSkin
from robostack_sim.tactile.sensor.force_field import Bristle, ForceField
from robostack_sim.tactile.sensor.pads import Grip, Pad
from robostack_sim.tactile.sensor.solids import Indenters, Sphere

Script = Callable[[float], tuple[float, float, float]]
"""Seconds since somebody listens -> the ball's x and y in the pad's frame and how deep it is in the gel, m."""

RATE_HZ = 400.0
LINES = "/dev/pts/"
"""a link that leads there is one that a twin left behind"""
BALL_M = 0.006
ROOM_C = 25.0
FULL = 3000
"""bytes that wait: nobody listens, and a real board says nothing then"""
NOISE_UT = 0.3
REAL = MagneticSkin(gain_std=0.05, hysteresis=0.1)
"""noise, drift, gains and a creeping gel, of no measured skin"""


def untouched(_: float) -> tuple[float, float, float]:
    return 0.0, 0.0, -0.005


def kneading(t: float) -> tuple[float, float, float]:
    """Away for two seconds; then pressed in, led round in a circle of 0.3 mm and let go, each time elsewhere."""
    cycle, phase = divmod(t, 5.0)
    turn = 2.4 * cycle
    x, y = 0.004 * math.cos(turn), 0.006 * math.sin(turn)
    pressed = min(max(0.0, phase - 2.0), 5.0 - phase, 0.5) / 0.5
    round_ = 2.0 * math.pi * min(max(0.0, phase - 2.5), 2.0)
    return x + 3e-4 * (1.0 - math.cos(round_)), y + 3e-4 * math.sin(round_), 0.0018 * pressed - 0.001


class VirtualSkin:
    """Enter it to plug it in; `link` then leads to its line, until `unplug`.

    Switches, to be thrown at any time: `script`; `felt` (5, 3) uT along the pad's axes, in the contract's order, which
    the skin feels instead of the ball, with noise on it; `dead`, magnetometers by their place in a frame that repeat
    what they said last; `saturated`, those at the end of their range; `lose`, a number of bytes that get lost next;
    `inject`, bytes that come between frames. `sent` has the last frames, (5, 4) degC, uT, uT, uT, `count` their number;
    `held` counts those that were not sent because nobody read.

    Raises ContractError for a link where something is already.
    """

    def __init__(
        self,
        link: Path,
        *,
        skin: MagneticSkin = REAL,
        script: Script = kneading,
        seed: int = 0,
        board: Board | None = None,
        rate_hz: float = RATE_HZ,
    ) -> None:
        self.link, self.script, self.board, self.rate_hz = link, script, board or Board(), rate_hz
        self.felt: npt.NDArray[np.float32] | None = None
        self.dead: set[int] = set()
        self.saturated: set[int] = set()
        self.lose, self.inject = 0, b""
        self.sent: deque[npt.NDArray[np.float32]] = deque([np.zeros((MAGNETOMETERS, 4), np.float32)], 1000)
        self.count = self.held = 0
        self._grip = Grip(1, 1)
        self._field = ForceField(Pad(), self._grip, Indenters([Sphere(BALL_M)], 1), Bristle())
        self._sensor = AnySkin(self._field, skin, 1.0 / rate_hz, seed)
        self._noise = np.random.default_rng(seed)
        self._steps = 0
        self._lines: tuple[int, int] | None = None
        self._lock, self._done = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._speak, name="virtual skin", daemon=True)

    def plug(self) -> None:
        if os.path.lexists(self.link) and not (self.link.is_symlink() and str(self.link.readlink()).startswith(LINES)):
            raise ContractError(f"{self.link}: there is something already; give the line another name")
        ours, theirs = os.openpty()
        tty.setraw(theirs)  # held open, so that the line is up while nobody listens
        os.set_blocking(ours, False)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(theirs))
        with self._lock:
            self._lines = ours, theirs

    def unplug(self) -> None:
        """Power and line are gone; `plug` brings them back."""
        with self._lock:
            lines, self._lines = self._lines, None
        for line in lines or ():
            os.close(line)
        self.link.unlink(missing_ok=True)

    def temperature_c(self) -> npt.NDArray[np.float32]:
        """(5,)"""
        return np.full(MAGNETOMETERS, ROOM_C + 0.2 * math.sin(self._steps / (60.0 * self.rate_hz)), np.float32)

    def __enter__(self) -> Self:
        self.plug()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()
        self.unplug()

    def _speak(self) -> None:
        due_s = time.monotonic()
        while not self._done.is_set():
            due_s += 1.0 / self.rate_hz
            if (wait_s := due_s - time.monotonic()) > 0.0:
                time.sleep(wait_s)
            with self._lock:
                if self._lines is None:
                    self._steps = 0
                elif _waits(self._lines[1]) > FULL:
                    self._steps = 0  # whoever comes next begins with a skin that nothing touches
                    self.held += 1
                else:
                    self._send(self._lines[0])

    def _send(self, line: int) -> None:
        frame = self._frame()
        data = self.inject + frame.tobytes() + END
        lost = min(self.lose, len(data))
        self.lose, self.inject = self.lose - lost, b""
        os.write(line, data[lost:])
        self.sent.append(frame)
        self.count += 1

    def _kneaded(self) -> npt.NDArray[np.float32]:
        """(5, 3)"""
        x, y, deep = self.script(self._steps / self.rate_hz)
        self._grip.relative[..., 9:12] = torch.tensor([x, y, BALL_M - deep])
        self._field.step()
        values: npt.NDArray[np.float32] = self._sensor.read()[0, 0].numpy()
        return values

    def _frame(self) -> npt.NDArray[np.float32]:
        values = self._kneaded() if self.felt is None else self.felt + self._noise.normal(0.0, NOISE_UT, (5, 3))
        self._steps += 1
        counts = np.rint(self.board.to_wire(values.astype(np.float32)) / STEP_UT)
        frame = np.empty((MAGNETOMETERS, 4), "<f4")
        frame[:, 0], frame[:, 1:] = self.temperature_c(), np.clip(counts, -32767, 32767) * STEP_UT
        for chip in self.dead:
            frame[chip] = self.sent[-1][chip]
        for chip in self.saturated:
            frame[chip, 1:] = LIMIT_UT
        return frame


def _waits(line: int) -> int:
    """Bytes that nobody has read."""
    count: int = struct.unpack("i", fcntl.ioctl(line, termios.FIONREAD, b"\0\0\0\0"))[0]
    return count
