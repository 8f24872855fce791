"""Claims: a task in the shapes of Isaac Lab and Isaac Gym resets when they do and hides nothing of it."""

import torch

from robostack.adapters.groups import GroupedTask
from robostack.adapters.isaac_gym import VecTask
from robostack.adapters.isaac_lab import DirectEnv


def test_isaac_labs_step_is_five_things_and_final_obs_is_there_when_an_episode_ended(quadrotor):
    env = DirectEnv(quadrotor, raw=True)
    obs, extras = env.reset(seed=0)
    assert {n: v.shape for n, v in obs.items()} == {
        "policy": (16, env.cfg.observation_space), "critic": (16, env.cfg.state_space),
    }  # fmt: skip
    ended = 0
    for _ in range(60):
        obs, reward, terminated, truncated, extras = env.step(torch.rand(16, 4) * 2 - 1)
        assert (reward.dtype, terminated.dtype, truncated.dtype) == (torch.float32, torch.bool, torch.bool)
        done = terminated | truncated
        assert torch.equal(env.reset_buf, done)
        assert ("final_obs" in extras) == bool(done.any())
        assert (env.episode_length_buf[done] == 0).all()
        if done.any():
            ended += int(done.sum())
            assert not torch.equal(extras["final_obs"]["policy"][done], obs["policy"][done])
    assert ended > 16
    assert env.max_episode_length == 50
    assert obs["policy"] is env.obs_buf["policy"]


def test_at_isaac_labs_border_quaternions_are_xyzw_for_actor_and_critic(quadrotor):
    env = DirectEnv(quadrotor, raw=True)
    env.reset(seed=1)
    theirs = env.obs_buf
    ours = GroupedTask(quadrotor, raw=True)
    columns = {"policy": 6, "critic": 9 + 4 + 3}
    for _ in range(3):
        env.step(torch.zeros(16, 4))
    theirs = env.obs_buf
    true = quadrotor.state[:, 3:7]  # w, x, y, z
    at = columns["critic"]
    torch.testing.assert_close(theirs["critic"][:, at : at + 4], true[:, [1, 2, 3, 0]])
    measured = theirs["policy"][:, columns["policy"] : columns["policy"] + 4]
    assert (measured - true[:, [1, 2, 3, 0]]).abs().max() < 0.3  # noise and delay
    assert ours.policy_size == env.cfg.observation_space


def test_isaac_gyms_reset_resets_nothing_and_the_first_step_everything(ball):
    env = VecTask(ball)
    assert env.reset_buf.tolist() == [1] * 8
    assert env.reset_buf.dtype == torch.int64
    before = ball.state.clone()
    assert not env.reset()["obs"].any()
    assert torch.equal(ball.state, before)
    obs, reward, _, extras = env.step(torch.ones(8, 1))
    assert extras["reset_step"].all()
    assert not reward.any()
    assert obs["obs"].any() and "states" in obs


def test_late_autoreset_shows_an_episodes_last_observation_and_marks_the_step_after_it(ball):
    late = VecTask(ball)
    taken, finals = [], []
    step = ball.step

    def watched(action):
        result = step(action)
        taken.append(action.clone())
        finals.append(result[4]["final_obs"]["true_state"].clone())
        return result

    ball.step = watched
    was_reset, ends = torch.ones(8, dtype=torch.bool), 0
    for _ in range(40):
        obs, reward, reset, extras = late.step(torch.ones(8, 1))
        assert torch.equal(extras["reset_step"], was_reset)
        assert (taken[-1][was_reset] == 0).all() and (taken[-1][~was_reset] == 3.0).all()
        assert not reward[was_reset].any()
        done = reset.bool()
        assert torch.equal(obs["states"][done, 1:], finals[-1][done])
        assert (extras["time_outs"] <= done).all()
        ends += int(done.sum())
        was_reset = done
    assert ends > 8


def test_same_step_autoreset_has_no_such_step(ball):
    env = VecTask(ball, autoreset="same_step")
    for _ in range(25):
        obs, _, reset, extras = env.step(torch.zeros(8, 1))
        assert "reset_step" not in extras
        done = reset.bool()
        if done.any():
            assert (env.progress_buf[done] == 0).all()
            assert not torch.equal(obs["states"][done], extras["final_obs"]["states"][done])


def test_observations_are_clipped_where_asked(quadrotor):
    env = VecTask(quadrotor, clip_observations=0.1)
    for _ in range(5):
        obs, *_ = env.step(torch.zeros(16, 4))
    assert obs["obs"].abs().max() <= 0.1
    assert env.obs_buf.abs().max() > 0.1


def test_its_spaces_are_of_the_groups_sizes(ball):
    env = VecTask(ball)
    assert (env.observation_space.shape, env.state_space.shape, env.action_space.shape) == ((66,), (4,), (1,))
    assert (env.num_obs, env.num_states, env.num_actions) == (66, 4, 1)
