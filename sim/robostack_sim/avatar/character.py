"""Characters: a MuJoCo model, the bodies that are what a person has, and how far each follows."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from robostack.spec import ContractError

FOLDER = Path(__file__).parent / "characters"
PARTS = ("hips", "chest", "head", "left_hand", "right_hand", "left_foot", "right_foot")
PACKAGE = "package:"
"""A model that an installed package ships: package:dm_control/suite/humanoid_CMU.xml"""


@dataclass(frozen=True)
class Part:
    body: str
    point_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """the point that is led, in the body's axes"""


@dataclass(frozen=True)
class Character:
    """`model` has a site for each part, named for it, whose axes at rest are the world's: nose along x, z up."""

    name: str
    model: mujoco.MjModel
    rest: np.ndarray
    """(nq,) as it stands, on the floor at the origin, facing ahead"""
    head_scale: float
    hand_scale: float
    spec: mujoco.MjSpec
    """what `model` was compiled from"""
    physics: Mapping[str, Any]
    """how its body differs from `spec` in simulated physics (see `body`); nothing where it does not"""
    folder: Path

    @classmethod
    def load(cls, name: str | Path) -> Character:
        """One of ours by name, or a folder with a character.toml. Raises ContractError that says what is missing."""
        folder = FOLDER / name if (FOLDER / name).is_dir() else Path(name)
        path = folder / "character.toml"
        try:
            text: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            ours = ", ".join(sorted(p.name for p in FOLDER.iterdir() if (p / "character.toml").exists()))
            raise ContractError(f"{path}: no such character; there are {ours}, or give a folder of yours") from error
        except tomllib.TOMLDecodeError as error:
            raise ContractError(f"{path}: {error}") from error
        parts = _parts(path, text)
        spec = _spec(path, text.get("model", "model.xml"))
        rest = {str(k): float(v) for k, v in text.get("rest_deg", {}).items()}
        return _made(path, text.get("name", folder.name), spec, parts, rest, text)

    @property
    def has_policy(self) -> bool:
        return (self.folder / "policy.onnx").exists()

    @property
    def policy(self) -> Path:
        """The policy of the task avatar that lies in its folder. Raises ContractError where there is none."""
        path = self.folder / "policy.onnx"
        if not self.has_policy:
            raise ContractError(f"{path}: no policy yet; train one: robostack train avatar --character {self.name}")
        return path

    def data(self) -> mujoco.MjData:
        """At rest."""
        found = mujoco.MjData(self.model)
        found.qpos[:] = self.rest
        mujoco.mj_forward(self.model, found)
        return found

    @cached_property
    def rest_m(self) -> dict[str, np.ndarray]:
        """(3,) of each part at rest."""
        data = self.data()
        return {p: data.site(p).xpos.copy() for p in PARTS}


def _parts(path: Path, text: dict[str, Any]) -> dict[str, Part]:
    given = text.get("parts", {})
    for name in PARTS:
        if "body" not in given.get(name, {}):
            raise ContractError(
                f'{path}: no body is its {name}; add the line  {name} = {{ body = "..." }}  below [parts]'
            )
    if strange := given.keys() - set(PARTS):
        raise ContractError(f"{path}: {sorted(strange)[0]!r} is no part; there are {', '.join(PARTS)}")
    return {n: Part(p["body"], tuple(map(float, p.get("point_m", (0, 0, 0))))) for n, p in given.items()}  # type: ignore[arg-type]


def _spec(path: Path, model: str) -> mujoco.MjSpec:
    file = path.parent / model
    if model.startswith(PACKAGE):
        package, _, inside = model.removeprefix(PACKAGE).partition("/")
        found = importlib.util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            raise ContractError(f"{path}: its model is of package {package!r}: pip install 'robostack[avatar]'")
        file = Path(found.submodule_search_locations[0]) / inside
    try:
        return mujoco.MjSpec.from_file(str(file))
    except (ValueError, OSError) as error:
        raise ContractError(f"{file}: MuJoCo does not read it: {error}") from error


def _made(
    path: Path, name: str, spec: mujoco.MjSpec, parts: dict[str, Part], rest: dict[str, float], text: dict[str, Any]
) -> Character:
    """Adds the sites, and finds how it stands."""
    sites = {}
    for part, of in parts.items():
        body = spec.body(of.body)
        if body is None:
            raise ContractError(f"{path}: {part} is body {of.body!r}, which its model does not have")
        sites[part] = body.add_site(name=part, pos=of.point_m)
    model = spec.compile()
    qpos = model.qpos0.copy()
    for joint, angle in rest.items():
        try:
            qpos[model.joint(joint).qposadr[0]] = np.deg2rad(angle)
        except KeyError as error:
            raise ContractError(f"{path}: rest_deg has {joint!r}, which is no joint of its model") from error
    root = model.body(parts["hips"].body).jntadr[0]
    if root < 0 or model.jnt_type[root] != mujoco.mjtJoint.mjJNT_FREE:
        raise ContractError(f"{path}: its hips, {parts['hips'].body!r}, do not move freely; give that body a freejoint")
    half = np.deg2rad(-0.5 * text.get("faces_deg", 0.0))
    turned = np.zeros(4)
    mujoco.mju_mulQuat(turned, np.array([np.cos(half), 0.0, 0.0, np.sin(half)]), qpos[3:7])
    qpos[3:7] = turned
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    sole = min(data.site(p).xpos[2] for p in ("left_foot", "right_foot"))
    middle = 0.5 * (data.site("left_foot").xpos + data.site("right_foot").xpos)
    qpos[:3] -= [middle[0], middle[1], sole]
    for part, site in sites.items():
        mujoco.mju_negQuat(site.quat, data.xquat[model.site(part).bodyid[0]])
    model, scale = spec.compile(), text.get("scale", {})
    physics = text.get("physics", {})
    scales = scale.get("head", 1.0), scale.get("hands", 1.0)
    return Character(name, model, qpos, *scales, spec, physics, path.parent)
