"""Claims: a camera behind a gel is a tactile sensor as any other: newest image, its age, tare, unplugged and back."""

from __future__ import annotations

import builtins
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from robostack.registry import MissingExtraError
from robostack.spec import ContractError
from robostack_real.devices.tactile import TactileSensor
from robostack_real.devices.tactile_camera import CameraSensor, Digit, Uvc, Video, fitted, gelsight_mini
from robostack_real.link.errors import LinkError, LinkLost, PortAbsent
from robostack_real.twins.tactile_camera import VirtualTactileCamera


def away(_: float) -> tuple[float, float, float]:
    return 0.0, 0.0, -0.005


def read_for_2_s(camera: CameraSensor) -> None:
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        camera.read()


def test_a_touch_changes_the_newest_image_against_the_tare():
    twin = VirtualTactileCamera(script=away)
    camera: TactileSensor
    with CameraSensor(twin, (80, 60)) as camera:
        assert camera.rest.shape == (60, 80, 3)
        twin.script = lambda _: (0.0, 0.0, 8e-4)
        pictures = camera.images
        while (touch := camera.read()) is None or camera.images < pictures + 3:
            time.sleep(0.001)
        assert touch.values.dtype == np.uint8 and 0.0 <= touch.age_s < 0.5 and touch.valid.all()
        assert np.abs(touch.values - camera.rest).max() > 20.0
        twin.rate_hz = 2.0
        time.sleep(0.1)
        camera.read()
        assert camera.read() is None  # no news


def test_unplugged_it_says_so_and_comes_back(monkeypatch):
    monkeypatch.setattr("robostack_real.devices.tactile_camera.AGAIN_S", 0.02)
    twin = VirtualTactileCamera(script=away)
    with CameraSensor(twin) as camera:
        twin.plugged = False
        with pytest.raises(LinkLost, match="unplugged"):
            read_for_2_s(camera)
        twin.plugged = True
        end = time.monotonic() + 2.0
        while camera.reconnects == 0 and time.monotonic() < end:
            time.sleep(0.005)
        assert camera.reconnects == 1 and camera.images > 0


def test_images_of_the_wrong_size_are_refused_with_both_sizes():
    camera = CameraSensor(VirtualTactileCamera(script=away), (320, 240))
    with pytest.raises(ContractError, match="its images are 80 x 60, but 320 x 240 is asked for"), camera:
        pass


def test_a_video_is_played_at_its_rate_and_again(tmp_path: Path):
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "press.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 50.0, (64, 48))
    for k in range(6):
        writer.write(np.full((48, 64, 3), (10, 100, 40 * k), np.uint8))
    writer.release()
    video = Video(str(path))
    video.open()
    start, seen = time.monotonic(), [video.grab() for _ in range(8)]
    assert time.monotonic() - start > 7 / 50.0
    assert seen[0].shape == (48, 64, 3)
    reds = [float(image[..., 0].mean()) for image in seen]
    assert reds[5] == pytest.approx(200, abs=6) and reds[6] == pytest.approx(reds[0], abs=6)
    video.close()
    (tmp_path / "words.avi").write_text("no video")
    words = Video(str(tmp_path / "words.avi"))
    words.open()
    with pytest.raises(LinkError, match="reads no image in it"):
        words.grab()


def test_cameras_that_are_not_there_are_named():
    pytest.importorskip("cv2")
    with pytest.raises(PortAbsent, match=r"/dev/video77: no camera opens there.*by-id"):
        Uvc("/dev/video77").open()
    with pytest.raises(PortAbsent, match="no such video"):
        Video("none.mp4").open()


def test_a_mini_is_cut_at_its_border_and_averaged_down():
    pytest.importorskip("cv2")
    big = np.zeros((2464, 3280, 3), np.uint8)
    big[352:2112, 468:2812] = 200
    mini = gelsight_mini("/dev/video0")
    found = fitted(big, mini.size, mini.border)
    assert found.shape == (240, 320, 3) and found.min() == 200


def test_without_its_package_a_digit_says_which_line_installs_it(monkeypatch):
    real = builtins.__import__

    def absent(name, *rest):
        if name == "digit_interface":
            raise ImportError("No module named 'digit_interface'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtraError, match="pip install digit-interface"):
        Digit("D12345").open()


def test_a_digit_that_is_not_plugged_in_is_named_by_its_own_package():
    pytest.importorskip("digit_interface")
    with pytest.raises(PortAbsent, match=r"DIGIT D00000: .*printed on its back"):
        Digit("D00000").open()
