"""Standing without a policy: inverse kinematics alone, or with a feedback of four gains, as baselines.

The feedback moves ankles and hips against the capture point, where a foot would have to be to come to rest (Pratt et
al. 2006), xi = com + com' / omega with omega^2 = g / height: each joint by how its turning takes the centre of mass
over a foot that stands, dq = -gain J^T (xi - middle of the soles) / |J|^2; gains for ankles, for hips, ahead, sideways.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from robostack_sim.avatar.body import GRAVITY_M_S2, SOLES, Body

Gains = tuple[float, float, float, float]


@dataclass(frozen=True)
class Feedback:
    """`act` gives offsets of drives; gains of the ankles ahead and sideways, and of the hips. All zero: no feedback."""

    gains: Gains
    jacobian: np.ndarray
    """(2, B, 2) of ankles and hips: each joint's J / |J|^2 over the floor at rest, 1/m; zero where it is neither"""
    ahead_m: float

    @classmethod
    def of(cls, body: Body, gains: Gains = (0.0, 0.0, 0.0, 0.0)) -> Feedback:
        model, data = body.model, mujoco.MjData(body.model)
        data.qpos[:] = body.pose(body.character.rest)
        mujoco.mj_forward(model, data)
        hips = int(model.site("hips").bodyid[0])
        com, foot = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        mujoco.mj_jacSubtreeCom(model, data, com, hips)
        found = np.zeros((2, len(body.joints), 2))
        for side in SOLES:
            mujoco.mj_jacSite(model, data, foot, None, model.site(side).id)
            ankle = int(model.site(side).bodyid[0])
            chain = [ankle]
            while model.body_parentid[chain[-1]] != hips:
                chain.append(int(model.body_parentid[chain[-1]]))
            hip = next(b for b in reversed(chain) if model.body_jntnum[b])
            for k, bone in enumerate((ankle, hip)):
                turned = model.jnt_bodyid[model.actuator_trnid[:, 0]] == bone
                way = (com - foot)[:2, body.dof_of[turned]].T
                found[k, turned] = way / np.maximum(np.square(way).sum(1, keepdims=True), 1e-3)
        return cls(gains, found[:, body.balancing], body.ahead_m)

    def act(self, seen: Mapping[str, np.ndarray]) -> np.ndarray:
        """Channels (N, ...) as a policy sees them -> (N, B) rad of the drives that balance."""
        height = np.maximum(seen["com_position"][:, 2:], 0.1)
        captured = seen["com_position"][:, :2] + seen["com_velocity"][:, :2] * np.sqrt(height / GRAVITY_M_S2)
        captured = captured - [self.ahead_m, 0.0]
        gain = np.reshape(self.gains, (2, 1, 2)) * self.jacobian
        return np.asarray(-np.einsum("kad,nd->na", gain, captured))
