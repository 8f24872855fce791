"""Claims: rl_games' PPO trains on our tasks, with a central value of privileged channels."""

import pytest
import torch
from rl_games.torch_runner import Runner

from robostack.adapters import rl_games
from robostack.spec import ContractError

MLP = {"units": [32, 32], "activation": "elu", "initializer": {"name": "default"}}


def config(name, num_actors, folder):
    continuous = {
        "mu_activation": "None", "sigma_activation": "None", "mu_init": {"name": "default"},
        "sigma_init": {"name": "const_initializer", "val": -0.7}, "fixed_sigma": True,
    }  # fmt: skip
    central = {
        "minibatch_size": 32, "mini_epochs": 2, "learning_rate": 1e-3, "clip_value": True, "normalize_input": True,
        "network": {"name": "actor_critic", "central_value": True, "mlp": MLP},
    }  # fmt: skip
    return {
        "seed": 3, "torch_threads": 1, "algo": {"name": "a2c_continuous"}, "model": {"name": "continuous_a2c_logstd"},
        "network": {"name": "actor_critic", "separate": False, "space": {"continuous": continuous}, "mlp": MLP},
        "config": {
            "name": name, "env_name": name, "num_actors": num_actors, "device": "cpu", "train_dir": str(folder),
            "max_epochs": 3, "horizon_length": 16, "minibatch_size": 32, "mini_epochs": 2, "learning_rate": 1e-3,
            "lr_schedule": None, "e_clip": 0.2, "clip_value": True, "normalize_advantage": True,
            "normalize_input": True, "critic_coef": 1.0, "grad_norm": 1.0, "truncate_grads": True, "gamma": 0.99,
            "bounds_loss_coef": 1e-3,
            "tau": 0.95, "entropy_coef": 0.0, "reward_shaper": {}, "central_value_config": central,
            "print_stats": False,
        },
    }  # fmt: skip


@pytest.mark.parametrize("name", ["quadrotor", "ball"])
def test_a_few_updates_change_actor_and_central_value(name, request, tmp_path):
    task = request.getfixturevalue(name)
    rl_games.register(f"test_{name}", lambda num_envs: task)
    runner = Runner()
    runner.load({"params": config(f"test_{name}", task.num_envs, tmp_path)})
    agent = runner.algo_factory.create(runner.algo_name, base_name="run", params=runner.params)
    parts = (agent.model, agent.central_value_net)
    before = [[p.detach().clone() for p in part.parameters()] for part in parts]
    agent.train()
    torch.set_num_threads(1)
    for old, part in zip(before, parts, strict=True):
        now = list(part.parameters())
        assert any(not torch.equal(a, b) for a, b in zip(old, now, strict=True))
        assert all(p.isfinite().all() for p in now)
    assert agent.epoch_num == 3


def test_time_outs_are_told_from_ends(ball):
    env = rl_games.RlGamesEnv(ball)
    env.seed(0)
    for _ in range(9):
        obs, _, done, infos = env.step(torch.zeros(8, 1))
        assert not (done & infos["time_outs"]).any()
    _, _, done, infos = env.step(torch.zeros(8, 1))
    assert infos["time_outs"].any()
    assert (done | ~infos["time_outs"]).all()
    assert {n: v.shape[1] for n, v in obs.items()} == {"obs": 66, "states": 4}


def test_another_number_of_actors_than_environments_is_named(ball):
    rl_games.register("eight", lambda num_envs: ball)
    from rl_games.common import vecenv

    with pytest.raises(ContractError, match="num_actors is 4, the task has 8"):
        vecenv.create_vec_env("eight", 4)
