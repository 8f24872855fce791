"""Claims: rsl_rl's PPO trains on our tasks, and what it trained is one policy.onnx that computes the same."""

import pytest
import torch
from rsl_rl.runners import OnPolicyRunner

from robostack.adapters.imported import ImportedActor, read_network
from robostack.adapters.rsl_rl import RslRlEnv, ppo_config
from robostack.learn.trained import export_actor
from robostack.runtime.runner import Runner


def trained(task, folder, **changes):
    env = RslRlEnv(task)
    runner = OnPolicyRunner(env, {**ppo_config(hidden=(32, 32), steps=16), **changes}, log_dir=str(folder))
    before = [p.clone() for p in runner.alg.actor.parameters()]
    runner.learn(3, init_at_random_ep_len=True)
    assert any(not torch.equal(a, b) for a, b in zip(before, runner.alg.actor.parameters(), strict=True))
    assert all(p.isfinite().all() for p in runner.alg.actor.parameters())
    return env, runner


@pytest.mark.parametrize("name", ["quadrotor", "ball"])
def test_a_trained_checkpoint_becomes_a_policy_that_acts_as_rsl_rls_inference_does(name, request, tmp_path):
    task = request.getfixturevalue(name)
    env, runner = trained(task, tmp_path)
    actor = ImportedActor(task, read_network(tmp_path / "model_2.pt", "tanh"))
    policy = export_actor(task, actor, tmp_path / "policy.onnx")
    ours, theirs = Runner(policy), runner.get_inference_policy()
    done, obs = torch.ones(task.num_envs, dtype=torch.bool), task.observe()
    state = actor.initial_state(task.num_envs).numpy() if policy.spec.state.size else None
    env.grouped._state = env.grouped._reset_state
    step = task.step
    for _ in range(30):
        env.grouped.groups, env.grouped._state = env.grouped._see(obs, env.grouped._state)
        share = theirs(env.get_observations()).detach().clamp(-1, 1)
        wanted = torch.addcmul(actor.low + actor.half_range, share, actor.half_range)
        seen = {n: obs[n].numpy().copy() for n in policy.inputs if n not in ("applied_action", "state")}
        action, state = ours.infer(seen, obs["applied_action"].numpy().copy(), state)
        worst = (torch.from_numpy(action) - wanted).abs() / actor.half_range
        assert worst.max() < 1e-5
        obs, _, terminated, truncated, _ = step(wanted)
        done = terminated | truncated
        if done.any():
            fresh = env.grouped._reset_state
            env.grouped._state = torch.where(done[:, None], fresh, env.grouped._state)
            if state is not None:
                state[done.numpy()] = fresh[done].numpy()


def test_at_a_time_limit_the_value_is_that_of_what_the_episode_ended_on(ball, tmp_path):
    env = RslRlEnv(ball)
    alg = OnPolicyRunner(env, ppo_config(steps=16), log_dir=None).alg
    with torch.inference_mode():
        for t in range(16):
            obs, reward, done, extras = env.step(alg.act(env.get_observations()))
            alg.process_env_step(obs, reward, done, extras)
            out = extras["time_outs"]
            goes_on = alg.gamma * alg.critic(extras["final_obs"]).squeeze(1)
            expected = torch.where(out, reward + goes_on, reward)
            torch.testing.assert_close(alg.storage.rewards[t, :, 0], expected)
            if out.any():
                assert not torch.allclose(goes_on[out], alg.gamma * alg.storage.values[t, :, 0][out], atol=1e-4)
                return
    pytest.fail("no episode reached its time limit")


def test_the_runner_spreads_the_episodes_of_the_task_itself(ball):
    env = RslRlEnv(ball)
    env.episode_length_buf = torch.arange(8)
    assert ball.episode_length_buf.tolist() == list(range(8))
