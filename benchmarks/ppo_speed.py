"""PPO's speed where the environment costs nothing: steps a second of ours, rsl_rl, skrl and Stable-Baselines3.

    python benchmarks/ppo_speed.py [--quick]

One linear plant under all of them: 1024 environments, 24 steps, 5 epochs of 4 minibatches, tanh networks 64 x 64, one
thread. They take turns, and the best turn of each counts, since other work on a machine only ever slows one down. A
library that is not installed is said and left out: pip install rsl-rl-lib skrl stable-baselines3.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _results import row, write
from torch import Tensor, nn

from robostack.features import Pick, Scale
from robostack.learn.ppo import PPO
from robostack.spec import ActionChannel, Channel, Cut, Envelope
from robostack.task import Layout, Obs, Task

ENVS, STEPS, EPOCHS, MINIBATCHES, HIDDEN = 1024, 24, 5, 4, (64, 64)
OBSERVATIONS, ACTIONS, EPISODE = 12, 4, 200
LEAD = 1.2
"""what we ask of ours, times the best of the others"""
Learn = Callable[[int], None]
"""Makes that many iterations."""


class Plant:
    """x <- 0.98 x + 0.1 a in its first elements; ends by time alone."""

    def __init__(self) -> None:
        self.x = torch.randn(ENVS, OBSERVATIONS)
        self.age = torch.randint(EPISODE, (ENVS,))

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """-> observation, reward, timed out, and the observation before its reset."""
        final = 0.98 * self.x
        final[:, :ACTIONS].add_(action.clamp(-1.0, 1.0), alpha=0.1)
        reward = -final.square().sum(-1)
        self.age += 1
        over = self.age >= EPISODE
        self.age.masked_fill_(over, 0)
        self.x = torch.where(over[:, None], torch.randn_like(final), final)
        return self.x, reward, over, final


@dataclass(frozen=True)
class Still:
    num_envs: int = ENVS


class Linear(Task):
    """The plant as a task of ours."""

    name, Config, config = "linear", Still, Still()
    num_envs, device, step_dt, max_episode_length = ENVS, torch.device("cpu"), 0.01, EPISODE
    channels = (
        Channel(name="x", shape=(OBSERVATIONS,), low=(-10.0,) * OBSERVATIONS, high=(10.0,) * OBSERVATIONS),
        Channel(name="applied_action", shape=(ACTIONS,), low=(-1.0,) * ACTIONS, high=(1.0,) * ACTIONS),
    )
    actions = (
        ActionChannel(
            name="push",
            elements=tuple("abcd"),
            unit="1",
            low=(-1.0,) * ACTIONS,
            high=(1.0,) * ACTIONS,
            neutral=(0.0,) * ACTIONS,
        ),
    )
    envelope = Envelope(fallback=(Cut(value=(0.0,) * ACTIONS),))
    features = (Scale(Pick("x")),)
    critic_channels = ("x",)

    def __init__(self) -> None:
        self.plant, self.layout = Plant(), Layout(self.channels)
        self.never = torch.zeros(ENVS, dtype=torch.bool)
        self.episode_length_buf = self.plant.age
        self.action = torch.zeros(ENVS, ACTIONS)

    def _obs(self, x: Tensor) -> Obs:
        return Obs(torch.cat([x, self.action], -1), self.layout)

    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor, Tensor, dict[str, Any]]:
        self.action = action
        x, reward, over, final = self.plant.step(action)
        extras = {"final_obs": self._obs(final), "reward_terms": {"reward": reward}, "success": over}
        return self._obs(x), reward, self.never, over, extras

    def observe(self) -> Obs:
        return self._obs(self.plant.x)

    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        return self.observe(), {}

    def evaluation(self, num_envs: int) -> Task:
        return self

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        pass


def ours() -> Learn:
    learner = PPO(steps=STEPS, epochs=EPOCHS, minibatches=MINIBATCHES).learner(Linear())

    def learn(iterations: int) -> None:
        for _ in range(iterations):
            learner.iterate()

    return learn


def rsl_rl() -> Learn:
    from rsl_rl.env import VecEnv
    from rsl_rl.runners import OnPolicyRunner
    from tensordict import TensorDict

    class Env(VecEnv):
        num_envs, num_actions, max_episode_length, device = ENVS, ACTIONS, EPISODE, "cpu"

        def __init__(self) -> None:
            self.plant = Plant()
            self.cfg: dict[str, Any] = {}
            self.episode_length_buf = self.plant.age

        def get_observations(self) -> Any:
            return TensorDict({"x": self.plant.x}, batch_size=[ENVS])

        def step(self, actions: Tensor) -> Any:
            _, reward, over, _ = self.plant.step(actions)
            return self.get_observations(), reward, over, {"time_outs": over}

    net = {"class_name": "MLPModel", "hidden_dims": list(HIDDEN), "activation": "tanh", "obs_normalization": True}
    spread = {"class_name": "GaussianDistribution", "init_std": 1.0, "std_type": "scalar"}
    algorithm = {"class_name": "PPO", "num_learning_epochs": EPOCHS, "num_mini_batches": MINIBATCHES}
    config = {
        "num_steps_per_env": STEPS,
        "save_interval": 10**9,
        "obs_groups": {"actor": ["x"], "critic": ["x"]},
        "actor": {**net, "distribution_cfg": spread},
        "critic": net,
        "algorithm": {**algorithm, "rnd_cfg": None, "symmetry_cfg": None},
    }
    runner = OnPolicyRunner(Env(), config, log_dir=None, device="cpu")
    return runner.learn


def skrl() -> Learn:
    import gymnasium
    from skrl.agents.torch import ExperimentCfg
    from skrl.agents.torch.ppo import PPO as Agent
    from skrl.agents.torch.ppo import PPO_CFG
    from skrl.envs.wrappers.torch import Wrapper
    from skrl.memories.torch import RandomMemory
    from skrl.models.torch import DeterministicMixin, GaussianMixin, Model
    from skrl.resources.preprocessors.torch import RunningStandardScaler
    from skrl.trainers.torch import SequentialTrainer

    class Env(Wrapper):
        def __init__(self) -> None:
            self._env = self._unwrapped = self.plant = Plant()
            self._device = torch.device("cpu")

        num_envs, num_agents, state_space = ENVS, 1, None
        observation_space = gymnasium.spaces.Box(-10.0, 10.0, (OBSERVATIONS,))
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTIONS,))

        def reset(self) -> Any:
            return self.plant.x, {}

        def step(self, actions: Tensor) -> Any:
            x, reward, over, _ = self.plant.step(actions)
            return x, reward[:, None], torch.zeros_like(over)[:, None], over[:, None], {}

        def state(self) -> None: ...
        def render(self, *_: Any, **__: Any) -> None: ...
        def close(self) -> None: ...

    env = Env()

    class Policy(GaussianMixin, Model):
        def __init__(self) -> None:
            spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
            Model.__init__(self, **spaces, device="cpu")
            GaussianMixin.__init__(self)
            self.net, self.log_std = mlp(ACTIONS), nn.Parameter(torch.zeros(ACTIONS))

        def compute(self, inputs: Any, role: str = "") -> Any:
            return self.net(inputs["observations"]), {"log_std": self.log_std}

    class Value(DeterministicMixin, Model):
        def __init__(self) -> None:
            spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
            Model.__init__(self, **spaces, device="cpu")
            DeterministicMixin.__init__(self)
            self.net = mlp(1)

        def compute(self, inputs: Any, role: str = "") -> Any:
            return self.net(inputs["observations"]), {}

    config = PPO_CFG(
        rollouts=STEPS,
        learning_epochs=EPOCHS,
        mini_batches=MINIBATCHES,
        time_limit_bootstrap=True,
        observation_preprocessor=RunningStandardScaler,
        observation_preprocessor_kwargs={"size": env.observation_space, "device": "cpu"},
        value_preprocessor=RunningStandardScaler,
        value_preprocessor_kwargs={"size": 1, "device": "cpu"},
        experiment=ExperimentCfg(write_interval=0, checkpoint_interval=0),
    )
    agent = Agent(
        models={"policy": Policy(), "value": Value()},
        memory=RandomMemory(memory_size=STEPS, num_envs=ENVS, device="cpu"),
        cfg=config,
        observation_space=env.observation_space,
        action_space=env.action_space,
        device="cpu",
    )
    trainer = SequentialTrainer(env=env, agents=agent, cfg={"timesteps": STEPS, "disable_progressbar": True})

    def learn(iterations: int) -> None:
        trainer.cfg.timesteps = STEPS * iterations
        trainer.train()

    return learn


def mlp(outputs: int) -> nn.Module:
    a, b = HIDDEN
    return nn.Sequential(nn.Linear(OBSERVATIONS, a), nn.Tanh(), nn.Linear(a, b), nn.Tanh(), nn.Linear(b, outputs))


def stable_baselines3() -> Learn:
    import gymnasium
    import numpy as np
    from stable_baselines3 import PPO as Agent
    from stable_baselines3.common.vec_env import VecEnv

    class Env(VecEnv):
        def __init__(self) -> None:
            spaces = (gymnasium.spaces.Box(-10.0, 10.0, (OBSERVATIONS,)), gymnasium.spaces.Box(-1.0, 1.0, (ACTIONS,)))
            super().__init__(ENVS, *spaces)
            self.plant = Plant()
            self.infos: list[dict[str, Any]] = [{} for _ in range(ENVS)]

        def reset(self) -> Any:
            return self.plant.x.numpy()

        def step_async(self, actions: Any) -> None:
            self.actions = torch.from_numpy(actions)

        def step_wait(self) -> Any:
            x, reward, over, final = self.plant.step(self.actions)
            infos = list(self.infos)
            for i in over.nonzero().flatten().tolist():
                infos[i] = {"TimeLimit.truncated": True, "terminal_observation": final[i].numpy()}
            return x.numpy(), reward.numpy(), over.numpy(), infos

        def get_attr(self, name: str, indices: Any = None) -> Any:
            return [None] * ENVS

        def close(self) -> None: ...
        def set_attr(self, *_: Any) -> None: ...
        def env_method(self, *_: Any, **__: Any) -> None: ...
        def env_is_wrapped(self, *_: Any, **__: Any) -> Any:
            return [False] * ENVS

    with np.errstate(all="ignore"):
        agent = Agent(
            "MlpPolicy",
            Env(),
            n_steps=STEPS,
            batch_size=ENVS * STEPS // MINIBATCHES,
            n_epochs=EPOCHS,
            policy_kwargs={"net_arch": list(HIDDEN)},
            device="cpu",
        )
    return lambda iterations: agent.learn(iterations * ENVS * STEPS, reset_num_timesteps=False)


def quietly(what: Callable[[], Any]) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        return what()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two turns of each")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    turns, iterations = (2, 2) if options.quick else (5, 5)
    learners, missing = {}, []
    for make in (ours, rsl_rl, skrl, stable_baselines3):
        torch.manual_seed(0)
        try:
            learners[make.__name__] = quietly(make)
        except ImportError as error:
            missing.append(make.__name__)
            print(f"{make.__name__} is left out: {error}")
    best = dict.fromkeys(learners, 0.0)
    for turn in range(turns + 1):  # the first turn warms up
        for name, learn in learners.items():
            start = time.process_time()
            quietly(partial(learn, iterations))
            if turn:
                best[name] = max(best[name], iterations * ENVS * STEPS / (time.process_time() - start))
    others = {name: speed for name, speed in best.items() if name != "ours"}
    rows = [row("PPO, ours", best["ours"], "steps/s", better="higher")]
    rows += [row(f"PPO, {name}", speed, "steps/s", better="higher") for name, speed in others.items()]
    if others:
        first = max(others, key=lambda name: others[name])
        lead = best["ours"] / others[first]
        rows.append(row("ours against the best of them", lead, "x", LEAD, better="higher", reference=first))
    write("ppo_speed", rows, options.out)


if __name__ == "__main__":
    main()
