"""An environment of Isaac Lab (a DirectRLEnv) as a Task, so that our learners train on it and export it.

    env = CartpoleEnv(cfg)  # cfg.compute_final_obs = True
    task = IsaacLabTask(env, name="cartpole", observations=(Channel(name="joints", shape=(4,), unit="1"),),
                        actions=(ActionChannel(...),), envelope=Envelope(...))

Isaac Lab says how many numbers there are, not what they are: `observations` name what `policy` is made of, in its
order, and become the contract. Quaternions there are (x, y, z, w): elements qw, qx, qy, qz of a channel are turned
here, once. `critic`, where there is one, is a privileged channel. Actions are passed on as they are, within limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robostack.adapters.groups import WXYZ, quaternions, reordered
from robostack.spec import ActionChannel, Channel, ContractError, Envelope
from robostack.task import Layout, Obs, Task


@dataclass(frozen=True)
class IsaacLabConfig:
    """What a run's config.json keeps; the environment has settings of its own."""

    num_envs: int
    device: str


class IsaacLabTask(Task):
    """See the module's docstring. Raises ContractError where channels and environment do not fit, or the environment
    does not keep what an episode ended on.

    There is one simulation a process: `evaluation` borrows it, whatever number of environments it is asked for, and the
    training's episodes that it breaks off count as truncated in the next step. So do those of a resumed run: their
    simulation is gone.
    """

    Config = IsaacLabConfig

    def __init__(
        self,
        env: Any,
        *,
        name: str,
        observations: tuple[Channel, ...],
        actions: tuple[ActionChannel, ...],
        envelope: Envelope,
        config: Any = None,
    ) -> None:
        self.env, self.name = env, name
        self.config = config or IsaacLabConfig(int(env.num_envs), str(env.device))
        self.num_envs, self.device = int(env.num_envs), torch.device(env.device)
        self.step_dt, self.max_episode_length = float(env.step_dt), int(env.max_episode_length)
        self.actions, self.envelope, self.features = actions, envelope, ()
        self._check(observations)
        self._neutral = torch.tensor([v for a in actions for v in a.neutral], device=self.device)
        self._limits = [torch.tensor([v for a in actions for v in getattr(a, f)]) for f in ("low", "high")]
        self._limits = [limit.to(self.device) for limit in self._limits]
        self._applied = self._neutral.expand(self.num_envs, -1).clone()
        low, high = (tuple(v.tolist()) for v in self._limits)
        applied = Channel(name="applied_action", shape=(self.action_size,), low=low, high=high)
        groups, _ = env.reset()
        given = groups["policy"].shape[-1]
        if given != sum(c.size for c in observations):
            parts = ", ".join(f"{c.name} {c.size}" for c in observations)
            raise ContractError(f"the environment's policy group has {given} numbers; the channels make up {parts}")
        self.channels: tuple[Channel, ...] = (*observations, applied)
        if "critic" in groups:
            self.channels += (Channel(name="critic", shape=(groups["critic"].shape[-1],), privileged=True),)
        self.critic_channels = ("critic",) if "critic" in groups else tuple(c.name for c in observations)
        self.layout = Layout(self.channels)
        self._turned = [self.layout.offset[c.name] + i for c in observations for i in quaternions(c)]
        self._broken_off = False
        self._obs = self._packed(groups)

    def _check(self, observations: tuple[Channel, ...]) -> None:
        wanted = self.env.cfg.action_space
        if isinstance(wanted, int) and wanted != self.action_size:
            raise ContractError(f"the environment takes {wanted} actions, the channels have {self.action_size}")
        if not getattr(self.env.cfg, "compute_final_obs", False):
            raise ContractError(
                "the environment forgets what an episode ended on, and a learner needs it: "
                "set cfg.compute_final_obs = True before it is made"
            )
        for c in observations:
            if c.privileged or c.name in ("critic", "applied_action"):
                raise ContractError(f"observations: {c.name} cannot be a channel of the policy group")

    @property
    def episode_length_buf(self) -> Tensor:
        """(num_envs,) steps so far, the environment's own."""
        return self.env.episode_length_buf

    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        groups, _ = self.env.reset(seed=seed)
        self._applied = self._neutral.expand(self.num_envs, -1).clone()
        self._broken_off = False
        self._obs = self._packed(groups)
        return self._obs, {}

    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor, Tensor, dict[str, Any]]:
        if self._broken_off:
            return self._begin_again()
        self._applied = action.detach().clamp(*self._limits)
        groups, reward, terminated, truncated, extras = self.env.step(self._applied)
        terminated, truncated = terminated.clone(), truncated & ~terminated
        done = terminated | truncated
        final = self._packed(extras["final_obs"]) if done.any() else None
        self._applied = torch.where(done[:, None], self._neutral, self._applied)
        self._obs = self._packed(groups)
        return self._obs, reward.float().clone(), terminated, truncated, self._extras(final or self._obs, truncated)

    def _begin_again(self) -> tuple[Obs, Tensor, Tensor, Tensor, dict[str, Any]]:
        """An evaluation had the simulation: every episode counts as cut off where it was."""
        final = self._obs
        obs, _ = self.reset()
        nothing = torch.zeros(self.num_envs, device=self.device)
        ended = torch.ones_like(nothing, dtype=torch.bool)
        return obs, nothing, ~ended, ended, self._extras(final, ~ended)

    def _extras(self, final: Obs, success: Tensor) -> dict[str, Any]:
        """Isaac Lab knows no success: an episode that lasts until its time limit is one."""
        return {"final_obs": final, "reward_terms": {}, "success": success}

    def observe(self) -> Obs:
        """The last observation: Isaac Lab computes one a step."""
        return self._obs

    def _packed(self, groups: dict[str, Tensor]) -> Obs:
        parts = [groups["policy"].float(), self._applied]
        if "critic" in self.layout.channel:
            parts.append(groups["critic"].float())
        flat = torch.cat(parts, -1)
        for start in self._turned:
            flat[:, start : start + 4] = reordered(flat[:, start : start + 4], WXYZ)
        return Obs(flat, self.layout)

    def evaluation(self, num_envs: int) -> Task:
        return _Borrowed(self)

    def state_dict(self) -> dict[str, Tensor]:
        return {"obs": self._obs.flat}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        self._obs, self._broken_off = Obs(kept["obs"], self.layout), True


class _Borrowed(IsaacLabTask):
    """The training's own simulation, for a while: its reset breaks the training's episodes off."""

    def __init__(self, owner: IsaacLabTask) -> None:
        self.__dict__.update(owner.__dict__)
        self._owner = owner

    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        self._owner._broken_off = True
        return super().reset(seed)
