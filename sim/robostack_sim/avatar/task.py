"""Avatar: a character keeps its feet and follows head and hands, in simulated physics.

An episode is a stretch of a motion, from anywhere in it on, begun in the pose and speed that it has there (reference
state initialisation, DeepMimic). The actor sees the character's own state and three tracked points, late, noisy and
with gaps; the critic sees the whole retargeted pose, what the soles feel and who pushes. Rewards come as terms for
critics of their own: imitation, contact, action. MuJoCo steps all environments on `threads` threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
import torch
from torch import Tensor

from robostack.spec import ContractError
from robostack.task import Layout, Obs, ParameterSource, Task
from robostack_sim.avatar import interface
from robostack_sim.avatar.body import COM, COM_VELOCITY, CONTROL_DT_S, FEET, GRAVITY_M_S2, LED, TOUCH, Body, Heading
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.config import AvatarConfig
from robostack_sim.avatar.frames import Frames

ABOVE_M = 0.002
"""that an episode begins over the floor"""
LEFT_S = 1.0
"""of a motion that an episode needs at least"""
PUSH_EVERY_S, PUSH_FOR_S, FIRST_PUSH_S = 2.0, 0.1, 1.0
JUDGED_PUSH_M_S = 0.3


class Avatar(Task):
    """Arrays are of the present episodes: `frame` (num_envs,) of `frames`, `sensed` (num_envs, 35) what
    `body.Body.model` measures. `judged` tasks ask whole stretches, evenly spread over all motions, and push every
    second character by JUDGED_PUSH_M_S."""

    name = "avatar"
    Config = AvatarConfig
    _STATE = ("frame", "sensed", "lag", "held", "held_for", "tracked", "pose", "before", "sag", "applied", "push",
              "towards", "off_sum", "_state")  # fmt: skip

    def __init__(
        self, config: AvatarConfig | None = None, seed: int = 0, frames: Frames | None = None, judged: bool = False
    ) -> None:
        from mujoco.batch import Batch

        self.config = c = config or AvatarConfig()
        if c.device != "cpu":
            raise ContractError(f"device = {c.device!r}: an avatar's physics runs on CPUs; leave it out")
        self.body = body = Body.of(Character.load(c.character))
        self._substeps = c.physics.set(body.model, CONTROL_DT_S)
        self.frames, self.judged = frames or Frames.of(body, c), judged
        self.num_envs, self.device, self.step_dt = c.num_envs, torch.device("cpu"), CONTROL_DT_S
        self.max_episode_length = round(c.seconds / CONTROL_DT_S)
        self._starts = self.frames.starts(self.max_episode_length if judged else round(LEFT_S / CONTROL_DT_S))
        if not len(self._starts):
            raise ContractError(f"seconds = {c.seconds:g}: no motion is that long; the longest is "
                                f"{np.bincount(self.frames.motion).max() * CONTROL_DT_S:.1f} s")  # fmt: skip
        self.channels = interface.channels(body, c.kinematic)
        self.actions = (interface.action(body, c),)
        self.envelope = interface.envelope(self.actions[0])
        self.features = interface.features(c.kinematic)
        self.critic_channels = tuple(ch.name for ch in self.channels)
        self.parameters = interface.parameters(c)
        self.obs_delay_s = c.latency_s
        self.machine = {
            "drive_stiffness": tuple(body.model.actuator_gainprm[:, 0].tolist()),
            "drive_damping": tuple((-body.model.actuator_biasprm[:, 2]).tolist()),
            "drive_torque_max": tuple(body.model.actuator_forcerange[:, 1].tolist()),
        }
        self._source: ParameterSource = lambda mask: {}
        self.layout = Layout(self.channels)
        n, joints = self.num_envs, len(body.joints)
        self.episode_length_buf = torch.zeros(n, dtype=torch.long)
        self._batch = Batch(body.model, n, nthread=c.threads, persistent=True)
        self._qpos, self._qvel, self._ctrl = (self._batch.bind(f) for f in ("qpos", "qvel", "ctrl"))
        self._force, self._sensors = self._batch.bind("xfrc_applied"), self._batch.bind("sensordata")
        self._state = self._batch.state
        self._chest = int(body.model.site("chest").bodyid[0])
        self._rest = body.pose(body.character.rest)[body.qpos_of]
        self.frame, self.lag = np.zeros(n, int), np.zeros(n, int)
        self.held, self.held_for = np.zeros((n, 2), int), np.zeros((n, 2), int)
        self.sensed, self.tracked = np.zeros((n, body.model.nsensordata)), np.zeros((n, 3, 3))
        self.pose, self.before, self.sag = np.zeros((3, n, joints))
        self.applied = np.zeros((n, self.action_size))
        self.push, self.towards, self.off_sum = np.zeros(n), np.zeros((n, 2)), np.zeros((n, 3))
        self._generator = torch.Generator()
        self.reset(seed)

    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        if seed is not None:
            self._generator.manual_seed(seed)
        self.restart(np.ones(self.num_envs, bool))
        return self.observe(), {}

    def restart(self, mask: np.ndarray) -> None:
        """New stretches for the environments in `mask` (num_envs,). What is drawn does not depend on the mask."""
        c, n, ids = self.config, self.num_envs, np.flatnonzero(mask)
        share, push, lag = self._uniform(3, n)
        asked = {k: v.double().numpy() for k, v in self._source(torch.from_numpy(mask)).items()}
        share, push = asked.get("start", share), asked.get("push_m_s", push * c.push_m_s)
        low, high = (s / CONTROL_DT_S for s in c.latency_s)
        lag = np.floor(low + lag * (high - low + 1.0)).clip(max=np.floor(high)).astype(int)
        if self.judged:
            share, push = _evenly(n), np.where(np.arange(n) % 2, JUDGED_PUSH_M_S * (c.push_m_s > 0.0), 0.0)
        frame = self._begins(share)
        for kept, new in ((self.frame, frame), (self.push, push), (self.lag, lag)):
            kept[ids] = new[ids]
        self._batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE)
        self._qpos[ids], self._qvel[ids] = self.frames.qpos[frame[ids]], self.frames.qvel[frame[ids]]
        self._qpos[ids, 2] += ABOVE_M
        self._batch.forward(ids, stage=mujoco.mjtStage.mjSTAGE_VEL)
        self.sensed[ids] = self._sensors[ids]
        self.sensed[ids, TOUCH] = 0.5 * self.body.mass_kg * GRAVITY_M_S2
        self.held_for[ids], self.applied[ids], self.towards[ids], self.off_sum[ids] = 0, 0.0, 0.0, 0.0
        self.episode_length_buf[ids] = 0
        self._look(mask, np.maximum(self.frame - 1, self.frames.begin[self.frame]))
        self._look(mask, self.frame)

    def _begins(self, share: np.ndarray) -> np.ndarray:
        """Frames, by their share of the way through all that an episode may begin at."""
        return self._starts[(share * len(self._starts)).astype(int).clip(max=len(self._starts) - 1)]

    def judged_motions(self, episodes: int) -> list[str]:
        """Names of the motions of so many judged episodes, in their order."""
        return [self.frames.names[k] for k in self.frames.motion[self._begins(_evenly(episodes))]]

    def _uniform(self, *shape: int) -> np.ndarray:
        return torch.rand(*shape, generator=self._generator, dtype=torch.float64).numpy()

    def _look(self, mask: np.ndarray, newest: np.ndarray) -> None:
        """What the trackers show when frame `newest` (num_envs,) is the newest, and the pose that follows from it."""
        m, c, n = self.frames, self.config, self.num_envs
        late, gap, length = self._uniform(n), self._uniform(n, 2), self._uniform(n, 2)
        noise = torch.randn(n, 3, 3, generator=self._generator, dtype=torch.float64).numpy()
        seen = np.maximum(newest - self.lag - (late < c.jitter), m.begin[newest])
        lost = (gap < c.gaps_per_s * CONTROL_DT_S) & (self.held_for == 0)
        steps = ((c.gap_s[0] + length * (c.gap_s[1] - c.gap_s[0])) / CONTROL_DT_S).round().astype(int)
        held_for = np.where(lost, steps, np.maximum(self.held_for - 1, 0))
        self.held[mask] = np.where((held_for > 0) & ~lost, self.held, seen[:, None])[mask]
        self.held_for[mask] = held_for[mask]
        tracked, pose = m.tracked_m[seen], m.qpos[seen][:, self.body.qpos_of]
        for k in range(2):
            silent, arm = np.flatnonzero(held_for[:, k]), self.body.arms[k]
            tracked[silent, 1 + k] = m.tracked_m[self.held[silent, k], 1 + k]
            pose[silent[:, None], arm] = m.qpos[self.held[silent, k]][:, self.body.qpos_of[arm]]
        self.before[mask], self.sag[mask] = self.pose[mask], m.sag[seen][mask]
        self.tracked[mask], self.pose[mask] = (tracked + c.tracker_noise_m * noise)[mask], pose[mask]

    def observe(self) -> Obs:
        """What was seen last; looking again shows the same."""
        body, m, following = self.body, self.frames, self._next
        to = Heading.of(self.sensed)
        tracked = self.tracked.reshape(self.num_envs, 9)
        found = body.measured(self._qpos, self._qvel, self.sensed, tracked, self.pose)
        hips, reference = self._qpos[:, :3], m.qpos[following]
        found["applied_action"] = self.applied
        found["reference_pose"] = reference[:, body.qpos_of] - found["joint_position"]
        found["reference_root"] = np.concatenate([
            to(reference[:, :3] - hips), self._qpos[:, 4:7] * np.sign(self._qpos[:, 3:4])
            - reference[:, 4:7] * np.sign(reference[:, 3:4]),
        ], 1)  # fmt: skip
        found["reference_velocity"] = m.qvel[following]
        found["reference_tracked"] = to(m.tracked_m[following].reshape(-1, 9) - self.sensed[:, LED])
        found["sole_force"] = self.sensed[:, TOUCH] / (self.body.mass_kg * GRAVITY_M_S2)
        found["stance_error"] = to(self.sensed[:, FEET] - m.stance_m[self.frame])
        push = self._push_now() / PUSH_FOR_S
        found["push"] = to(np.pad(push, ((0, 0), (0, 1))))[:, :2]
        row = np.concatenate([found[ch.name] for ch in self.channels], 1)
        return Obs(torch.from_numpy(row.astype(np.float32)), self.layout)

    @property
    def _next(self) -> np.ndarray:
        return np.minimum(self.frame + 1, self.frames.last[self.frame])

    def _push_now(self) -> np.ndarray:
        """(num_envs, 2) m/s that the body is being given in this period, in the world; a new way for each push."""
        age_s = self.episode_length_buf.numpy() * CONTROL_DT_S - FIRST_PUSH_S
        since = np.mod(age_s + 1e-6, PUSH_EVERY_S)
        pushed = (age_s > -1e-6) & (since < PUSH_FOR_S - 1e-3)
        return np.where(pushed[:, None], self.push[:, None] * self.towards, 0.0)

    def _turn_pushes(self) -> None:
        age = self.episode_length_buf.numpy() - round(FIRST_PUSH_S / CONTROL_DT_S)
        new = np.mod(age, round(PUSH_EVERY_S / CONTROL_DT_S)) == 0
        angle = 2.0 * np.pi * self._uniform(self.num_envs)
        self.towards[new] = np.stack([np.cos(angle), np.sin(angle)], 1)[new]

    @torch.no_grad()
    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor, Tensor, dict[str, Any]]:
        body, m = self.body, self.frames
        channel = self.actions[0]
        offset = action.double().numpy().clip(channel.low, channel.high)
        if self.config.kinematic:
            self._ctrl[:] = body.drive(self.pose, self.before, self.sag + body.spread(offset))
        else:
            self._ctrl[:] = body.drive(self._rest, self._rest, offset)
        self._force[:, self._chest, :2] = body.mass_kg / PUSH_FOR_S * self._push_now()
        self._batch.step(nstep=self._substeps, stage=mujoco.mjtStage.mjSTAGE_VEL)
        self.sensed[:] = self._sensors
        change, self.applied[:] = offset - self.applied, offset
        self.episode_length_buf += 1
        self._turn_pushes()
        self.frame[:] = self._next
        wanted, led = m.tracked_m[self.frame], self.sensed[:, LED].reshape(-1, 3, 3)
        off = np.linalg.norm(led - wanted, axis=-1)
        self.off_sum += off
        terms = self._reward_terms(off, offset, change)
        sound = np.isfinite(self._qpos).all(1) & np.isfinite(self.sensed).all(1)
        fallen = body.fallen(led, wanted) | ~sound
        over = (self.episode_length_buf.numpy() >= self.max_episode_length) | (self.frame >= m.last[self.frame])
        every = np.ones(self.num_envs, bool)
        self._look(every, self.frame)
        terminated, truncated = torch.from_numpy(fallen), torch.from_numpy(over & ~fallen)
        final = self.observe()
        mean = self.off_sum / self.episode_length_buf.numpy()[:, None]
        extras: dict[str, Any] = {
            "reward_terms": {k: torch.from_numpy(np.where(sound, v, 0.0).astype(np.float32)) for k, v in terms.items()},
            "success": truncated,
            "final_obs": final,
            "head_error_m": torch.from_numpy(mean[:, 0]),
            "hand_error_m": torch.from_numpy(mean[:, 1:].mean(1)),
            "pushed": torch.from_numpy((self.push > 0.0).astype(float)),
        }
        reward = torch.stack([*extras["reward_terms"].values()]).sum(0)
        obs, done = final, fallen | over
        if done.any():
            self.restart(done)
            obs = Obs(torch.where(torch.from_numpy(done)[:, None], self.observe().flat, final.flat), self.layout)
        return obs, reward, terminated, truncated, extras

    def _reward_terms(self, off: np.ndarray, offset: np.ndarray, change: np.ndarray) -> dict[str, np.ndarray]:
        """(num_envs,) each, all positive, so that none is better off fallen; together 1 at best."""
        body, m, s = self.body, self.frames, self.body.size
        bent = (self._qpos - m.qpos[self.frame])[:, body.qpos_of]
        beside = self.sensed[:, COM][:, :2] - m.support_m[self.frame]
        slid = self.sensed[:, FEET] - m.stance_m[self.frame]
        loaded = (self.sensed[:, TOUCH] > 0.05 * body.mass_kg * GRAVITY_M_S2).mean(1)
        bell = lambda x, width: np.exp(-np.square(x).sum(1) / width)  # noqa: E731
        effort = np.square(offset / 0.3).mean(1) + 4.0 * np.square(change / 0.3).mean(1)
        return {
            "imitation": 0.1 + 0.4 * bell(off, 0.03 * s * s) + 0.15 * bell(bent, 1.0),
            "contact": 0.15 * bell(beside, (0.08 * s) ** 2) + 0.05 * bell(self.sensed[:, COM_VELOCITY][:, :2], 0.1)
            + 0.025 * bell(slid, 0.02 * s * s) + 0.025 * loaded,
            "action": 0.1 * np.exp(-0.1 * effort),
        }  # fmt: skip

    @classmethod
    def learner(cls) -> Any:
        from robostack_sim.avatar.learning import LEARNER

        return LEARNER

    def draw_parameters_from(self, source: ParameterSource) -> None:
        self._source = source

    def judge_episodes(self, ends: Mapping[str, Any]) -> list[dict[str, Any]]:
        pushed = ends["pushed"] > 0.5
        found = []
        for group, which in (("", ~pushed), (f", pushed by {JUDGED_PUSH_M_S:g} m/s every {PUSH_EVERY_S:g} s", pushed)):
            if not which.any():
                continue
            for what, value, unit, better in (
                ("stand to the end", 100.0 * np.nanmean(ends["success"][which]), "%", "higher"),
                ("head off, mean", 100.0 * np.nanmean(ends["head_error_m"][which]), "cm", "lower"),
                ("hands off, mean", 100.0 * np.nanmean(ends["hand_error_m"][which]), "cm", "lower"),
            ):
                row = {"what": what + group, "value": float(value), "unit": unit, "bar": None, "better": better}
                found.append(row)
        return found

    def evaluation(self, num_envs: int) -> Avatar:
        """With perfect trackers; of a judged task, with its own."""
        perfect = replace(self.config, latency_s=(0.0, 0.0), jitter=0.0, tracker_noise_m=0.0, gaps_per_s=0.0)
        config = replace(self.config if self.judged else perfect, num_envs=num_envs)
        return type(self)(config, frames=self.frames, judged=True)

    def state_dict(self) -> dict[str, Tensor]:
        kept = {name: torch.from_numpy(getattr(self, name)) for name in self._STATE}
        return {**kept, "episode_length_buf": self.episode_length_buf, "generator": self._generator.get_state()}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        for name in self._STATE:
            getattr(self, name)[...] = kept[name].numpy()
        self._batch.forward(stage=mujoco.mjtStage.mjSTAGE_VEL)
        self.episode_length_buf.copy_(kept["episode_length_buf"])
        self._generator.set_state(kept["generator"])


def _evenly(n: int) -> np.ndarray:
    return (np.arange(n) + 0.5) / n
