"""Cameras behind a gel: DIGIT, GelSight Mini, any other by OpenCV, and a video file that stands for one."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from robostack.registry import MissingExtraError
from robostack.spec import ContractError
from robostack_real.devices.tactile import Touch
from robostack_real.link.errors import LinkError, LinkLost, NoAnswer, PortAbsent

log = logging.getLogger(__name__)

Image = npt.NDArray[np.uint8]

AGAIN_S = 0.5
"""between two looks for a camera that is gone"""
TARE_IMAGES, TARE_S = 5, 3.0


class ImageSource(Protocol):
    """Where images come from, one after the other."""

    where: str

    def open(self) -> None:
        """Raises ConnectionError where there is none."""

    def grab(self) -> Image:
        """(height, width, 3) red, green, blue: the next image, waited for. Raises ConnectionError when it is gone."""

    def close(self) -> None: ...


@dataclass
class Uvc:
    """A USB camera by OpenCV: `where` is /dev/video0, or better a link of /dev/v4l/by-id. `border` is the share of the
    image that is cut off at each side; what is left is averaged down to `size`, (width, height), where it is given."""

    where: str
    size: tuple[int, int] | None = None
    border: float = 0.0
    _capture: Any = field(default=None, init=False, repr=False)

    def open(self) -> None:
        import cv2

        self._capture = cv2.VideoCapture(self.where)
        if not self._capture.isOpened():
            raise PortAbsent(
                f"{self.where}: no camera opens there; `ls -l /dev/v4l/by-id` names those that are plugged in"
            )

    def grab(self) -> Image:
        got, image = self._capture.read()
        if not got:
            raise LinkLost(f"{self.where}: sends no image any more; check its cable")
        return fitted(image[..., ::-1], self.size, self.border)

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()


def gelsight_mini(where: str) -> Uvc:
    """320 x 240 without the seventh at each side where the gel ends, as its maker's own code has it."""
    return Uvc(where, (320, 240), 1.0 / 7.0)


@dataclass
class Digit:
    """A DIGIT by its serial number, D12345, through its maker's `digit-interface`: 240 x 320, 60 images a second."""

    where: str
    _digit: Any = field(default=None, init=False, repr=False)

    def open(self) -> None:
        try:
            from digit_interface import Digit as Peer
        except ImportError as error:
            raise MissingExtraError(
                f"DIGIT {self.where} needs its own package: pip install digit-interface ({error})"
            ) from error
        try:
            self._digit = Peer(self.where)
            self._digit.connect()
        except Exception as error:  # it raises nothing more special
            raise PortAbsent(f"DIGIT {self.where}: {error}; its serial number is printed on its back") from error

    def grab(self) -> Image:
        try:
            image = self._digit.get_frame()
        except Exception as error:
            raise LinkLost(f"DIGIT {self.where}: {error}") from error
        return np.ascontiguousarray(image[..., ::-1])

    def close(self) -> None:
        if self._digit is not None:
            self._digit.disconnect()
            self._digit = None


@dataclass
class Video:
    """A file, played at its own rate and again from its beginning; a twin for what was recorded once."""

    where: str
    _capture: Any = field(default=None, init=False, repr=False)
    _due_s: float = field(default=0.0, init=False, repr=False)

    def open(self) -> None:
        import cv2

        if not Path(self.where).is_file():
            raise PortAbsent(f"{self.where}: there is no such video")
        self._capture = cv2.VideoCapture(self.where)
        self._period_s = 1.0 / (self._capture.get(cv2.CAP_PROP_FPS) or 30.0)
        self._due_s = time.monotonic()

    def grab(self) -> Image:
        got, image = self._capture.read()
        if not got:
            self._capture.release()
            self.open()
            got, image = self._capture.read()
        if not got:
            raise LinkError(f"{self.where}: OpenCV reads no image in it; is it a video?")
        self._due_s += self._period_s
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        return np.ascontiguousarray(image[..., ::-1])

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()


class CameraSensor:
    """See robostack_real.devices.tactile.TactileSensor: `values` are (height, width, 3) uint8, red, green, blue, and
    `valid` is one for all of it. A tare keeps the gel at rest, `rest` (height, width, 3) float32; entering it tares.

    A thread waits for images, so that an age is that since one came. Raises ContractError for images that are not
    `size`, (width, height), where that is given.
    """

    def __init__(self, source: ImageSource, size: tuple[int, int] | None = None) -> None:
        self.source, self.where, self.size = source, source.where, size
        self.rest: npt.NDArray[np.float32] | None = None
        self.images = self.reconnects = 0
        self._newest: tuple[float, Image] | None = None
        self._failure: Exception | None = None
        self._done, self._came = threading.Event(), threading.Condition()
        self._thread = threading.Thread(target=self._look, name=f"camera {self.where}", daemon=True)

    def read(self) -> Touch | None:
        with self._came:
            if self._failure is not None:
                raise self._failure
            newest, self._newest = self._newest, None
        if newest is None:
            return None
        return Touch(newest[1], max(0.0, time.monotonic() - newest[0]), np.ones((1, 1, 1), bool))

    def tare(self) -> None:
        """From the mean of the next TARE_IMAGES."""
        self.read()
        seen: list[Image] = []
        end = time.monotonic() + TARE_S
        while len(seen) < TARE_IMAGES:
            with self._came:
                self._came.wait_for(lambda: self._newest is not None or self._failure is not None, 0.1)
            touch = self.read()
            if touch is not None:
                seen.append(touch.values)
            if time.monotonic() > end:
                raise NoAnswer(f"{self.where}: {len(seen)} images in {TARE_S:g} s, of which a tare takes {TARE_IMAGES}")
        self.rest = np.mean(seen, 0).astype(np.float32)

    def __enter__(self) -> Self:
        self.source.open()
        self._thread.start()
        try:
            self.tare()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()
        self.source.close()

    def _look(self) -> None:
        while not self._done.is_set():
            try:
                image = self.source.grab()
            except ConnectionError as error:
                self._lose(error)
                continue
            except Exception as error:
                self._tell(error)
                return
            if self.size is not None and image.shape[1::-1] != self.size:
                wide, tall = image.shape[1::-1]
                self._tell(ContractError(
                    f"{self.where}: its images are {wide} x {tall}, but {self.size[0]} x {self.size[1]} is asked for; "
                    "set the camera, or calibrate for what it sends"
                ))  # fmt: skip
                return
            with self._came:
                self._newest, self._failure = (time.monotonic(), image), None
                self.images += 1
                self._came.notify()

    def _lose(self, error: Exception) -> None:
        self._tell(error)
        log.warning("%s; it is looked for until it is back", error)
        self.source.close()
        while not self._done.wait(AGAIN_S):
            try:
                self.source.open()
            except ConnectionError:
                continue
            self.reconnects += 1
            return

    def _tell(self, error: Exception) -> None:
        with self._came:
            self._failure, self._newest = error, None
            self._came.notify()


def fitted(image: npt.NDArray[Any], size: tuple[int, int] | None, border: float) -> Image:
    """Cut by the share `border` at each side, then averaged down to (width, height)."""
    tall, wide = image.shape[:2]
    dy, dx = int(border * tall), int(border * wide)
    cut = np.ascontiguousarray(image[dy : tall - dy, dx : wide - dx])
    if size is None or cut.shape[1::-1] == size:
        return cut
    import cv2

    smaller: Image = cv2.resize(cut, size, interpolation=cv2.INTER_AREA)
    return smaller
