"""A web page of a character that is driven, where its parts are led, and a stick figure of the wearer beside it; by
viser, on loopback by default."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mujoco
import numpy as np
import rich
import trimesh
import viser

from robostack_sim.avatar.character import Character
from robostack_sim.avatar.retarget import Target

PORT = 8080
LED_RGB = (196, 84, 47)
SEGMENTS = 16
BESIDE_M = 1.5
"""to the left of the character"""


class AvatarView:
    """`show` at any rate, `close` at the end. `recalibrate` is called when somebody presses the button."""

    def __init__(
        self, character: Character, recalibrate: Callable[[], None], *, host: str = "127.0.0.1", port: int = PORT
    ) -> None:
        self._model, self._data = character.model, character.data()
        before = {*threading.enumerate()}
        with _silent():
            self._server = viser.ViserServer(host=host, port=port, verbose=False)
        self._serving = [t for t in threading.enumerate() if t.daemon and t not in before]
        self.where = f"http://{host}:{self._server.get_port()}/"
        scene = self._server.scene
        scene.set_up_direction("+z")
        scene.add_grid("/floor", width=4.0, height=4.0, cell_size=0.5)
        self._bodies = {
            body: scene.add_frame(f"/character/{self._model.body(body).name}", show_axes=False)
            for body in range(1, self._model.nbody)
        }
        for geom in range(self._model.ngeom):
            self._add(geom)
        self._led: dict[str, Any] = {}
        self._wearer: Any = None
        self._status = self._server.gui.add_markdown("")
        self._said = ""
        self._server.gui.add_button("Calibrate anew (hold a T)").on_click(lambda _: recalibrate())

    def show(
        self, qpos: np.ndarray, targets: Mapping[str, Target], status: str, bones_m: np.ndarray | None = None
    ) -> None:
        """One pose, a line for the wearer to read, and (N, 2, 3) ends of the wearer's bones."""
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        with self._server.atomic():
            for body, frame in self._bodies.items():
                frame.position, frame.wxyz = self._data.xpos[body], self._data.xquat[body]
            for part, target in targets.items():
                if part not in self._led:
                    self._led[part] = self._server.scene.add_icosphere(f"/led/{part}", radius=0.02, color=LED_RGB)
                self._led[part].position = target.position_m
            if bones_m is not None and self._wearer is None:
                self._wearer = self._server.scene.add_line_segments(
                    "/wearer", bones_m, LED_RGB, line_width=4.0, position=(0.0, BESIDE_M, 0.0)
                )
            elif bones_m is not None:
                self._wearer.points = bones_m
        if status != self._said:
            self._said = self._status.content = status

    def close(self) -> None:
        with _silent():
            self._server.stop()
            for thread in self._serving:
                thread.join(1.0)

    def _add(self, geom: int) -> None:
        model = self._model
        mesh = solid(model, geom)
        if mesh is None or model.geom_rgba[geom, 3] < 0.05:
            return
        body = model.body(model.geom_bodyid[geom]).name
        rgba = (255 * model.geom_rgba[geom]).astype(np.uint8)
        mesh.visual = trimesh.visual.ColorVisuals(mesh, face_colors=np.tile(rgba, (len(mesh.faces), 1)))
        self._server.scene.add_mesh_trimesh(
            f"/character/{body}/{geom}", mesh, position=model.geom_pos[geom], wxyz=model.geom_quat[geom]
        )


@contextmanager
def _silent() -> Iterator[None]:
    """viser tells where it is and that it stops, by rich's console and whatever `verbose` is: ours is told once."""
    console = rich.get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


def solid(model: mujoco.MjModel, geom: int) -> trimesh.Trimesh | None:
    """A geom's surface in its own frame; None for a plane and what nobody sees."""
    size, kind = model.geom_size[geom], mujoco.mjtGeom(model.geom_type[geom])
    sphere = trimesh.creation.icosphere
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return trimesh.creation.capsule(2.0 * size[1], size[0], count=(SEGMENTS, SEGMENTS))
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return trimesh.creation.cylinder(size[0], 2.0 * size[1], sections=SEGMENTS)
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return sphere(subdivisions=2, radius=size[0])
    if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        return sphere(subdivisions=2).apply_scale(size)
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return trimesh.creation.box(2.0 * size)
    return None
