"""A parallel gripper that holds a peg over a table, or over a socket on it, in MuJoCo: many at once, on a thread pool.

The wrist is six joints whose servos are the arm's Cartesian impedance: springs towards a pose, and damping. The grasp
is one of two. `contact`: pads that are pushed against the peg and hold it by friction, as a real one does. `bushing`:
the peg hangs in springs at the place where it was gripped, for what gel and friction do while nothing slides; there is
no contact but the table's, and it cannot be dropped. tests/tactile/test_gripper.py compares them.

MuJoCo's usual solref makes a contact as stiff as the masses that meet in it, and pads sink through a light peg; a
direct one (-stiffness, -damping, per unit of mass) does not, at steps of 2 ms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robostack import quaternion
from robostack_sim.physics import Physics
from robostack_sim.tactile.sensor.pads import Pad
from robostack_sim.tactile.sensor.solids import Cylinder, Prism
from robostack_sim.tactile.socket import Socket, octagon, vertices

Grasp = Literal["bushing", "contact"]
PegShape = Literal["round", "octagonal"]
Array = NDArray[np.float64]

CONTROL_HZ = 60
SUBSTEPS = 8
"""of 2.08 ms; the facts' 4 ms loses a peg that is held by friction"""
SETTLING_PERIODS = 6
DIRECT_SOLREF = "-250000 -800"
HALF = math.sqrt(0.5)
PAD_QUATS_WXYZ = ((HALF, HALF, 0.0, 0.0), (0.0, 0.0, HALF, HALF))
"""of the pads in the gripper's frame: z at each other along the gripper's y, rows upwards along its z"""


@dataclass(frozen=True)
class Impedance:
    """Of the wrist: springs and dampers of a Cartesian controller, along and about the world's axes."""

    stiffness_n_m: float = 1000.0
    damping_n_s_m: float = 60.0
    stiffness_n_m_rad: float = 50.0
    damping_n_m_s_rad: float = 1.0


class Spring(NamedTuple):
    """A joint between gripper and peg, in the order in which MuJoCo turns and shifts the peg."""

    name: str
    joint: Literal["hinge", "slide"]
    axis: str
    stiffness: float
    """N/m or N m/rad"""
    damping: float


@dataclass(frozen=True)
class Bushing:
    """Two pads with a peg between them as springs: of the order of a Winkler foundation's shear under the area that a
    20 mm peg touches at 15 N, 2 kt A along and 2 kt (moment of that area) about the pads' normal."""

    stiffness_n_m: float = 5000.0
    damping_n_s_m: float = 20.0
    stiffness_n_m_rad: float = 1.0
    damping_n_m_s_rad: float = 0.01

    @property
    def springs(self) -> tuple[Spring, ...]:
        along = (self.stiffness_n_m, self.damping_n_s_m)
        return (
            Spring("tilt", "hinge", "0 1 0", self.stiffness_n_m_rad, self.damping_n_m_s_rad),
            Spring("along", "slide", "0 0 1", *along),
            Spring("across", "slide", "1 0 0", *along),
        )


@dataclass(frozen=True)
class PressedBushing(Bushing):
    """It gives way also where the peg is pushed into one pad, or turned about the gripper's x, more into one pad at its
    top and more into the other at its bottom: the same foundation's 2 kn A, and 2 kn (moment of that area)."""

    pressed_n_m: float = 15000.0
    pressed_n_m_rad: float = 3.0

    @property
    def springs(self) -> tuple[Spring, ...]:
        tilt, *shifts = super().springs
        return (
            tilt,
            Spring("roll", "hinge", "1 0 0", self.pressed_n_m_rad, self.damping_n_m_s_rad),
            *shifts,
            Spring("into", "slide", "0 1 0", self.pressed_n_m, self.damping_n_s_m),
        )


