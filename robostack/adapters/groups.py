"""What a peer's networks see of a task, and what its actions mean: two flat groups in, [-1, 1] out.

`policy` is what our own actor perceives (robostack.nets.actor), the task's features with their memory per
environment, so that what a peer trains on it runs in our contract (robostack.adapters.imported). `critic` is the
task's critic channels in SI, privileged ones too. An action in [-1, 1] is a share of each actuator's range; what lies
outside is clipped, here and in the exported policy alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from robostack.features import Feature, Pick, Scale
from robostack.nets.actor import Actor, ActorConfig
from robostack.nets.critic import critic_index
from robostack.spec import Channel
from robostack.task import Layout, Obs, Task

Groups = dict[str, Tensor]
"""`policy` (num_envs, policy_size) and `critic` (num_envs, critic_size)"""
Quaternion = Literal["wxyz", "xyzw"]
XYZW = (1, 2, 3, 0)
"""where x, y, z, w stand in (w, x, y, z)"""
WXYZ = (3, 0, 1, 2)
"""and back"""


class Stepped(NamedTuple):
    """One step of every environment; those that ended have been reset in it."""

    groups: Groups
    """after the reset, where there was one"""
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final: Groups
    """what the ended episodes ended on; valid on the rows that are done"""
    log: dict[str, Tensor]
    """mean of each reward term, and success among the episodes that ended"""

    @property
    def done(self) -> Tensor:
        return self.terminated | self.truncated


class GroupedTask:
    """A task as peers want it. `raw` gives the actor the channels in SI in place of the task's features.

    Nothing returned aliases the task's buffers. Raises ContractError where a feature reads a privileged channel.
    """

    def __init__(
        self,
        task: Task,
        features: tuple[Feature, ...] = (),
        *,
        raw: bool = False,
        quaternion: Quaternion = "wxyz",
    ) -> None:
        self.task = task
        self.num_envs, self.device = task.num_envs, task.device
        self.max_episode_length, self.step_dt = task.max_episode_length, task.step_dt
        self._eyes = Actor(task, ActorConfig(), raw_features(task) if raw else features).to(task.device)
        columns = policy_columns(self._eyes, quaternion)
        self._columns = None if columns is None else torch.tensor(columns, device=task.device)
        self._critic = critic_columns(task, quaternion).to(task.device)
        self.policy_size, self.critic_size = self._eyes.features.output_size, len(self._critic)
        self.action_size = task.action_size
        self._reset_state = self._eyes.initial_state(task.num_envs)
        self.groups = self.reset()

    @torch.inference_mode(False)
    @torch.no_grad()
    def reset(self, seed: int | None = None) -> Groups:
        """Restarts every environment."""
        obs, _ = self.task.reset(seed)
        self.groups, self._state = self._see(obs, self._reset_state)
        return self.groups

    @torch.inference_mode(False)  # peers collect in it, and a task may write to what it made there
    @torch.no_grad()
    def step(self, action: Tensor) -> Stepped:
        """(num_envs, action_size) in [-1, 1]. Raises ValueError on another shape."""
        if action.shape != (self.num_envs, self.action_size):
            raise ValueError(f"actions are {tuple(action.shape)}; needed is {(self.num_envs, self.action_size)}")
        eyes = self._eyes
        share = action.to(self.device, torch.float32).clamp(-1.0, 1.0)
        si = torch.addcmul(eyes.low + eyes.half_range, share, eyes.half_range)
        obs, reward, terminated, truncated, extras = self.task.step(si)
        done = terminated | truncated
        log = {f"reward/{name}": term.mean() for name, term in extras["reward_terms"].items()}
        final = None
        if done.any():
            final, _ = self._see(extras["final_obs"], self._state)
            log["success"] = extras["success"][done].float().mean()
            self._state = torch.where(done[:, None], self._reset_state, self._state)
        self.groups, self._state = self._see(obs, self._state)
        return Stepped(self.groups, reward.clone(), terminated.clone(), truncated.clone(), final or self.groups, log)

    def _see(self, obs: Obs, state: Tensor) -> tuple[Groups, Tensor]:
        seen, state, _ = self._eyes.perceive(obs.flat, state)
        policy = seen if self._columns is None else seen[:, self._columns]
        return {"policy": policy, "critic": obs.flat[:, self._critic]}, state


def raw_features(task: Task) -> tuple[Feature, ...]:
    """Every channel that a machine measures and `applied_action`, as they are, in SI."""
    return tuple(Scale(Pick(c.name)) for c in task.channels if not c.privileged)


def policy_columns(actor: Actor, quaternion: Quaternion) -> list[int] | None:
    """Where in the actor's features each element of the `policy` group stands; None where nothing moves.

    With `xyzw` the four numbers of a quaternion change places wherever a feature keeps them as they are.
    """
    if quaternion == "wxyz":
        return None
    columns: list[int] = []
    for feature, size in zip(actor.features.features, actor.features.output_sizes, strict=True):
        start, source = len(columns), getattr(feature, "source", None)
        block = list(range(size))
        if isinstance(source, Pick) and size % source.size(actor.layout) == 0:  # as it is, or a history of it
            channel, n = actor.layout.channel[source.channel], source.size(actor.layout)
            block = xyzw_order(channel) if n == channel.size else block[:n]
            block = [k * n + i for k in range(size // n) for i in block]
        columns += [start + i for i in block]
    return columns


def critic_columns(task: Task, quaternion: Quaternion) -> Tensor:
    """Elements of the packed observation that make up the `critic` group."""
    if quaternion == "wxyz":
        return critic_index(task, ())
    layout = Layout(task.channels)
    names = task.critic_channels or tuple(layout.channel)
    return torch.tensor([layout.offset[n] + i for n in names for i in xyzw_order(layout.channel[n])])


def xyzw_order(channel: Channel) -> list[int]:
    """A channel's elements in the order in which each quaternion in it reads (x, y, z, w).

    It is one by what the contract says: elements qw, qx, qy, qz in a row, or the unit quat_wxyz.
    """
    order = list(range(channel.size))
    for i in quaternions(channel):
        order[i : i + 4] = [i + k for k in XYZW]
    return order


def quaternions(channel: Channel) -> list[int]:
    """Where each quaternion of a channel starts."""
    if channel.unit == "quat_wxyz":
        return list(range(0, channel.size, 4))
    names = channel.elements
    return [i for i in range(channel.size - 3) if names[i : i + 4] == ("qw", "qx", "qy", "qz")]


def reordered(x: Tensor, order: Sequence[int]) -> Tensor:
    """(..., 4) quaternions with their elements in another order: XYZW of ours, WXYZ of theirs."""
    return x[..., list(order)]


def spaces(grouped: GroupedTask) -> tuple[Any, Any, Any]:
    """Gymnasium's boxes of one environment: policy, critic, action. Raises MissingExtraError without gymnasium."""
    import numpy as np

    from robostack.adapters import named_extra

    with named_extra():
        from gymnasium.spaces import Box
    boxes = [Box(-np.inf, np.inf, (n,), np.float32) for n in (grouped.policy_size, grouped.critic_size)]
    return *boxes, Box(-1.0, 1.0, (grouped.action_size,), np.float32)
