"""Claims: what a user types drives a character, from a stream, a recording of it or any motion file, and says what is
wrong with it in one line."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mink")
pytest.importorskip("pythonosc")

from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket

from robostack import cli
from robostack.export.onnx import load_policy, seal
from robostack_sim.avatar.character import FOLDER

QUIETLY = ("--view", "0", "--json")
PERIOD_S = 1.0 / 72.0
T = {"Head": (0.0, 0.0, 1.6), "LeftHand": (0.0, 0.7, 1.4), "RightHand": (0.0, -0.7, 1.4)}
JOINTS: dict[str, tuple[str, tuple[float, float, float]]] = {
    "Spine": ("Hips", (0, 25, 0)), "Chest": ("Spine", (0, 25, 0)), "Head": ("Chest", (0, 15, 0)),
}  # fmt: skip
"""parent and offset in cm, y up, z ahead, x left: a person in a T"""
for _side, _x in (("Left", 1), ("Right", -1)):
    JOINTS |= {
        f"{_side}Arm": ("Chest", (18 * _x, 0, 0)), f"{_side}ForeArm": (f"{_side}Arm", (28 * _x, 0, 0)),
        f"{_side}Paw": (f"{_side}ForeArm", (25 * _x, 0, 0)), f"{_side}UpLeg": ("Hips", (10 * _x, 0, 0)),
        f"{_side}Leg": (f"{_side}UpLeg", (0, -42, 0)), f"{_side}Foot": (f"{_side}Leg", (0, -42, 0)),
        f"{_side}Toe": (f"{_side}Foot", (0, -6, 14)),
    }  # fmt: skip


def bvh(seconds: float) -> str:
    """Of one who stands still, at 60 Hz, whose hands are called paws."""

    def joint(name: str, offset: tuple[float, float, float], kind: str) -> str:
        children = [joint(n, o, "JOINT") for n, (p, o) in JOINTS.items() if p == name]
        channels = "6 Xposition Yposition Zposition" if kind == "ROOT" else "3"
        inside = "\n".join(children) or "End Site\n{\nOFFSET 0 5 0\n}"
        x, y, z = offset
        return f"{kind} {name}\n{{\nOFFSET {x} {y} {z}\nCHANNELS {channels} Zrotation Xrotation Yrotation\n{inside}\n}}"

    frames = round(seconds * 60)
    line = " ".join(["0 90 0", *["0"] * 3 * (len(JOINTS) + 1)])
    return "\n".join(["HIERARCHY", joint("Hips", (0, 0, 0), "ROOT"), "MOTION", f"Frames: {frames}",
                      f"Frame Time: {1 / 60}", *[line] * frames])  # fmt: skip


def test_a_motion_that_comes_along_drives_a_character(capsys):
    assert cli.main(["avatar", "live", "--character", "mouse", "--input", "punch", "--seconds", "0.5", *QUIETLY]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 10 <= found["periods"] <= 40 and found["p50"]["retarget"] > 0.0


def test_names_that_are_not_known_are_asked_for_by_a_line_and_that_line_helps(tmp_path, capsys):
    motion, own = tmp_path / "still.bvh", tmp_path / "parts.toml"
    motion.write_text(bvh(0.5))
    command = ["avatar", "live", "--character", "mouse", "--input", str(motion), *QUIETLY]
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert 'left_hand = ["' in said and "LeftPaw" in said and "--parts" in said and len(said.splitlines()) == 1
    own.write_text('left_hand = ["LeftPaw"]\nright_hand = ["RightPaw"]\n')
    assert cli.main([*command, "--parts", str(own)]) == 0
    assert json.loads(capsys.readouterr().out)["periods"] > 10
    assert cli.main(["avatar", "clips", str(motion), "--json", "--parts", str(own)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["misses"] == ""


@pytest.fixture
def own(lazy_dinosaur, tmp_path) -> Path:
    """Folder of a character of one's own, with a policy in it."""
    found = tmp_path / "own"
    shutil.copytree(FOLDER / "dinosaur", found, ignore=shutil.ignore_patterns("policy.*"))
    shutil.copy(lazy_dinosaur, found / "policy.onnx")
    return found


def test_who_has_a_policy_of_its_own_is_driven_in_physics_unless_that_is_not_wanted(own, capsys):
    live = ["avatar", "live", "--input", "punch", "--seconds", "0.4", *QUIETLY]
    assert cli.main([*live, "--character", str(own)]) == 0
    said = capsys.readouterr()
    assert f"on its feet by {own / 'policy.onnx'}" in said.err and json.loads(said.out)["falls"] == 0
    assert cli.main([*live, "--character", str(own), "--policy", "none"]) == 0
    assert "falls" not in json.loads(capsys.readouterr().out)
    assert cli.main([*live, "--character", "mouse", "--policy", "own"]) == 1
    assert "no policy yet; train one" in capsys.readouterr().err


