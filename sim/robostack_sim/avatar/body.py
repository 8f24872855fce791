"""A character's body in simulated physics: its model with PD drives, its soles, and what is measured of it.

Every joint is driven towards an angle, tau = stiffness (q* - q) - damping q', |tau| <= force, as the character says.
The angles are those of inverse kinematics, an arm's ahead by `lead_s` of how they move, plus what a policy adds:
without the lead a drive whose damping works against every motion is late by damping / stiffness, a tenth of a second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mujoco
import numpy as np

from robostack.spec import ContractError
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.motion.parts import TRACKED

CONTROL_DT_S = 1.0 / 30.0
FASTEST_RAD_S = 10.0
"""of a joint that is led ahead"""
BEYOND_RAD = 0.3
"""that a drive may be led past a joint's limit, to press against it"""
GRAVITY_M_S2 = 9.81
SOLES = ("left_foot", "right_foot")
LED, FEET, NOSE, UP = slice(0, 9), slice(9, 15), slice(15, 18), slice(18, 21)
RATE, VELOCITY = slice(21, 24), slice(24, 27)
COM, COM_VELOCITY, TOUCH = slice(27, 30), slice(30, 33), slice(33, 35)
"""what `Body.model` measures, by columns of its sensordata: m, m/s, rad/s in the world, N"""
FALLEN_M = (0.45, 0.35)
"""of a head at 1.6 m: head or a hand so far from where it is led, or the head so far below, is a fall"""


