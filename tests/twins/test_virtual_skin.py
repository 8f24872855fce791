"""Claims: the virtual skin speaks as a real board, as AnySkin's own package finds, and feels what its script does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from robostack.spec import ContractError
from robostack_real.link.skin_frames import SkinDecoder
from robostack_real.twins.anyskin import VirtualSkin, kneading, untouched


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[VirtualSkin]:
    with VirtualSkin(tmp_path / "skin", script=untouched) as twin:
        yield twin


@pytest.mark.parametrize(("package", "reader"), [("reskin_sensor", "ReSkinBase"), ("anyskin", "AnySkinBase")])
def test_the_boards_own_packages_read_every_frame(twin, package, reader, capsys):
    sensor = getattr(pytest.importorskip(package), reader)(num_mags=5, port=str(twin.link), temp_filtered=False)
    try:
        found = np.array([sensor.get_sample()[-1] for _ in range(200)], np.float32)
    finally:
        sensor.close()
    sent = [f.tobytes() for f in list(twin.sent)]
    first = sent.index(found[0].tobytes())
    assert [f.tobytes() for f in found] == sent[first : first + 200]
    assert "Initialization successful" in capsys.readouterr().out


def test_what_it_says_are_whole_steps_of_a_magnetometer_that_never_stand_still(twin):
    while twin.count < 20:
        time.sleep(0.01)
    said = np.array(list(twin.sent))[1:]
    counts = said[:, :, 1:] / np.array([0.150, 0.150, 0.242])
    assert np.abs(counts - counts.round()).max() < 1e-2
    assert (np.diff(said[:, :, 1:], axis=0) != 0.0).any(-1).mean() > 0.9
    assert SkinDecoder().feed(b"".join(f.tobytes() + b"\r\n" for f in said))[-1].tobytes() == said[-1].tobytes()


def test_the_script_waits_for_somebody_to_listen_and_begins_without_a_touch(tmp_path):
    seen: list[float] = []
    with VirtualSkin(tmp_path / "skin", script=lambda t: (seen.append(t), kneading(t))[1]) as twin:
        while twin.count < 30:
            time.sleep(0.01)
        time.sleep(0.2)  # the line is full after 3,000 bytes
        assert twin.count < 60
        with open(twin.link, "rb", buffering=0) as line:
            count = twin.count
            while twin.count < count + 40:
                line.read(82)
    assert seen.count(0.0) >= 2 and max(seen) < 0.4
    assert all(kneading(t)[2] < 0.0 for t in np.linspace(0.0, 2.0, 50))
    assert max(kneading(t)[2] for t in np.linspace(0.0, 5.0, 500)) == pytest.approx(0.0008)


def test_a_name_that_is_taken_is_left_alone(tmp_path):
    taken = tmp_path / "ttyACM0"
    taken.write_text("mine")
    with pytest.raises(ContractError, match="there is something already"), VirtualSkin(taken):
        pass
    assert taken.read_text() == "mine"
    taken.unlink()
    taken.symlink_to("/dev/null")
    with pytest.raises(ContractError, match="there is something already"):
        VirtualSkin(taken).plug()


def test_the_command_line_refuses_what_a_skin_has_not(capsys):
    from robostack import cli

    assert cli.main(["twin", "anyskin", "--dead", "5"]) == 1
    assert "magnetometers are 0 to 4" in capsys.readouterr().err
    assert cli.main(["twin", "anyskin", "a_run"]) == 1
    assert "takes no run" in capsys.readouterr().err
