"""A slider whose loop has closed forms: x' = gain u + push, with u = -5 x + talk * gossip asked every 0.1 s.

A step multiplies x by 1 - 0.5 gain. With samples d periods late it is stable while 0.5 gain < 2 sin(pi / (4 d + 2)),
with actions held for j periods while 0.5 gain j < 2. A push leaves push / (5 gain).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robostack.export.graph import Graph
from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack.spec import ActionChannel, Channel, Cut, Envelope, PolicySpec
from robostack.task import Bar, Layout, Obs, Parameter, ParameterSource, Task

STEPS, HELD_M, NOISE_M = 40, 0.2, 0.001
BARS = (
    Bar("nominal", 0.95),
    Bar("gain", 0.9, (0.5, 1.5)),
    Bar("worst_case", 0.9),
    Bar("rate", 0.9, (0.8, 2.0)),
    Bar("latency", 0.9, (0.0, 2.0)),
    Bar("noise", 0.9, (1.0, 4.0)),
    Bar("loss", 0.9, (0.0, 10.0)),
    Bar("message", 0.9),
)


@dataclass(frozen=True)
class SliderConfig:
    num_envs: int = 4
    device: str = "cpu"
    step_dt: float = 0.1


class Slider(Task):
    """`x_m`, `applied` (num_envs,)."""

    name = "slider"
    Config = SliderConfig
    channels = (
        Channel(
            name="position", shape=(1,), unit="m", low=(-20.0,), high=(20.0,), noise_std=(NOISE_M,), max_age_s=0.35
        ),
        Channel(name="gossip", shape=(1,), low=(-1.0,), high=(1.0,), max_age_s=0.35),
        Channel(name="applied_action", shape=(1,), unit="m/s", low=(-100.0,), high=(100.0,)),
    )
    actions = (ActionChannel(name="speed", elements=("speed",), unit="m/s", low=(-100.0,), high=(100.0,),
                             neutral=(0.0,)),)  # fmt: skip
    envelope = Envelope(fallback=(Cut(value=(0.0,)),))
    features = ()
    critic_channels = ("position",)
    parameters = (Parameter("gain", 0.5, 3.5, "1", log=True), Parameter("push_m_s", -0.2, 0.2, "m/s"))
    bars: Sequence[Bar] = BARS

    def __init__(self, config: SliderConfig | None = None) -> None:
        self.config = c = config or SliderConfig()
        self.num_envs, self.device, self.step_dt = c.num_envs, torch.device(c.device), c.step_dt
        self.max_episode_length = round(0.1 * STEPS / c.step_dt)
        self.layout = Layout(self.channels)
        self.episode_length_buf = torch.zeros(c.num_envs, dtype=torch.long)
        self.x_m, self.applied, self.push = (torch.zeros(c.num_envs) for _ in range(3))
        self.gain = torch.ones(c.num_envs)
        self._generator, self._source = torch.Generator(), lambda mask: {}
        self.reset(0)

    def qualification(self) -> Sequence[Bar]:
        return self.bars

    def at_rate(self, rate: float) -> Slider:
        return Slider(replace(self.config, step_dt=self.config.step_dt / rate))

    def draw_parameters_from(self, source: ParameterSource) -> None:
        self._source = source

    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        if seed is not None:
            self._generator.manual_seed(seed)
        self.restart(torch.ones(self.num_envs, dtype=torch.bool))
        return self.observe(), {}

    def restart(self, mask: Tensor) -> None:
        size, side = torch.rand(2, self.num_envs, generator=self._generator)
        start = (0.4 + 0.6 * size) * (side - 0.5).sign()
        given = self._source(mask)
        self.x_m = torch.where(mask, start, self.x_m)
        self.gain = torch.where(mask, given.get("gain", torch.ones(())), self.gain)
        self.push = torch.where(mask, given.get("push_m_s", torch.zeros(())), self.push)
        self.episode_length_buf[mask] = 0

    def observe(self) -> Obs:
        noise = torch.randn(2, self.num_envs, generator=self._generator)
        seen = self.x_m + NOISE_M * noise[0], 0.01 * noise[1], self.applied
        return Obs(torch.stack(seen, 1), self.layout)

    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor, Tensor, dict[str, Any]]:
        self.applied = action[:, 0].clamp(-100.0, 100.0)
        self.x_m = self.x_m + self.step_dt * (self.gain * self.applied + self.push)
        self.episode_length_buf += 1
        size = self.x_m.abs()
        terminated = size > 10.0
        truncated = (self.episode_length_buf >= self.max_episode_length) & ~terminated
        final = self.observe()
        extras = {"final_obs": final, "reward_terms": {"size": -size}, "success": truncated & (size < HELD_M)}
        self.restart(terminated | truncated)
        return self.observe(), -size, terminated, truncated, extras

    def evaluation(self, num_envs: int) -> Slider:
        return type(self)(replace(self.config, num_envs=num_envs))

    def state_dict(self) -> dict[str, Tensor]:
        return {"x_m": self.x_m}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        self.x_m.copy_(kept["x_m"])


@dataclass(frozen=True)
class Proportional:
    talk: float

    def onnx(
        self, graph: Graph, channel_names: dict[str, str], applied_action: str, state: str | None
    ) -> tuple[str, None]:
        back = graph.op("Mul", channel_names["position"], graph.constant(np.float32(-5.0)))
        heard = graph.op("Mul", channel_names["gossip"], graph.constant(np.float32(self.talk)))
        return graph.op("Add", back, heard), None

    def __call__(
        self, observation: Mapping[str, np.ndarray], applied_action: np.ndarray, state: np.ndarray | None, /
    ) -> tuple[np.ndarray, None]:
        return np.float32(-5.0) * observation["position"] + np.float32(self.talk) * observation["gossip"], None


def slider_policy(path: Path, talk: float = 0.0) -> LoadedPolicy:
    spec = PolicySpec(task="slider", control_dt_s=0.1, observations=Slider.channels[:2], actions=Slider.actions,
                      envelope=Slider.envelope)  # fmt: skip
    actor = Proportional(talk)
    return export_onnx(actor, spec, path, reference=actor)


def install_slider(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """The task `slider` by entry point, as of a third party."""
    info = folder / "slider_task-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slider-task\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[robostack.tasks]\nslider = slider:Slider\n")
    for path in (str(Path(__file__).parent), str(folder)):
        patch.syspath_prepend(path)
        patch.setenv("PYTHONPATH", path, prepend=os.pathsep)