@dataclass(frozen=True)
class Peg:
    """20 x 70 mm: the pads of 28 mm are covered wherever it is gripped. Round, or octagonal with 20 mm across flats,
    two of which the pads hold."""

    radius_m: float = 0.010
    length_m: float = 0.070
    mass_kg: float = 0.06
    shape: PegShape = "round"

    @property
    def solid(self) -> Cylinder | Prism:
        if self.shape == "octagonal":
            return Prism(8, 2.0 * self.radius_m, self.length_m)
        return Cylinder(self.radius_m, self.length_m)

    @property
    def mesh(self) -> str:
        """What `geom` refers to, as an asset of MuJoCo's."""
        ends = octagon(self.radius_m, -0.5 * self.length_m), octagon(self.radius_m, 0.5 * self.length_m)
        return f'<mesh name="peg" vertex="{vertices(np.concatenate(ends))}"/>' if self.shape == "octagonal" else ""

    @property
    def geom(self) -> str:
        if self.shape == "octagonal":
            return 'type="mesh" mesh="peg"'
        return f'type="cylinder" size="{self.radius_m} {0.5 * self.length_m}"'

    def lowest_m(self, height_m: Tensor, upright: Tensor) -> Tensor:
        """Height of a round one's lowest point, with its middle at `height_m` and `upright` of its axis along z."""
        lean = (1.0 - upright.square()).clamp(min=0.0).sqrt()
        return height_m - 0.5 * self.length_m * upright.abs() - self.radius_m * lean


def model_xml(grasp: Grasp, peg: Peg, pad: Pad, arm: Impedance, bushing: Bushing, socket: Socket | None = None) -> str:
    """The model. Bodies: grip (its origin between the pads), pad_0, pad_1 (a pad's frame each), peg (its middle), and
    socket (the middle of the hole on the table)."""
    touching = grasp == "contact"
    half = f"{0.5 * pad.columns * pad.pitch_m} {0.5 * pad.rows * pad.pitch_m} .002"
    slide = '<joint name="finger_{0}" type="slide" axis="0 0 1" range="-.03 .0012" limited="true" damping="50"/>'
    pads = "".join(
        f'<body name="pad_{i}" pos="0 {y} 0" quat="{" ".join(map(str, quat))}" gravcomp="1">'
        f"{slide.format(i) if touching else ''}"
        f'<geom name="pad_{i}" type="box" size="{half}" pos="0 0 -.002" mass=".05" condim="4" friction="2 .01 .001" '
        f'contype="{2 * touching}" conaffinity="0"/></body>'
        for i, (y, quat) in enumerate(zip((peg.radius_m, -peg.radius_m), PAD_QUATS_WXYZ, strict=True))
    )
    geom = f'<geom name="peg" {peg.geom} mass="{peg.mass_kg}" condim="4" contype="0" conaffinity="3"/>'
    springs = "".join(
        f'<joint name="{s.name}" type="{s.joint}" axis="{s.axis}" stiffness="{s.stiffness}" damping="{s.damping}"/>'
        for s in bushing.springs
    )
    inside = "" if touching else f'<body name="peg">{springs}{geom}</body>'
    outside = f'<body name="peg"><freejoint/>{geom}</body>' if touching else ""
    axes = {"x": "1 0 0", "y": "0 1 0", "z": "0 0 1"}
    wrist = "".join(
        f'<joint name="{name}{n}" type="{kind}" axis="{axis}" damping="{damping}"/>'
        for name, kind, damping in (("", "slide", arm.damping_n_s_m), ("turn_", "hinge", arm.damping_n_m_s_rad))
        for n, axis in axes.items()
    )
    servos = "".join(f'<position joint="{n}" kp="{arm.stiffness_n_m}"/>' for n in axes)
    servos += "".join(f'<position joint="turn_{n}" kp="{arm.stiffness_n_m_rad}"/>' for n in axes)
    squeeze = "".join(f'<motor joint="finger_{i}"/>' for i in (0, 1)) if touching else ""
    felt = '<contact name="on_{0}" geom1="peg" geom2="pad_{0}" data="force" reduce="netforce" num="1"/>'
    sensors = f"<sensor>{felt.format(0)}{felt.format(1)}</sensor>" if touching else ""
    meshes = peg.mesh + (socket.mesh if socket else "")
    return f"""
<mujoco model="gripper">
  <compiler angle="radian"/>
  <option timestep="{1.0 / (CONTROL_HZ * SUBSTEPS)}" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <default><geom solref="{DIRECT_SOLREF}" solimp=".9 .95 .001" friction=".3 .003 .0001"/></default>
  {f"<asset>{meshes}</asset>" if meshes else ""}
  <worldbody>
    {socket.body if socket else ""}
    <geom name="table" type="plane" size="1 1 .1" contype="1" conaffinity="0"/>
    <body name="grip" gravcomp="1">{wrist}
      <geom type="box" size=".03 .05 .01" pos="0 0 .06" mass=".6" contype="0" conaffinity="0"/>
      {pads}{inside}
    </body>
    {outside}
  </worldbody>
  <actuator>{servos}{squeeze}</actuator>
  {sensors}
</mujoco>"""


