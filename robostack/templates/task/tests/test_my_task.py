"""Claims about my_task; change them with it."""

from __future__ import annotations

from pathlib import Path

import torch
from my_task.task import MyTask, MyTaskConfig

import robostack as rs
from robostack.learn.shac import SHAC


def test_it_is_installed_by_its_name() -> None:
    assert isinstance(rs.make("my_task", num_envs=2), MyTask)


def test_one_seed_is_one_history() -> None:
    task = MyTask(MyTaskConfig(num_envs=8))
    pushes = torch.randn(task.max_episode_length + 5, 8, 1)
    histories = []
    for _ in range(2):
        task.reset(seed=3)
        histories.append(torch.stack([task.step(push)[0].flat.clone() for push in pushes]))
    assert torch.equal(*histories)


def test_the_gradient_is_that_of_the_physics() -> None:
    task = MyTask(MyTaskConfig(num_envs=1))
    start = torch.tensor([[0.3, -0.1, 0.2, -0.4, 0.0]], dtype=torch.float64)

    def reward_of(push: torch.Tensor) -> torch.Tensor:
        state, total = start, torch.zeros((), dtype=torch.float64)
        for _ in range(5):
            state = task.advance(state, push)
            total = total + torch.stack([*task.judge(state).values()]).sum()
        return total

    push = torch.tensor([[0.5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(reward_of, push)


def test_a_cart_that_leaves_the_rail_begins_anew() -> None:
    task = MyTask(MyTaskConfig(num_envs=1))
    task.state = torch.tensor([[1.49, 5.0, 0.0, 0.0, 0.0]])
    _, _, terminated, _, extras = task.step(torch.zeros(1, 1))
    assert terminated.all() and not extras["success"].any()
    assert task.state[0, 0].abs() < 1.0


def test_a_short_training_teaches_it(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    run = rs.train(MyTask(), SHAC(iterations=30, horizon=16), root=tmp_path)
    assert run.result["best_score"] > 0.8
