"""Claims: an environment with Isaac Lab's semantics is a task of ours: judged, trained on, exported.

Against a stand-in (direct_env.py); `make isaaclab-test` holds the same against Isaac Lab itself.
"""

import pytest
import torch
from direct_env import DirectRLEnv

from robostack.adapters.groups import GroupedTask
from robostack.adapters.isaac_lab_env import IsaacLabTask
from robostack.learn import checkpoint
from robostack.learn.judge import judge
from robostack.learn.ppo import PPO
from robostack.learn.trained import export_actor
from robostack.learn.trainer import train
from robostack.nets.actor import Actor, ActorConfig
from robostack.run_folder import RunFolder
from robostack.runtime.runner import Runner
from robostack.spec import ActionChannel, Channel, ContractError, Cut, Envelope

PUSH = ActionChannel(name="push", elements=("push",), unit="1", low=(-1.0,), high=(1.0,), neutral=(0.0,))
STOP = Envelope(fallback=(Cut(value=(0.0,)),))
X = Channel(name="position", shape=(1,), unit="m")
V = Channel(name="velocity", shape=(1,), unit="m/s")
YAW = Channel(name="attitude", shape=(4,), elements=("qw", "qx", "qy", "qz"))


def wrapped(env=None, observations=(X, V), **changes):
    fields = {"name": "point", "observations": observations, "actions": (PUSH,), "envelope": STOP, **changes}
    return IsaacLabTask(env or DirectRLEnv(), **fields)


def test_a_step_carries_what_the_environment_said_and_what_each_episode_ended_on():
    task, twin = wrapped(), DirectRLEnv()
    obs, _ = task.reset(5)
    theirs, _ = twin.reset(seed=5)
    ended = 0
    for _ in range(60):
        action = torch.rand(6, 1, generator=torch.Generator().manual_seed(_)) * 2 - 1
        kept = torch.get_rng_state()
        obs, reward, terminated, truncated, extras = task.step(action)
        after = torch.get_rng_state()
        torch.set_rng_state(kept)
        theirs, their_reward, their_end, their_time_out, their_extras = twin.step(action)
        assert torch.equal(after, torch.get_rng_state())
        assert torch.equal(torch.cat([obs["position"], obs["velocity"]], -1), theirs["policy"])
        assert torch.equal(obs["critic"], theirs["critic"])
        assert torch.equal(reward, their_reward)
        assert torch.equal(terminated, their_end)
        assert torch.equal(truncated, their_time_out & ~their_end)
        done = terminated | truncated
        ended += int(done.sum())
        if done.any():
            last = torch.cat([extras["final_obs"]["position"], extras["final_obs"]["velocity"]], -1)
            assert torch.equal(last[done], their_extras["final_obs"]["policy"][done])
            assert (obs["applied_action"][done] == 0).all()
            assert torch.equal(extras["final_obs"]["applied_action"], action)
    assert ended > 6
    assert torch.equal(task.episode_length_buf, twin.episode_length_buf)


def test_actions_reach_the_environment_within_their_limits():
    env = DirectRLEnv()
    wrapped(env).step(torch.full((6, 1), 3.0))
    assert env.taken[-1].unique().tolist() == [1.0]


def test_quaternions_are_turned_once_at_this_border():
    task = wrapped(DirectRLEnv(turned=True), (X, V, YAW))
    obs, _ = task.reset(0)
    w, z = torch.cos(obs["position"][:, 0] / 2), torch.sin(obs["position"][:, 0] / 2)
    assert torch.equal(obs["attitude"], torch.stack([w, 0 * w, 0 * w, z], -1))


def test_ppo_trains_on_it_as_on_any_task_and_the_policy_is_exported(tmp_path):
    task = wrapped(DirectRLEnv(num_envs=64, episode_length_s=1.0))
    untrained = judge(Actor(task, ActorConfig(hidden=(16,))), task.evaluation(64), seed=1)
    run = RunFolder.at(tmp_path / "run")
    learner = PPO(iterations=12, steps=16, actor=ActorConfig(hidden=(16,)))
    with run.stage("train"):
        result = train(task, learner, run)
    assert result["best_score"] > untrained.score
    actor = Actor(task, learner.actor)
    actor.load_state_dict(checkpoint.load(run.checkpoints / "best.pt")["actor"])
    policy = export_actor(task, actor, tmp_path / "policy.onnx")
    assert list(policy.inputs) == ["position", "velocity", "applied_action"]
    obs = task.observe()
    seen = {"position": obs["position"].numpy(), "velocity": obs["velocity"].numpy()}
    action, _ = Runner(policy).infer(seen, obs["applied_action"].numpy(), None)
    torch.testing.assert_close(torch.from_numpy(action), actor(obs.flat, torch.zeros(64, 0))[0].detach())


def test_an_evaluation_breaks_the_trainings_episodes_off_in_its_next_step():
    env = DirectRLEnv()
    task = wrapped(env)
    before, _ = task.reset(0)
    before = before.flat.clone()
    judge(Actor(task, ActorConfig(hidden=(4,))), task.evaluation(6), seed=1)
    steps = len(env.taken)
    _, reward, terminated, truncated, extras = task.step(torch.ones(6, 1))
    assert len(env.taken) == steps  # the action was for another state
    assert truncated.all() and not terminated.any() and not reward.any() and not extras["success"].any()
    assert torch.equal(extras["final_obs"].flat, before)
    assert (task.episode_length_buf == 0).all()
    _, _, terminated, truncated, _ = task.step(torch.zeros(6, 1))
    assert len(env.taken) == steps + 1
    assert not (terminated | truncated).any()


def test_the_episodes_of_a_run_that_is_resumed_are_cut_off_where_they_were():
    before, resumed = wrapped(), wrapped()
    seen = before.step(torch.ones(6, 1))[0].flat
    resumed.load_state_dict(before.state_dict())
    assert torch.equal(resumed.observe().flat, seen)
    _, reward, _, truncated, extras = resumed.step(torch.ones(6, 1))
    assert truncated.all() and not reward.any()
    assert torch.equal(extras["final_obs"].flat, seen)


def test_without_a_critic_group_the_critic_sees_what_the_actor_sees():
    task = wrapped(DirectRLEnv(critic=False))
    assert task.critic_channels == ("position", "velocity")
    assert "critic" not in task.layout.channel
    assert GroupedTask(task).critic_size == 2


@pytest.mark.parametrize(
    ("env", "changes", "message"),
    [
        ({"final_obs": False}, {}, "compute_final_obs = True"),
        ({}, {"observations": (X,)}, "2 numbers; the channels make up position 1"),
        ({}, {"actions": (PUSH, PUSH.model_copy(update={"name": "pull"}))}, "takes 1 actions, the channels have 2"),
        ({}, {"observations": (X, V.model_copy(update={"name": "critic"}))}, "critic cannot be a channel"),
    ],
)
def test_what_does_not_fit_is_named_at_construction(env, changes, message):
    with pytest.raises(ContractError, match=message):
        wrapped(DirectRLEnv(**env), **changes)
