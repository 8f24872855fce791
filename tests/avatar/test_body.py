"""Claims: a character's body stands on its soles, its drives follow without delay, and what does not fit is named."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest

pytest.importorskip("mink")

from robostack.spec import ContractError
from robostack_sim.avatar.body import CONTROL_DT_S, LED, NOSE, SOLES, TOUCH, Body, Heading
from robostack_sim.avatar.character import Character

CHARACTERS = ("human", "dinosaur")


@pytest.fixture(scope="module", params=CHARACTERS)
def body(request) -> Body:
    return Body.of(Character.load(request.param))


def at_rest(body: Body) -> mujoco.MjData:
    data = mujoco.MjData(body.model)
    data.qpos[:] = body.pose(body.character.rest)
    mujoco.mj_forward(body.model, data)
    return data


def test_every_joint_has_one_drive(body):
    assert body.model.nu == body.model.njnt - 1 == len(set(body.joints))
    assert not any(word in j for j in body.joints for word in ("finger", "thumb", "toes", "wrist"))
    arms = np.concatenate(body.arms)
    assert (body.lead_s[arms] > 0.5 * CONTROL_DT_S).all() and np.count_nonzero(body.lead_s) == len(arms)


def test_at_rest_both_soles_lie_on_the_floor(body):
    data = at_rest(body)
    data.qpos[2] -= 1e-4
    mujoco.mj_forward(body.model, data)
    touching = {int(g) for c in data.contact for g in c.geom}
    assert set(body.soles) <= touching
    assert min(c.dist for c in data.contact) == pytest.approx(-1e-4, abs=1e-4)
    assert (data.sensordata[TOUCH] > 0.0).all()


def test_what_is_measured_is_where_the_sites_are(body):
    data = at_rest(body)
    led = data.sensordata[LED].reshape(3, 3)
    for place, part in zip(led, ("head", "left_hand", "right_hand"), strict=True):
        assert place == pytest.approx(data.site(part).xpos)
        assert place - [0.0, 0.0, body.lift_m] == pytest.approx(body.character.rest_m[part], abs=1e-6)
    assert data.sensordata[NOSE] == pytest.approx([1.0, 0.0, 0.0], abs=1e-6), "nose along x"


def test_a_pose_comes_back_as_it_was_with_fixed_joints_where_they_are_led(body):
    random = np.random.default_rng(0)
    led = body.character.rest + 0.1 * random.normal(size=body.character.model.nq)
    assert body.shown(body.pose(led), led) == pytest.approx(led)


def test_vectors_are_seen_from_the_heading():
    sensed = np.zeros((1, 35))
    sensed[0, NOSE] = 0.0, 2.0, 0.5
    ahead, left = Heading.of(sensed)(np.array([[0.0, 3.0, 1.0, -1.0, 0.0, 0.0]])).reshape(2, 3)
    assert ahead == pytest.approx([3.0, 0.0, 1.0]) and left == pytest.approx([0.0, 1.0, 0.0])


def test_led_ahead_a_joint_is_where_it_should_be_and_without_it_is_late():
    body = Body.of(Character.load("human"))
    joint = body.joints.index("lradiusrx")
    late = {}
    for ahead in (True, False):
        data = at_rest(body)
        data.qpos[2] += 5.0
        body.model.opt.gravity[:] = 0.0
        rest = data.qpos[body.qpos_of]
        before = rest.copy()
        for k in range(1, 25):
            pose = rest.copy()
            pose[joint] += 1.5 * k * CONTROL_DT_S
            data.ctrl[:] = body.drive(pose, before if ahead else pose, np.zeros_like(pose))
            before = pose
            mujoco.mj_step(body.model, data, nstep=body.substeps)
        late[ahead] = pose[joint] + 1.5 * CONTROL_DT_S - data.qpos[body.qpos_of[joint]]
    assert abs(late[True]) < 0.02
    assert late[False] > 0.08, "1.5 rad/s times lead_s"


def test_led_past_its_sag_a_pose_is_held_against_the_bodys_weight(body):
    short = {}
    for share in (0.0, 1.0):
        data = at_rest(body)
        pose = data.qpos[body.qpos_of]
        data.ctrl[:] = body.drive(pose, pose, share * body.sag(data.qpos))
        mujoco.mj_step(body.model, data, nstep=15 * body.substeps)
        short[share] = np.abs(data.qpos[body.qpos_of] - pose).max()
    assert short[1.0] < min(0.02, 0.6 * short[0.0]), "rad, after half a second"


def test_a_fall_is_a_part_far_off_or_a_head_too_low(body):
    here = np.tile(at_rest(body).sensordata[LED].reshape(1, 3, 3), (4, 1, 1))
    wanted = here.copy()
    here[1, 2, 0] += 0.5 * body.size
    here[2, 0, 2] -= 0.4 * body.size
    here[3] = np.nan
    assert body.fallen(here, wanted).tolist() == [False, True, True, True]


def test_what_a_character_has_wrong_is_named():
    human = Character.load("human")
    fewer = [g for g in human.physics["gains"] if "femur" not in g["joints"]]
    with pytest.raises(ContractError, match="no line of gains fits joint 'lfemur"):
        Body.of(replace(human, physics={**human.physics, "gains": fewer}))
    with pytest.raises(ContractError, match="'armature'"):
        Body.of(replace(human, physics={k: v for k, v in human.physics.items() if k != "armature"}))
    sole = {**human.physics["soles"][0], "body": "paw"}
    with pytest.raises(ContractError, match="no body 'paw'"):
        Body.of(replace(human, physics={**human.physics, "soles": [sole]}))
    with pytest.raises(ContractError, match="every one needs a position actuator"):
        Body.of(replace(human, physics={}))


def test_feet_are_the_characters(body):
    assert [body.model.geom(g).bodyid[0] for g in body.soles] == [body.model.site(s).bodyid[0] for s in SOLES]


@pytest.mark.parametrize("name", ["human", "dinosaur", "mouse"])
def test_a_policy_adds_to_legs_trunk_and_tail_alone(name):
    body = Body.of(Character.load(name))
    moved = {body.joints[k] for k in body.balancing}
    assert not any(word in j for j in moved for word in ("neck", "head", "shoulder", "elbow", "humerus", "radius"))
    legs = [j for j in body.joints if any(w in j for w in ("hip", "knee", "ankle", "femur", "tibia", "foot", "tail"))]
    assert legs and moved.issuperset(legs)
    spread = body.spread(np.ones((2, len(moved))))
    assert spread.shape == (2, len(body.joints)) and spread.sum() == 2 * len(moved)