@dataclass(frozen=True)
class Body:
    character: Character
    model: mujoco.MjModel
    """one drive a joint; fixed joints of the character are not in it"""
    lift_m: float
    """that it stands higher than the character at rest, whose led points of the feet may be its ankles"""
    ahead_m: float
    """from the led points of the feet to the middle of the soles"""
    joints: tuple[str, ...]
    """(A) names, in the order of the drives"""
    qpos_of: np.ndarray
    """(A,) of each in qpos"""
    dof_of: np.ndarray
    """(A,) of each in qvel"""
    columns: np.ndarray
    """(nq,) where each of its qpos is in the character's"""
    arms: tuple[np.ndarray, np.ndarray]
    """joints of the left and of the right arm, indices into `joints`"""

    @classmethod
    def of(cls, character: Character) -> Body:
        """Raises ContractError that names what the character's [physics] has wrong."""
        spec = _spec(character)
        try:
            model = spec.compile()
        except ValueError as error:
            raise ContractError(f"character {character.name}: MuJoCo refuses its body: {error}") from error
        model.actuator_ctrllimited[:] = 0
        joint = model.actuator_trnid[:, 0]
        leads = np.array_equal(model.actuator_biasprm[:, 1], -model.actuator_gainprm[:, 0])  # not a motor's
        if sorted(joint) != list(range(1, model.njnt)) or not leads:
            raise ContractError(
                f"character {character.name}: {model.nu} actuators for {model.njnt - 1} joints; every one "
                "needs a position actuator in its model, or a line below [[physics.gains]]"
            )
        columns = np.array([
            character.model.joint(model.joint(j).name).qposadr[0] + k
            for j in range(model.njnt) for k in range(7 if j == 0 else 1)
        ])  # fmt: skip
        data = mujoco.MjData(model)
        data.qpos[:] = character.rest[columns]
        mujoco.mj_forward(model, data)
        lift = max([-float(c.dist) for c in data.contact], default=0.0)
        feet = [data.site(s).xpos[0] for s in SOLES]
        ahead = float(np.mean([data.geom_xpos[g][0] for g in _soles(model)]) - np.mean(feet))
        names = tuple(model.joint(int(j)).name for j in joint)
        arms = tuple(np.array([k for k, j in enumerate(joint) if _carries(model, j, h)]) for h in TRACKED[1:])
        return cls(
            character, model, max(lift, 0.0), ahead, names, model.jnt_qposadr[joint], model.jnt_dofadr[joint], columns,
            (arms[0], arms[1]),
        )  # fmt: skip

    @property
    def lead_s(self) -> np.ndarray:
        """(A,) by which an arm's drives are led ahead: what damping holds back, and half the control period that an
        angle holds for, so that a joint is right at its end. Legs and trunk are not: a tremble would shake the body."""
        ahead = -self.model.actuator_biasprm[:, 2] / self.model.actuator_gainprm[:, 0] + 0.5 * CONTROL_DT_S
        return np.where(np.isin(np.arange(len(ahead)), np.concatenate(self.arms)), ahead, 0.0)

    @cached_property
    def balancing(self) -> np.ndarray:
        """(B,) drives of legs, trunk and tail, indices into `joints`: what a policy adds to where inverse kinematics
        leads. Arms, neck and head balance little, and exploring there hides what exploring a leg was good for."""
        model = self.model
        led = [any(_carries(model, j, part) for part in TRACKED) for j in model.actuator_trnid[:, 0]]
        return np.flatnonzero(~np.array(led))

    @property
    def up_m(self) -> np.ndarray:
        """(3,) from where a part is in the character's world to where it is in the body's."""
        return np.array([0.0, 0.0, self.lift_m])

    @property
    def substeps(self) -> int:
        return round(CONTROL_DT_S / self.model.opt.timestep)

    @property
    def mass_kg(self) -> float:
        return float(self.model.body_subtreemass[0])

    @property
    def size(self) -> float:
        """Of a head at 1.6 m."""
        return float(self.character.rest_m["head"][2] + self.lift_m) / 1.6

    @cached_property
    def _scratch(self) -> mujoco.MjData:
        return mujoco.MjData(self.model)

    @cached_property
    def soles(self) -> tuple[int, int]:
        """Geoms, left and right."""
        return _soles(self.model)

    def pose(self, qpos: np.ndarray) -> np.ndarray:
        """The character's (..., nq) as the body's."""
        found = np.array(qpos[..., self.columns])
        found[..., 2] += self.lift_m
        return found

    def shown(self, qpos: np.ndarray, led: np.ndarray) -> np.ndarray:
        """The way back: the body's (nq,) in the character's `led` (nq,), which says where fixed joints are."""
        found = led.copy()
        found[self.columns] = qpos
        found[2] -= self.lift_m
        return found

    def sag(self, qpos: np.ndarray) -> np.ndarray:
        """(A,) by which joints would fall short of the pose (nq,) under the body's weight, and drives are led past it:
        torque over stiffness. The soles carry the weight below the centre of mass, each by how near it is."""
        model, data = self.model, self._scratch
        data.qpos[:], data.qvel[:] = qpos, 0.0
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        soles = data.geom_xpos[list(self.soles)]
        com, line = data.subtree_com[0], soles[1] - soles[0]
        share = float(np.clip((com - soles[0])[:2] @ line[:2] / max(float(line[:2] @ line[:2]), 1e-6), 0.0, 1.0))
        aside = (com - (soles[0] + share * line)) * [1.0, 1.0, 0.0]
        torque, jacobian = data.qfrc_bias.copy(), np.zeros((3, model.nv))
        for geom, sole, carries in zip(self.soles, soles, (1.0 - share, share), strict=True):
            mujoco.mj_jac(model, data, jacobian, None, sole + aside, model.geom_bodyid[geom])
            torque -= carries * self.mass_kg * GRAVITY_M_S2 * jacobian[2]
        return np.asarray(torque[self.dof_of] / model.actuator_gainprm[:, 0])

    def spread(self, offset: np.ndarray) -> np.ndarray:
        """(..., B) of the balancing drives -> (..., A) of all."""
        found = np.zeros((*offset.shape[:-1], len(self.joints)))
        found[..., self.balancing] = offset
        return found

    def drive(self, pose: np.ndarray, before: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """(..., A) angles that the drives get: `pose` that is wanted and the one a control period before, led ahead,
        and `offset` on top: `sag`, a policy's."""
        speed = np.clip((pose - before) / CONTROL_DT_S, -FASTEST_RAD_S, FASTEST_RAD_S)
        low, high = self.model.jnt_range[self.model.actuator_trnid[:, 0]].T
        return np.clip(pose + self.lead_s * speed + offset, low - BEYOND_RAD, high + BEYOND_RAD)

    def measured(
        self, qpos: np.ndarray, qvel: np.ndarray, sensed: np.ndarray, tracked_m: np.ndarray, pose: np.ndarray
    ) -> dict[str, np.ndarray]:
        """(N, ...) channels by name: of itself, and of head and hands where trackers say that they should be (N, 9) and
        what inverse kinematics makes of that, `pose` (N, A). Ways and velocities are in the axes of its heading."""
        to = Heading.of(sensed)
        hips, feet = qpos[:, :3], sensed[:, FEET]
        middle = 0.5 * (feet[:, :3] + feet[:, 3:])
        return {
            "hips_height": hips[:, 2:3],
            "hips_axes": to(sensed[:, NOSE.start : UP.stop]),
            "hips_velocity": to(sensed[:, VELOCITY]),
            "hips_rate": to(sensed[:, RATE]),
            "joint_position": qpos[:, self.qpos_of],
            "joint_velocity": qvel[:, self.dof_of],
            "feet_position": to(feet - np.tile(hips, 2)),
            "com_position": to(sensed[:, COM] - middle),
            "com_velocity": to(sensed[:, COM_VELOCITY]),
            "led_position": to(sensed[:, LED] - np.tile(hips, 3)),
            "tracked_position": to(tracked_m - np.tile(hips, 3)),
            "target_pose": pose,
        }

    def fallen(self, led_m: np.ndarray, tracked_m: np.ndarray) -> np.ndarray:
        """(N,) bool; both (N, 3, 3)."""
        off = np.linalg.norm(led_m - tracked_m, axis=-1).max(-1)
        below = tracked_m[:, 0, 2] - led_m[:, 0, 2]
        return ~((off < FALLEN_M[0] * self.size) & (below < FALLEN_M[1] * self.size))


@dataclass(frozen=True)
class Heading:
    """Takes (N, 3 k) vectors of the world to the axes of the hips' heading: ahead, left, up."""

    ahead: np.ndarray
    """(N, 2) where the nose points over the floor"""

    @classmethod
    def of(cls, sensed: np.ndarray) -> Heading:
        nose = sensed[:, NOSE][:, :2]
        return cls(nose / np.maximum(np.linalg.norm(nose, axis=1, keepdims=True), 1e-9))

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        x, y, z = vectors.reshape(len(vectors), -1, 3).transpose(2, 0, 1)
        c, s = self.ahead[:, :1], self.ahead[:, 1:]
        return np.stack([c * x + s * y, c * y - s * x, z], -1).reshape(vectors.shape)


def _spec(character: Character) -> mujoco.MjSpec:
    spec, physics = character.spec.copy(), character.physics
    for sensor in list(spec.sensors):
        spec.delete(sensor)
    if physics:
        _rebuild(spec, physics, f"character {character.name}: [physics]")
    kinds = mujoco.mjtSensor
    hips = character.model.body(character.model.site("hips").bodyid[0]).name
    for foot in SOLES:
        body = spec.body(character.model.body(character.model.site(foot).bodyid[0]).name)
        reach = 0.4 * character.rest_m["head"][2]  # a touch counts where it meets the site: the whole foot
        body.add_site(name=f"{foot}_touch", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[reach] * 3, group=5)
    site, body = mujoco.mjtObj.mjOBJ_SITE, mujoco.mjtObj.mjOBJ_BODY
    wanted = [(kinds.mjSENS_FRAMEPOS, site, p) for p in (*TRACKED, *SOLES)]
    wanted += [
        (getattr(kinds, f"mjSENS_{k}"), site, "hips")
        for k in ("FRAMEXAXIS", "FRAMEZAXIS", "FRAMEANGVEL", "FRAMELINVEL")
    ]
    wanted += [(kinds.mjSENS_SUBTREECOM, body, hips), (kinds.mjSENS_SUBTREELINVEL, body, hips)]
    wanted += [(kinds.mjSENS_TOUCH, site, f"{foot}_touch") for foot in SOLES]
    for kind, of, name in wanted:
        spec.add_sensor(type=kind, objtype=of, objname=name)
    return spec


def _rebuild(spec: mujoco.MjSpec, physics: Mapping[str, Any], where: str) -> None:
    """Drives instead of motors, soles instead of feet, collisions with the floor alone."""
    try:
        spec.option.timestep = float(physics["timestep_s"])
        gains, soles, armature = physics["gains"], physics["soles"], float(physics["armature"])
        fixed = re.compile(physics.get("fixed", "^$"))
        table = [(re.compile(g["joints"]), g["stiffness"], g["damping"], g["force"]) for g in gains]
        boxes = [(s["body"], s["size_m"], s["point_m"]) for s in soles]
    except (KeyError, TypeError, ValueError, re.error) as error:
        raise ContractError(f"{where}: {error}; see the human's character.toml") from error
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.iterations, spec.option.ls_iterations = 6, 8
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for joint in list(spec.joints):
        if joint.type == mujoco.mjtJoint.mjJNT_HINGE and fixed.search(joint.name):
            spec.delete(joint)
    for geom in spec.geoms:
        floor = geom.type == mujoco.mjtGeom.mjGEOM_PLANE
        geom.contype, geom.conaffinity = (2, 1) if floor else (1, 2)
        if floor:
            geom.friction = [1.0, 0.05, 0.01]
    for name, size, point in boxes:
        foot = spec.body(name)
        if foot is None:
            raise ContractError(f"{where}: soles: there is no body {name!r}")
        for body in (foot, *foot.find_all(mujoco.mjtObj.mjOBJ_BODY)):
            for geom in body.geoms:
                geom.contype = geom.conaffinity = 0
        foot.add_geom(
            name=f"{name}_sole", type=mujoco.mjtGeom.mjGEOM_BOX, size=size, pos=point, density=100.0, contype=1,
            conaffinity=2, friction=[1.0, 0.05, 0.01],
        )  # fmt: skip
    for joint in spec.joints:
        if joint.type != mujoco.mjtJoint.mjJNT_HINGE:
            continue
        gain = next((g for g in table if g[0].search(joint.name)), None)
        if gain is None:
            raise ContractError(f"{where}: no line of gains fits joint {joint.name!r}; add one, or fix it")
        joint.stiffness, joint.damping, joint.armature = np.zeros(3), np.array([0.1, 0.0, 0.0]), armature
        drive = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        drive.set_to_position(kp=gain[1], kv=gain[2])
        drive.forcelimited, drive.forcerange = 1, [-gain[3], gain[3]]


def _soles(model: mujoco.MjModel) -> tuple[int, int]:
    """The lowest geom of each foot that collides."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    found = []
    for foot in SOLES:
        body = model.site(foot).bodyid[0]
        geoms = [g for g in range(model.ngeom) if model.geom_bodyid[g] == body and model.geom_contype[g]]
        if not geoms:
            raise ContractError(f"no geom of {model.body(body).name!r}, a {foot}, collides with the floor")
        found.append(min(geoms, key=lambda g: data.geom_xpos[g][2]))
    return found[0], found[1]


def _carries(model: mujoco.MjModel, joint: int, part: str) -> bool:
    """Whether a joint is between a part and the chest: of a hand's arm, of the head's neck."""
    chest, body = model.site("chest").bodyid[0], model.site(part).bodyid[0]
    while body not in (chest, 0):
        if model.jnt_bodyid[joint] == body:
            return True
        body = model.body_parentid[body]
    return False
