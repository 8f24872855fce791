"""Claims: every character stands on the floor facing ahead, has a site for each part, and a wrong file says what."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco")

import mujoco

from robostack.spec import ContractError
from robostack_sim.avatar.character import FOLDER, PARTS, Character

OURS = sorted(p.name for p in FOLDER.iterdir() if (p / "character.toml").exists())


@pytest.mark.parametrize("name", OURS)
def test_it_stands_on_the_floor_at_the_origin_and_faces_ahead(name):
    character = Character.load(name)
    data = character.data()
    rest = character.rest_m
    assert min(rest["left_foot"][2], rest["right_foot"][2]) == pytest.approx(0.0, abs=1e-9)
    assert 0.5 * (rest["left_foot"] + rest["right_foot"])[:2] == pytest.approx([0.0, 0.0], abs=1e-9)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        assert sign * rest[f"{side}_hand"][1] > 0.02 and sign * rest[f"{side}_foot"][1] > 0.02
    assert rest["head"][2] > rest["hips"][2]
    for part in PARTS:
        assert data.site(part).xmat == pytest.approx(np.eye(3).ravel(), abs=1e-6), part
    ahead, behind = {"human": ("ltoes", "lfoot"), "dinosaur": ("head", "tail_1"), "mouse": ("head", "tail_1")}[name]
    assert data.body(ahead).xpos[0] > data.body(behind).xpos[0] + 0.05


@pytest.mark.parametrize("name", [n for n in OURS if n != "human"])
def test_each_of_its_joints_has_an_actuator_within_its_range(name):
    model = Character.load(name).model
    hinges = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE)
    assert set(model.actuator_trnid[:, 0]) == set(hinges)
    for a in range(model.nu):
        assert model.actuator_ctrlrange[a] == pytest.approx(model.jnt_range[model.actuator_trnid[a, 0]])


@pytest.fixture
def own(tmp_path: Path) -> Path:
    shutil.copytree(FOLDER / "mouse", tmp_path / "rat")
    return tmp_path / "rat"


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("character.toml", 'head = { body = "head",', 'head = { bone = "head",', "no body is its head; add the line"),
        ("character.toml", 'body = "left_paw"', 'body = "left_hoof"', "left_hand is body 'left_hoof', which its model"),
        ("character.toml", "[parts]", '[parts]\ntail = { body = "tail_1" }', "'tail' is no part"),
        ("character.toml", "[parts]", "[parts", "character.toml"),
        ("character.toml", 'model = "model.xml"', 'model = "package:no_such/model.xml"', "pip install 'robostack"),
        ("character.toml", "[parts]", "rest_deg = { knee = 3 }\n[parts]", "'knee', which is no joint"),
        ("model.xml", '<freejoint name="root"/>', "", "do not move freely; give that body a freejoint"),
        ("model.xml", "</worldbody>", "", "MuJoCo does not read it"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(own, file, before, after, said):
    path = own / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(ContractError, match=said):
        Character.load(own)


def test_an_unknown_one_says_who_there_is():
    with pytest.raises(ContractError, match="dinosaur, human, mouse"):
        Character.load("unicorn")
