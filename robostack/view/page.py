"""The page itself, by viser: a floor, machines, paths. What moves is a few meshes, so a frame is a few messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import viser

from robostack import quaternion

Array = npt.NDArray[np.floating]
Colour = tuple[int, int, int]

BLUE, ORANGE, RED, GREY, INK = (42, 102, 217), (217, 115, 13), (196, 50, 47), (150, 156, 165), (40, 44, 50)
ROTOR_SIDES = 16


@dataclass(frozen=True)
class Shape:
    """`vertices` (V, 3) m in the body frame, `faces` (F, 3) of them."""

    vertices: Array
    faces: npt.NDArray[np.integer]

    def __add__(self, other: Shape) -> Shape:
        faces = np.concatenate([self.faces, other.faces + len(self.vertices)])
        return Shape(np.concatenate([self.vertices, other.vertices]), faces)


def box(size: tuple[float, float, float], centre: Array, yaw_rad: float = 0.0) -> Shape:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * np.array(size) / 2
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    turned = corners @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return Shape(turned + centre, np.array([f for a, b, c, d in sides for f in ((a, b, c), (a, c, d))]))


def disc(radius: float, centre: Array) -> Shape:
    angle = np.linspace(0.0, 2 * np.pi, ROTOR_SIDES, endpoint=False)
    rim = radius * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], 1)
    k = np.arange(ROTOR_SIDES)
    return Shape(np.vstack([np.zeros(3), rim]) + centre, np.stack([0 * k, 1 + k, 1 + (k + 1) % ROTOR_SIDES], 1))


def multirotor(rotor_x_m: Array, rotor_y_m: Array) -> tuple[Shape, Shape]:
    """A frame with its rear rotors, and the rotors in front, which are coloured apart."""
    arm = float(np.hypot(rotor_x_m, rotor_y_m).max())
    frame = box((0.5 * arm, 0.5 * arm, 0.3 * arm), np.zeros(3))
    front: Shape | None = None
    for x, y in zip(rotor_x_m, rotor_y_m, strict=True):
        middle = np.array([x / 2, y / 2, 0.0])
        frame += box((float(np.hypot(x, y)), 0.12 * arm, 0.1 * arm), middle, float(np.arctan2(y, x)))
        rotor = disc(0.6 * arm, np.array([x, y, 0.2 * arm]))
        if x > 0:
            front = rotor if front is None else front + rotor
        else:
            frame += rotor
    return frame, front or frame


def shapes_of(machine: Mapping[str, Any]) -> tuple[Shape, Shape]:
    """What a machine looks like, by its numbers: a multirotor, or a box with a front."""
    if "rotor_x" in machine and "rotor_y" in machine:
        return multirotor(np.array(machine["rotor_x"]), np.array(machine["rotor_y"]))
    return box((0.08, 0.06, 0.04), np.zeros(3)), box((0.02, 0.06, 0.04), np.array([0.05, 0.0, 0.0]))


def places(values: Array) -> Array:
    """(..., n) m along x, or x and y, or x, y and z -> (..., 3)"""
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, 3 - values.shape[-1])])


class Page:
    """On loopback by default. A port that is taken gives way to the next; `where` says which it is."""

    def __init__(self, host: str, port: int, *, reach_m: float, low_m: float) -> None:
        """What is shown lies within `reach_m` of the middle, and no lower than `low_m`."""
        self.server = viser.ViserServer(host=host, port=port, verbose=False)
        self.where = f"http://{host}:{self.server.get_port()}/"
        self.server.gui.configure_theme(control_layout="collapsible", show_logo=False, show_share_button=False)
        scene = self.server.scene
        scene.set_up_direction("+z")
        size = 2.0 * float(np.ceil(reach_m))
        scene.add_grid("/floor", width=size, height=size, cell_size=0.5, position=(0.0, 0.0, low_m - 0.2 * reach_m))

        @self.server.on_client_connect
        def look(client: viser.ClientHandle) -> None:
            client.camera.position = (-1.0 * reach_m, -1.3 * reach_m, 1.0 * reach_m)
            client.camera.look_at = (0.0, 0.0, 0.5 * min(low_m, 0.0))

    def close(self) -> None:
        self.server.stop()


class Machines:
    """`count` of them in one colour."""

    def __init__(self, page: Page, name: str, count: int, colour: Colour, shapes: tuple[Shape, Shape]) -> None:
        self._shapes = shapes
        add = page.server.scene.add_mesh_simple
        self._meshes = [
            add(f"/{name}/{part}", np.zeros((count * len(s.vertices), 3)), _copies(s, count), color, side="double")
            for part, s, color in zip(("frame", "front"), shapes, (INK, colour), strict=True)
        ]

    def show(self, position_m: Array, attitude: Array, larger: float = 1.0) -> None:
        """(count, 3) and quat_wxyz (count, 4)."""
        for mesh, shape in zip(self._meshes, self._shapes, strict=True):
            turned = quaternion.rotate(attitude[:, None, :], larger * shape.vertices[None])
            mesh.vertices = (turned + position_m[:, None, :]).reshape(-1, 3).astype(np.float32)

    def remove(self) -> None:
        for mesh in self._meshes:
            mesh.remove()


class Paths:
    """Lines through space, all in one colour."""

    def __init__(self, page: Page, name: str, colour: Colour, width: float = 2.0) -> None:
        self._scene, self._name, self._colour, self._width = page.server.scene, f"/{name}", colour, width
        self._lines: viser.LineSegmentsHandle | None = None

    def show(self, points_m: Array) -> None:
        """(T, N, 3): N lines of T points. A point that is not finite breaks its line."""
        pieces = np.stack([points_m[:-1], points_m[1:]], 2).reshape(-1, 2, 3).astype(np.float32)
        pieces[~np.isfinite(pieces).all((1, 2))] = 0.0  # of no length
        if self._lines is not None and len(self._lines.points) == len(pieces):
            self._lines.points = pieces
        elif len(pieces):  # a node that is added again takes the other's place
            colours = np.array(self._colour, np.uint8)
            self._lines = self._scene.add_line_segments(self._name, pieces, colours, self._width)

    def remove(self) -> None:
        if self._lines is not None:
            self._lines.remove()


def _copies(shape: Shape, count: int) -> npt.NDArray[np.integer]:
    return (shape.faces[None] + len(shape.vertices) * np.arange(count)[:, None, None]).reshape(-1, 3)
