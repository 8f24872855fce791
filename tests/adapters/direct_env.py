"""A stand-in for Isaac Lab's DirectRLEnv: its order of a step, its buffers, its names; a point on a line inside."""

import math
from types import SimpleNamespace

import torch


class DirectRLEnv:
    """isaaclab 3.0.0's: actions, physics, count, dones, rewards, final_obs, reset of the done, observations. Returned
    dones alias its buffers; `extras["final_obs"]` stays until the next episode ends."""

    def __init__(self, num_envs=6, critic=True, final_obs=True, episode_length_s=0.5, turned=False):
        self.cfg = SimpleNamespace(
            action_space=1, observation_space=6 if turned else 2, compute_final_obs=final_obs,
            episode_length_s=episode_length_s, decimation=2, sim=SimpleNamespace(dt=0.01),
        )  # fmt: skip
        self.num_envs, self.device, self.step_dt = num_envs, "cpu", 0.02
        self.max_episode_length = math.ceil(episode_length_s / self.step_dt)
        self.critic, self.turned = critic, turned
        self.episode_length_buf = torch.zeros(num_envs, dtype=torch.long)
        self.reset_terminated = torch.zeros(num_envs, dtype=torch.bool)
        self.reset_time_outs = torch.zeros_like(self.reset_terminated)
        self.x, self.v = torch.zeros(num_envs), torch.zeros(num_envs)
        self.extras, self.taken = {}, []

    def reset(self, seed=None, options=None):
        if seed is not None:
            torch.manual_seed(seed)
        self._reset_idx(torch.arange(self.num_envs))
        return self._get_observations(), self.extras

    def _reset_idx(self, rows):
        self.x[rows], self.v[rows] = torch.rand(len(rows)) - 0.5, 0.0
        self.episode_length_buf[rows] = 0
        self.extras["log"] = {"Metrics/x": self.x.mean()}

    def _get_observations(self):
        policy = torch.stack([self.x, self.v], -1)
        if self.turned:
            yaw = torch.stack([0 * self.x, 0 * self.x, torch.sin(self.x / 2), torch.cos(self.x / 2)], -1)  # x, y, z, w
            policy = torch.cat([policy, yaw], -1)
        return {"policy": policy, **({"critic": torch.stack([self.x, self.v, self.x**2], -1)} if self.critic else {})}

    def step(self, action):
        self.taken.append(action.clone())
        for _ in range(self.cfg.decimation):
            self.v = self.v + 20.0 * action[:, 0] * self.cfg.sim.dt
            self.x = self.x + self.v * self.cfg.sim.dt
        self.episode_length_buf += 1
        self.reset_terminated[:] = self.x.abs() > 1.0
        self.reset_time_outs[:] = self.episode_length_buf >= self.max_episode_length
        reward = 1.0 - self.x**2
        rows = (self.reset_terminated | self.reset_time_outs).nonzero().squeeze(-1)
        if len(rows):
            if self.cfg.compute_final_obs:
                self.extras["final_obs"] = self._get_observations()
            self._reset_idx(rows)
        return self._get_observations(), reward, self.reset_terminated, self.reset_time_outs, self.extras
