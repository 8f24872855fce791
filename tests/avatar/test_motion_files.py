"""Claims: every format's reader puts a known motion where it is, and says the line of what it cannot read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robostack_sim.avatar.motion.amc import read_amc
from robostack_sim.avatar.motion.bvh import read_bvh
from robostack_sim.avatar.motion.clip import Clip, MotionError
from robostack_sim.avatar.motion.deepmimic import NUMBERS, read_deepmimic
from robostack_sim.avatar.motion.reading import read, read_all

ASF = """\
:version 1.10
:units
  mass 1.0
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name lfemur
     direction 0 -1 0
     length 8
     axis 0 0 0  XYZ
    dof rx ry rz
    limits (-160.0 20.0)
           (-70.0 70.0)
           (-60.0 70.0)
  end
  begin
     id 2
     name ltibia
     direction 0 -1 0
     length 7
     axis 0 90 0   XYZ
    dof rz
  end
:hierarchy
  begin
    root lfemur
    lfemur ltibia
  end
"""
AMC = """\
#!OML:ASF
:FULLY-SPECIFIED
:DEGREES
1
root 1 18 2 0 0 0
lfemur 0 0 0
ltibia 0
2
root 1 18 3 0 90 0
lfemur -90 0 0
ltibia 90
"""
UNIT_M = 0.0254 / 0.45

BVH = """\
HIERARCHY
ROOT Hips
{
    OFFSET 0.0 0.0 0.0
    CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
    JOINT LeftUpLeg
    {
        OFFSET 10.0 0.0 0.0
        CHANNELS 3 Zrotation Xrotation Yrotation
        End Site
        {
            OFFSET 0.0 -90.0 0.0
        }
    }
    JOINT Head
    {
        OFFSET 0.0 75.0 0.0
        CHANNELS 3 Zrotation Xrotation Yrotation
        End Site
        {
            OFFSET 0.0 10.0 0.0
        }
    }
}
MOTION
Frames: 2
Frame Time: 0.025
0 90 0 0 0 0 0 0 0 0 0 0
0 90 50 0 0 90 0 -90 0 0 0 0
"""


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    (tmp_path / "02.asf").write_text(ASF)
    (tmp_path / "02_01.amc").write_text(AMC)
    return tmp_path / "02_01.amc"


@pytest.fixture
def bvh(tmp_path: Path) -> Path:
    path = tmp_path / "a.bvh"
    path.write_text(BVH)
    return path


def test_an_amc_bone_turns_about_its_own_axes(walk):
    clip = read(walk)
    assert clip.skeleton.names == ("root", "lfemur", "ltibia", "ltibia_end")
    assert clip.rate_hz == 120.0
    knee, ankle = (clip.position_m[:, clip.skeleton.index(n)] / UNIT_M for n in ("ltibia", "ltibia_end"))
    assert clip.root_m[0] / UNIT_M == pytest.approx([2, 1, 18])
    assert knee[0] == pytest.approx([2, 1, 10]) and ankle[0] == pytest.approx([2, 1, 3])
    # the hips turn left by 90 degrees; the thigh, by -90 about its x (left), points ahead, which is now left
    assert knee[1] == pytest.approx([3, 1 + 8, 18])
    # the shin's z axis was turned by 90 about y onto x: 90 about it folds the shin back down
    assert ankle[1] == pytest.approx([3, 9, 18 - 7])


def test_a_bvh_is_read_in_centimetres_where_a_body_says_so(bvh):
    clip = read(bvh)
    assert clip.rate_hz == pytest.approx(40.0)
    assert clip.skeleton.names == ("Hips", "LeftUpLeg", "LeftUpLeg_end", "Head", "Head_end")
    foot = clip.position_m[:, 2]
    assert foot[0] == pytest.approx([0.0, 0.1, 0.0])
    assert clip.root_m[1] == pytest.approx([0.5, 0.0, 0.9])
    # turned left by 90 degrees: the left hip is behind, and the leg, swung forward, points to the left
    assert foot[1] == pytest.approx([0.5 - 0.1, 0.9, 0.9])
    assert read_bvh(bvh, unit_m=0.02).root_m[1, 2] == pytest.approx(1.8)


def test_a_motion_of_deepmimic_bends_its_knee_backwards(tmp_path):
    frame = [0.033, 0.0, 0.9, 0.0, 1, 0, 0, 0] + [1, 0, 0, 0] * 3 + [-1.0] + [1, 0, 0, 0] * 2 + [0.5]
    frame += [1, 0, 0, 0] + [0.0] + [1, 0, 0, 0] * 2 + [0.0]
    assert len(frame) == NUMBERS
    path = tmp_path / "humanoid3d_bend.txt"
    path.write_text(json.dumps({"Loop": "wrap", "Frames": [frame, frame]}))
    clip = read(path)
    place = dict(zip(clip.skeleton.names, clip.position_m[0], strict=True))
    assert clip.rate_hz == pytest.approx(1 / 0.033)
    assert place["right_ankle"][0] < place["right_knee"][0] - 0.3 and place["right_ankle"][1] < 0.0
    assert place["right_wrist"][0] > place["right_elbow"][0] + 0.1
    assert place["left_ankle"] == pytest.approx([0.0, 0.084887, 0.9 - 0.421546 - 0.40987])


def broken(text: str, before: str, after: str) -> str:
    assert before in text
    return text.replace(before, after)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Frames: 2", "Frames: 3", r"24 numbers are not 3 frames of 12; is it cut short\?"),
        ("Xrotation Yrotation\n    JOINT", "Xrotation Wrotation\n    JOINT", r":5: 'Wrotation' is no channel"),
        ("0 90 0 0 0 0 0", "0 90 0 nil 0 0 0", r":28: 'nil' is no number"),
        ("Frame Time: 0.025", "Frame Time: 0", "a frame time of 0 s"),
        ("-90.0", "-90000.0", "tall at rest; say how long a unit is"),
        ("HIERARCHY\n", "", r":1: 'ROOT' where 'HIERARCHY' should be"),
        (
            "Xposition Yposition Zposition",
            "Xposition Yposition Xposition",
            "'Hips' has no Xposition, Yposition and Zpo",
        ),
    ],
)
def test_a_bvh_that_cannot_be_read_says_the_line(bvh, before, after, said):
    bvh.write_text(broken(BVH, before, after))
    with pytest.raises(MotionError, match=said):
        read_bvh(bvh)


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("02.asf", "length 8", "length eight", r"02\.asf:12: this bone's"),
        ("02.asf", "name ltibia", "name rtibia", r":34: no bone 'ltibia'"),
        ("02.asf", ":hierarchy", ":order", "is no ASF skeleton"),
        ("02_01.amc", "ltibia 90\n", "", "says nothing of 'ltibia'"),
        ("02_01.amc", "lfemur -90 0 0", "lfemur -90 0", "lfemur"),
        ("02_01.amc", "root 1 18 3", "root 1 18 three", r"02_01\.amc:9: "),
    ],
)
def test_an_amc_that_cannot_be_read_says_the_line(walk, file, before, after, said):
    path = walk.with_name(file)
    path.write_text(broken(path.read_text(), before, after))
    with pytest.raises(MotionError, match=said):
        read_amc(walk)


def test_which_skeleton_an_amc_has_must_be_clear(walk):
    walk.with_name("07.asf").write_text(ASF)
    assert len(read_amc(walk)) == 2
    walk.with_name("02.asf").rename(walk.with_name("05.asf"))
    with pytest.raises(MotionError, match=r"2 \.asf files lie beside it"):
        read_amc(walk)


@given(st.text(alphabet="HIERARCHYROOT{}\n 0123456789.-JOINTOFFSETCHANNELSEndSite", max_size=200))
def test_no_text_breaks_the_bvh_reader(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.bvh"
    path.write_text(text)
    with pytest.raises(MotionError):
        read_bvh(path)


@given(st.integers(0, len(BVH) - 30))
def test_a_bvh_that_is_cut_anywhere_is_refused(tmp_path_factory, keep):
    path = tmp_path_factory.getbasetemp() / "cut.bvh"
    path.write_text(BVH[:keep])
    with pytest.raises(MotionError):
        read_bvh(path)


def test_a_folder_is_read_in_order_and_an_empty_one_refused(walk, bvh, tmp_path):
    assert [c.name for c in read_all(tmp_path)] == ["02_01", "a"]
    (tmp_path / "no").mkdir()
    for path, said in ((tmp_path / "no", "no motion in it"), (tmp_path / "none", "no such file")):
        with pytest.raises(MotionError, match=said):
            list(read_all(path))
    with pytest.raises(MotionError, match="not a motion file"):
        read(walk.with_suffix(".fbx"))
    bad = tmp_path / "b.json"
    for text in ("{}", '{"Frames": [[1, 2], [1, 2]]}', "[", '{"Frames": "x"}'):
        bad.write_text(text)
        with pytest.raises(MotionError, match=r"b\.json"):
            read_deepmimic(bad)


def test_clips_carry_numbers_only(bvh):
    clip: Clip = read(bvh)
    assert np.isfinite(clip.position_m).all()