def test_figures_are_left_beside_a_policy_and_are_the_same_again(own, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("robostack_sim.avatar.judged.AGAIN", 4)
    policy = own / "policy.onnx"
    assert cli.main(["avatar", "evaluate", str(policy), "--episodes", "2", "--seed", "7", "--json"]) == 0
    kept = json.loads(capsys.readouterr().out)
    assert kept == json.loads((own / "policy.json").read_text())
    assert kept["clips"] == ["punch"] and kept["episodes"] == 2 and {kept["stands"], kept["pushed"]} <= {0.0, 100.0}
    assert kept["command"] == "robostack avatar evaluate policy.onnx --clips punch --episodes 2 --seed 7"
    from robostack_sim.avatar.judged import again

    assert asdict(again(load_policy(policy), 7)).items() <= kept["again"].items()


class Wearer:
    """Sends a T by VMC, 72 times a second, until it is told to stop; and hears the bones that come back."""

    def __init__(self) -> None:
        self.out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.bones = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.bones.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        while not self._stop.wait(PERIOD_S):
            for bone, (x, y, z) in T.items():
                message = OscMessageBuilder("/VMC/Ext/Bone/Pos")
                for value in (bone, -y, z, x, 0.0, 0.0, 0.0, 1.0):
                    message.add_arg(value)
                self.out.sendto(message.build().dgram, ("127.0.0.1", self.port))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.out.close()
        self.bones.close()


@pytest.fixture
def wearer() -> Iterator[Wearer]:
    found = Wearer()
    yield found
    found.close()


def test_a_stream_drives_a_character_is_kept_and_drives_again_as_it_did(wearer, tmp_path, capsys):
    kept = tmp_path / "kept.npz"
    listen = ["--input", "vmc", "--port", str(wearer.port), "--send", f"127.0.0.1:{wearer.bones.getsockname()[1]}"]
    live = ["avatar", "live", "--character", "mouse", "--seconds", "1.8", *QUIETLY]
    assert cli.main([*live, *listen, "--record", str(kept)]) == 0
    said = capsys.readouterr()
    assert "waiting for a headset at vmc://127.0.0.1" in said.err and "hold still" in said.err
    found = json.loads(said.out)
    assert found["periods"] > 40 and found["p50"]["retarget"] > 0.0
    bundle = [m.message for m in OscPacket(wearer.bones.recv(65536)).messages]
    assert {"head", "left_paw", "right_paw"} <= {m.params[0] for m in bundle if m.address == "/VMC/Ext/Bone/Pos"}
    assert cli.main(["avatar", "live", "--character", "mouse", "--input", str(kept), *QUIETLY]) == 0
    said = capsys.readouterr()
    again = json.loads(said.out)
    assert "hold still" in said.err and again["p50"]["retarget"] > 0.0
    assert 0.5 * found["periods"] < again["periods"] + again["dropped"] <= found["periods"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["TMP/own/policy.onnx", "--episodes", "1"], "--episodes 1: must be 2 at least"),
        (["TMP/own/policy.onnx", "--clips", "nothing"], "nothing: no such file"),
        (["TMP/own/policy.onnx", "--without", "02_99"], "no clip is called '02_99'; there are punch"),
        (["TMP/quadrotor.onnx"], "a policy of task 'quadrotor'; give one of avatar"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(own, words, said, tmp_path, capsys):
    policy = load_policy(own / "policy.onnx")
    other = policy.spec.model_copy(update={"task": "quadrotor"})
    (tmp_path / "quadrotor.onnx").write_bytes(seal(policy.model, other))
    assert cli.main(["avatar", "evaluate", *(w.replace("TMP", str(tmp_path)) for w in words)]) == 1
    err = capsys.readouterr().err
    assert said in err and len(err.splitlines()) == 1
    assert not (own / "policy.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--input", "nothing"], "nothing: no such file, and none of the clips that come along (punch)"),
        (["--input", "punch", "--record", "TMP/a.npz"], "punch is a recording already"),
        (["--input", "vmc", "--record", "TMP/a.txt"], "give a file that ends in .npz"),
        (["--input", "vmc", "--record", "TMP/none/a.npz"], "in a folder that is there"),
        (["--input", "vmc", "--record", "TMP/junk.npz"], "is there already; give another name"),
        (["--input", "ros", "--remap", "a=b"], "write FROM:=TO"),
        (["--input", "vmc", "--send", "here"], "give HOST:PORT"),
        (["--input", "TMP/short.bvh", "--parts", "TMP/parts.toml"], "are no two frames at 72 Hz"),
        (["--input", "TMP/junk.npz"], "is no clip of ours"),
    ],
)
def test_what_makes_no_sense_is_one_line(words, said, tmp_path, capsys):
    (tmp_path / "short.bvh").write_text(bvh(2 / 60).replace(f"{1 / 60}", "0.008"))
    (tmp_path / "parts.toml").write_text('left_hand = ["LeftPaw"]\nright_hand = ["RightPaw"]\n')
    np.savez(tmp_path / "junk.npz", a=np.zeros(3))
    words = [w.replace("TMP", str(tmp_path)) for w in words]
    assert cli.main(["avatar", "live", "--character", "mouse", *words, *QUIETLY]) == 1
    err = capsys.readouterr().err
    assert said in err and len(err.splitlines()) == 1