class Gripper:
    """`num_envs` of them. After `restart`, `step` and `load_state` these are of the present, (num_envs, ...) float32 in
    the world's frame: `pose` of the gripper's middle, `peg_pose`, both (7,) position in m and quat_wxyz, `pad_poses`
    (2, 7), and `pad_force_n` (2, 3), what the peg pushes each pad with."""

    def __init__(
        self,
        num_envs: int,
        grasp: Grasp = "bushing",
        threads: int = 1,
        peg: Peg | None = None,
        pad: Pad | None = None,
        arm: Impedance | None = None,
        bushing: Bushing | None = None,
        socket: Socket | None = None,
        physics: Physics | None = None,
    ) -> None:
        """`threads` step the environments, 0: one a core; results do not depend on it. Raises ImportError without
        MuJoCo."""
        try:
            import mujoco
            from mujoco.batch import Batch
        except ImportError as error:
            raise ImportError("MuJoCo is not installed: pip install 'robostack[mujoco]'") from error

        self.num_envs, self.grasp, self.peg, self.bushing = num_envs, grasp, peg or Peg(), bushing or Bushing()
        xml = model_xml(grasp, self.peg, pad or Pad(), arm or Impedance(), self.bushing, socket)
        model = mujoco.MjModel.from_xml_string(xml)
        self._substeps = (physics or Physics()).set(model, 1.0 / CONTROL_HZ)
        self._batch: Any = Batch(model, num_envs, nthread=threads)
        self._positions = mujoco.mjtStage.mjSTAGE_POS.value
        bound = ("qpos", "qvel", "qacc_warmstart", "qfrc_applied", "ctrl", "xpos", "xquat")
        self._qpos, self._qvel, self._warm, self._applied, self._ctrl, self._xpos, self._xquat = (
            self._batch.bind(name) for name in bound
        )
        self._felt = self._batch.bind("sensordata") if grasp == "contact" else None
        self._socket = self._batch.bind("mocap_pos") if socket else None
        self._bodies = [model.body(name).id for name in ("grip", "peg", "pad_0", "pad_1")]
        self._springs = np.array([s.stiffness for s in self.bushing.springs])
        self._at = {s.name: k for k, s in enumerate(self.bushing.springs)}
        self._gripped = np.zeros((num_envs, len(self._springs)))
        """where the springs are at rest"""
        self.squeeze_n = torch.zeros(num_envs)
        self.pose, self.peg_pose = torch.zeros(num_envs, 7), torch.zeros(num_envs, 7)
        self.pad_poses, self.pad_force_n = torch.zeros(num_envs, 2, 7), torch.zeros(num_envs, 2, 3)

    def restart(
        self,
        rows: Tensor,
        position_m: Tensor,
        tilt_rad: Tensor,
        along_m: Tensor,
        squeeze_n: Tensor,
        socket_m: Tensor | None = None,
    ) -> None:
        """At rest in the environments `rows` (n,): the gripper upright at `position_m` (n, 3), the peg turned about the
        gripper's y by `tilt_rad` (n,) and with its middle `along_m` (n,) from the gripper's along its own axis. A
        socket, where there is one, stands at `socket_m` (n, 3); None leaves it."""
        at, n = rows.numpy(), len(rows)
        gripped = np.zeros((n, len(self._springs)))
        gripped[:, self._at["tilt"]], gripped[:, self._at["along"]] = tilt_rad.numpy(), along_m.numpy()
        self._gripped[at] = gripped
        self.squeeze_n[rows] = squeeze_n
        self._qvel[at] = self._warm[at] = self._applied[at] = self._qpos[at] = self._ctrl[at] = 0.0
        self._qpos[at, :3] = self._ctrl[at, :3] = position_m.numpy()
        if self._socket is not None and socket_m is not None:
            self._socket[at, 0] = socket_m.numpy()
        if self.grasp == "contact":
            turn, shift = np.zeros((n, 3)), np.zeros((n, 3))
            turn[:, 1], shift[:, 2] = tilt_rad.numpy(), along_m.numpy()
            quat = quaternion.from_rotation_vector(turn)
            self._qpos[at, 8:11], self._qpos[at, 11:15] = position_m.numpy() + quaternion.rotate(quat, shift), quat
            self._ctrl[at, 6:] = squeeze_n.numpy()[:, None]
            # until the pads press as they should
            self._batch.step(at, nstep=SETTLING_PERIODS * self._substeps, stage=self._positions)
        else:
            self._qpos[at, 6:] = gripped
            # a spring about where it was gripped is one about zero and a constant force
            self._applied[at, 6:] = self._springs * gripped
            self._batch.forward(at, stage=self._positions)
        self._look(at)

    def step(self, position_m: Tensor, quat_wxyz: Tensor) -> None:
        """A control period with the arm's springs towards a pose (num_envs, 3) and (num_envs, 4)."""
        self._ctrl[:, :3] = position_m.numpy()
        self._ctrl[:, 3:6] = euler_xyz(quat_wxyz.double().numpy())
        self._batch.step(nstep=self._substeps, stage=self._positions)
        self._look()

    def _look(self, rows: Any = slice(None)) -> None:
        """Takes over what MuJoCo computed last in these environments; in others it may not have."""
        grip, peg, *pads = self._bodies
        for into, body in ((self.pose, grip), (self.peg_pose, peg), *zip(self.pad_poses.unbind(1), pads, strict=True)):
            into[rows] = torch.from_numpy(np.concatenate([self._xpos[rows, body], self._xquat[rows, body]], 1)).float()
        self.pad_force_n[rows] = torch.from_numpy(self._pad_force()[rows]).float()

    def _pad_force(self) -> Array:
        """(num_envs, 2, 3) N."""
        if self._felt is not None:
            return np.array(self._felt).reshape(self.num_envs, 2, 3)
        grip, peg = (self._xquat[:, body] for body in self._bodies[:2])
        springs = self._springs * (self._qpos[:, 6:] - self._gripped)
        pull = np.zeros((self.num_envs, 3))  # without moments: bristles feel the turn itself
        for k, name in enumerate(("across", "into", "along")):
            if name in self._at:
                pull[:, k] = springs[:, self._at[name]]
        out = np.zeros((self.num_envs, 3))
        out[:, 1] = self.squeeze_n.numpy()
        half, squeeze = 0.5 * quaternion.rotate(peg, pull), quaternion.rotate(grip, out)
        return np.stack([half + squeeze, half - squeeze], 1)

    def state_dict(self) -> dict[str, Tensor]:
        """They alias internal buffers."""
        state, gripped = torch.from_numpy(self._batch.state), torch.from_numpy(self._gripped)
        return {"physics": state, "gripped": gripped, "squeeze_n": self.squeeze_n, "pad_force_n": self.pad_force_n}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        for name, value in self.state_dict().items():
            value.copy_(kept[name])
        self._batch.forward(stage=self._positions)
        self._look()
        self.pad_force_n.copy_(kept["pad_force_n"])  # a solver's are of its last step


def euler_xyz(quat_wxyz: Array) -> Array:
    """(..., 3) turns about x, then the new y, then the new z, of (..., 4): what three hinges in this order stand at."""
    w, x, y, z = np.moveaxis(quat_wxyz, -1, 0)
    return np.stack(
        [
            np.arctan2(2.0 * (w * x - y * z), 1.0 - 2.0 * (x * x + y * y)),
            np.arcsin(np.clip(2.0 * (x * z + w * y), -1.0, 1.0)),
            np.arctan2(2.0 * (w * z - x * y), 1.0 - 2.0 * (y * y + z * z)),
        ],
        axis=-1,
    )
