"""Many environments under the policy of a run as it is now: what is being trained, in flight, twice a second anew."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch

from robostack import quaternion
from robostack.learn.trained import RunSettings, misfit
from robostack.learn.watched import EVERY_S, Watching
from robostack.nets.actor import Actor
from robostack.run_folder import RunFolder
from robostack.spec import ContractError
from robostack.task import Task
from robostack.view.page import BLUE, GREY, Array, Machines, Page, Paths, places, shapes_of

SPACING_M = 1.6
TRAIL_S = 0.6
SEED = 4_000_037


class LivePage:
    """`advance` at any rate. The environments are this page's own, so training is not held up by who looks on.

    Raises ContractError for a task whose snapshot has no position, and where the run's settings do not fit it.
    """

    def __init__(self, run: RunFolder, num_envs: int, host: str, port: int) -> None:
        torch.set_num_threads(1)
        self._run, (task, actor) = run, environments(run, num_envs)
        self._task, self._actor = task, actor
        self._obs, _ = task.reset(SEED)
        self._memory = actor.initial_state(num_envs)
        self._offset = on_a_grid(num_envs)
        self._watching, self._asked_s, self._behind_s = Watching(run), -np.inf, 0.0
        self._page = page = Page(host, port, reach_m=float(self._offset.max()) + 0.5 * SPACING_M, low_m=-0.6)
        self.where = page.where
        self._machines = Machines(page, "machines", num_envs, BLUE, shapes_of(task.machine))
        self._paths = Paths(page, "trails", GREY, 1.5)
        self._trail = np.full((max(2, round(TRAIL_S / task.step_dt)), task.num_envs, 3), np.nan)
        self.trails = page.server.gui.add_checkbox("trails", True)
        self.larger = page.server.gui.add_slider("drawn larger", 1.0, 10.0, 0.5, 5.0)
        self.said = page.server.gui.add_markdown("")
        self.iteration: int | None = None
        self.restarts = 0

    def advance(self, seconds: float) -> None:
        """As many control periods as fit into so long, then a frame."""
        self._behind_s = min(self._behind_s + seconds, 0.25)
        self._take_up()
        while self._behind_s >= self._task.step_dt:
            self._behind_s -= self._task.step_dt
            self._step()
        self._draw()

    def close(self) -> None:
        self._watching.close()
        self._page.close()

    @torch.no_grad()
    def _step(self) -> None:
        action, self._memory = self._actor(self._obs.flat, self._memory)
        self._obs, _, terminated, truncated, _ = self._task.step(action)
        done = terminated | truncated
        self._memory = torch.where(done[:, None], self._actor.initial_state(self._task.num_envs), self._memory)
        self.restarts += int(done.sum())
        here = self._position()
        self._trail = np.concatenate([self._trail[1:], here[None]])
        self._trail[:-1, done.numpy()] = np.nan  # a new start is no flight there

    def _take_up(self) -> None:
        if (now := time.monotonic()) < self._asked_s + EVERY_S:
            return
        self._asked_s = now
        self._watching.ask()
        kept = self._watching.newest()
        if kept is None:
            return
        try:
            self._actor.load_state_dict(kept["actor"])
        except (KeyError, RuntimeError, TypeError) as error:
            raise misfit(self._run.path, error) from error
        self.iteration = kept.get("iteration")

    def _position(self) -> Array:
        return places(self._task.snapshot()["position"].numpy()) + self._offset

    def _draw(self) -> None:
        state = self._task.snapshot()
        attitude = (
            state["attitude"].numpy() if "attitude" in state else np.tile(quaternion.IDENTITY, (len(self._offset), 1))
        )
        with self._page.server.atomic():
            self._machines.show(self._position(), attitude, self.larger.value)
            self._paths.show(self._trail if self.trails.value else np.full_like(self._trail, np.nan))
        off = np.linalg.norm((state["position"] - state["reference"]).numpy(), axis=1) if "reference" in state else None
        which = "the best of the run" if self.iteration is None else f"iteration {self.iteration}"
        lines = [f"**{which}**", f"{self._task.num_envs} environments, {self.restarts} episodes ended"]
        if off is not None:
            lines.append(f"median {np.median(off):.3f} m off the reference")
        text = "\n\n".join(lines)
        if text != self.said.content:
            self.said.content = text


def environments(run: RunFolder, num_envs: int) -> tuple[Task, Actor]:
    """Of the run's own settings, on the CPU. Raises ContractError where there is nothing to draw."""
    settings = RunSettings.of(run)
    task = settings.kind(replace(settings.task, num_envs=num_envs, device="cpu"))
    state = task.snapshot()
    if "position" not in state or state["position"].shape[1] > 3:
        has = ", ".join(state) or "nothing"
        raise ContractError(
            f"nothing to draw: a view wants position (x, y, z) in the snapshot of {task.name!r}; it has {has}"
        )
    return task, Actor(task, settings.learner.actor).eval()


def on_a_grid(count: int) -> Array:
    """(count, 3) m: places beside each other, about the middle."""
    side = int(np.ceil(np.sqrt(count)))
    k = np.arange(count)
    place = np.stack([k % side, k // side, 0 * k], 1) - np.array([(side - 1) / 2, (side - 1) / 2, 0.0])
    return SPACING_M * place
