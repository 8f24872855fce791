"""Claims: the page of a live character is served where it says, takes poses at any time, and says nothing by itself."""

from __future__ import annotations

import socket
import urllib.request

import numpy as np
import pytest

pytest.importorskip("viser")
pytest.importorskip("mink")

from robostack import quaternion as quat
from robostack_real.twins.avatar_view import AvatarView
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.retarget import Target


def test_it_shows_what_it_is_given_and_prints_nothing(capfd):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    mouse = Character.load("mouse")
    view = AvatarView(mouse, lambda: None, port=port)
    assert view.where == f"http://127.0.0.1:{port}/"
    with urllib.request.urlopen(view.where) as answer:
        assert answer.status == 200
    view.show(mouse.rest, {}, "stand in a T")
    for bones_m in (np.zeros((14, 2, 3)), np.ones((14, 2, 3))):
        view.show(mouse.rest, {"head": Target(np.ones(3), quat.IDENTITY)}, "", bones_m)
    assert view._wearer.points == pytest.approx(np.ones((14, 2, 3)))
    view.close()
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
