"""Installs the ball task as a third party would: an entry point of a distribution of its own."""

import os
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def install_ball(folder, patch):
    """`robostack train ball` works from now on, here and in a process started from here."""
    info = folder / "ball_task-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ball-task\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[robostack.tasks]\nball = ball:Ball\n")
    for path in (str(HERE), str(folder)):
        patch.syspath_prepend(path)
        patch.setenv("PYTHONPATH", path, prepend=os.pathsep)


@pytest.fixture
def ball_installed(tmp_path_factory, monkeypatch):
    install_ball(tmp_path_factory.mktemp("site"), monkeypatch)
