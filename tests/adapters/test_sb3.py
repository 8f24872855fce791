"""Claims: Stable-Baselines3 trains on our tasks, on policy and off, and its infos say how an episode ended."""

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO, SAC

from robostack.adapters.imported import ImportedActor, read_network
from robostack.adapters.sb3 import Sb3Env


@pytest.mark.parametrize("name", ["quadrotor", "ball"])
def test_a_few_updates_of_ppo_change_the_policy_which_can_be_imported(name, request, tmp_path):
    task = request.getfixturevalue(name)
    env = Sb3Env(task)
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=64, n_epochs=2, seed=0, device="cpu")
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(16 * task.num_envs * 3)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))
    assert len(model.ep_info_buffer) > 0
    torch.save(model.policy.state_dict(), tmp_path / "policy.pth")
    layers = ("mlp_extractor.policy_net.", "action_net.")
    actor = ImportedActor(task, read_network(tmp_path / "policy.pth", "tanh", layers=layers))
    obs = task.observe()
    seen, _ = env.grouped._see(obs, env.grouped._reset_state)
    share, _ = model.predict(seen["policy"].numpy(), deterministic=True)
    action, _ = actor(obs.flat, actor.initial_state(task.num_envs))
    torch.testing.assert_close(action, actor.low + actor.half_range * (1 + torch.from_numpy(share)))


def test_a_few_updates_of_sac_change_the_policy(ball):
    model = SAC("MlpPolicy", Sb3Env(ball), learning_starts=40, batch_size=32, seed=0, device="cpu", train_freq=4)
    before = [p.detach().clone() for p in model.actor.parameters()]
    model.learn(160)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.actor.parameters(), strict=True))


def test_infos_tell_a_time_limit_from_an_end_and_hold_the_last_observation(quadrotor):
    env = Sb3Env(quadrotor)
    env.seed(3)
    first = env.reset()
    env.seed(3)
    assert (env.reset() == first).all()
    kinds = set()
    for t in range(1, 80):
        action = np.zeros((16, 4), np.float32)
        action[8:] = np.random.default_rng(t).uniform(-1, 1, (8, 4))
        obs, _, done, infos = env.step(action)
        stepped_final = [i.get("terminal_observation") for i in infos]
        assert [f is not None for f in stepped_final] == done.tolist()
        for i in np.flatnonzero(done):
            kinds.add(infos[i]["TimeLimit.truncated"])
            assert infos[i]["episode"]["l"] == 50 or not infos[i]["TimeLimit.truncated"]
            assert stepped_final[i].shape == obs[i].shape
            assert not np.array_equal(stepped_final[i], obs[i])
    assert kinds <= {True, False}
    assert True in kinds


def test_what_belongs_to_the_task_is_said_to(ball):
    env = Sb3Env(ball)
    assert env.get_attr("step_dt", [0, 1]) == [0.05, 0.05]
    with pytest.raises(NotImplementedError, match="set it on the task"):
        env.set_attr("step_dt", 1.0)
    with pytest.raises(NotImplementedError, match="call it on the task"):
        env.env_method("restart")
