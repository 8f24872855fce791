"""Claims: Isaac Lab's own cartpole (isaaclab 3.0.0, Newton on the CPU) trains under our PPO, and is exported.

`make isaaclab-test` installs and runs this; elsewhere it is skipped. The cartpole's model lies here, since Isaac Lab
gets its own from a server; the environment, its rewards and its resets are theirs.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

if os.environ.get("ROBOSTACK_ISAACLAB") != "1" or not importlib.util.find_spec("isaaclab"):
    pytest.skip("make isaaclab-test runs this, in an environment of its own", allow_module_level=True)

import torch

from robostack.adapters.isaac_lab_env import IsaacLabTask
from robostack.learn.ppo import PPO
from robostack.learn.trained import export_actor
from robostack.learn.trainer import train
from robostack.nets.actor import ActorConfig
from robostack.run_folder import RunFolder
from robostack.runtime.runner import Runner
from robostack.spec import ActionChannel, Channel, Cut, Envelope

ENVS = 64


@pytest.fixture(scope="module")
def cartpole():
    from isaaclab_tasks.core.cartpole.cartpole_direct_env import CartpoleEnv
    from isaaclab_tasks.core.cartpole.cartpole_direct_env_cfg import CartpoleEnvCfg

    torch.set_num_threads(1)
    cfg = CartpoleEnvCfg()
    cfg.seed, cfg.compute_final_obs, cfg.episode_length_s = 0, True, 1.0
    cfg.sim.device, cfg.sim.physics = "cpu", cfg.sim.physics.newton_mjwarp
    cfg.scene.num_envs, cfg.scene.ground = ENVS, None
    cfg.scene.cartpole.spawn.usd_path = str(Path(__file__).with_name("cartpole.usda"))
    env = CartpoleEnv(cfg)
    yield env
    env.close()


@pytest.fixture
def task(cartpole):
    joints = (
        Channel(name="position", shape=(2,), elements=("cart", "pole"), unit="m, rad"),
        Channel(name="velocity", shape=(2,), elements=("cart_rate", "pole_rate"), unit="m/s, rad/s"),
    )
    force = ActionChannel(name="force", elements=("cart",), unit="100 N", low=(-1.0,), high=(1.0,), neutral=(0.0,))
    stop = Envelope(fallback=(Cut(value=(0.0,)),))
    return IsaacLabTask(cartpole, name="cartpole", observations=joints, actions=(force,), envelope=stop)


def test_what_episodes_end_on_is_kept_and_new_ones_begin(task):
    task.reset(0)
    cut_off = 0
    for _ in range(2 * task.max_episode_length + 2):
        age = task.episode_length_buf.clone()
        obs, reward, terminated, truncated, extras = task.step(torch.rand(ENVS, 1) * 2 - 1)
        done = terminated | truncated
        assert reward.isfinite().all()
        assert (task.episode_length_buf[done] == 0).all()
        assert (task.episode_length_buf[~done] == age[~done] + 1).all()
        if done.any():
            cut_off += int(truncated.sum())
            last = extras["final_obs"]
            assert not torch.equal(last["position"][done], obs["position"][done])
            assert (last["position"][terminated, 0].abs() > 3.0).all()
    assert cut_off >= ENVS


def test_ppo_trains_a_few_iterations_and_the_policy_is_exported(task, tmp_path):
    run = RunFolder.at(tmp_path / "run")
    learner = PPO(iterations=8, steps=24, actor=ActorConfig(hidden=(32, 32)))
    with run.stage("train"):
        result = train(task, learner, run)
    rewards = [row["step_reward"] for row in result["history"] if "step_reward" in row]
    print("judged:", [round(r, 4) for r in rewards])
    assert max(rewards[1:]) > rewards[0]
    trained = learner.learner(task).actor
    trained.load_state_dict(torch.load(run.checkpoints / "best.pt", weights_only=True)["actor"])
    policy = export_actor(task, trained, tmp_path / "policy.onnx")
    obs = task.observe()
    seen = {name: obs[name].numpy() for name in ("position", "velocity")}
    action, _ = Runner(policy).infer(seen, obs["applied_action"].numpy(), None)
    wanted, _ = trained(obs.flat, trained.initial_state(ENVS))
    torch.testing.assert_close(torch.from_numpy(action), wanted.detach(), atol=1e-5, rtol=0)
