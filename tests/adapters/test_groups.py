"""Claims: a peer's actor sees what ours sees, memory and all, and nothing that is privileged."""

import pytest
import torch

from robostack.adapters.groups import WXYZ, XYZW, GroupedTask, reordered
from robostack.features import Pick, Scale
from robostack.nets.actor import Actor, ActorConfig
from robostack.spec import ContractError
from robostack.task import Obs


def test_the_policy_group_is_what_our_actor_perceives_through_resets(quadrotor):
    actor = Actor(quadrotor, ActorConfig())
    grouped = GroupedTask(quadrotor)
    fresh = actor.initial_state(16)
    state, ended = fresh, 0
    seen = {}
    step = quadrotor.step

    def watched(action):
        result = step(action)
        seen["obs"], seen["final"] = result[0].flat.clone(), result[4]["final_obs"].flat.clone()
        return result

    quadrotor.step = watched
    obs = quadrotor.reset(3)[0].flat.clone()
    grouped.reset(3)
    for _ in range(70):
        features, state, _ = actor.perceive(obs, state)
        assert torch.equal(grouped.groups["policy"], features)
        stepped = grouped.step(torch.rand(16, 4) * 2 - 1)
        obs = seen["obs"]
        done = stepped.done
        if done.any():
            ended += int(done.sum())
            final, _, _ = actor.perceive(seen["final"], state)
            assert torch.equal(stepped.final["policy"][done], final[done])
            state = torch.where(done[:, None], fresh, state)
    assert ended > 16


def privileged_columns(task):
    layout = task.layout
    return layout.indices(tuple(c.name for c in task.channels if c.privileged))


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("name", ["quadrotor", "ball"])
def test_privileged_channels_do_not_reach_the_actor_but_do_reach_the_critic(name, raw, request):
    task = request.getfixturevalue(name)
    grouped = GroupedTask(task, raw=raw)
    obs = task.observe().flat.clone()
    other = obs.clone()
    other[:, privileged_columns(task)] += 1.0
    (a, _), (b, _) = (grouped._see(Obs(x, task.layout), grouped._reset_state) for x in (obs, other))
    assert torch.equal(a["policy"], b["policy"])
    assert not torch.equal(a["critic"], b["critic"])


def test_a_feature_of_a_privileged_channel_is_refused(ball):
    with pytest.raises(ContractError, match="true_state is privileged"):
        GroupedTask(ball, (Scale(Pick("true_state")),))


def test_an_action_of_one_is_the_top_of_the_range_and_beyond_it_is_clipped(ball):
    taken = []
    step = ball.step
    ball.step = lambda action: taken.append(action.clone()) or step(action)
    grouped = GroupedTask(ball)
    for share in (-5.0, -1.0, 0.0, 0.5, 1.0, 7.0):
        grouped.step(torch.full((8, 1), share))
    assert [t[0, 0].item() for t in taken] == [-3.0, -3.0, 0.0, 1.5, 3.0, 3.0]


def test_what_was_returned_does_not_change_with_the_next_step(quadrotor):
    grouped = GroupedTask(quadrotor)
    first = grouped.step(torch.zeros(16, 4))
    kept = [first.groups["policy"].clone(), first.groups["critic"].clone(), first.reward.clone(), first.done.clone()]
    for _ in range(60):
        grouped.step(torch.ones(16, 4))
    now = [first.groups["policy"], first.groups["critic"], first.reward, first.done]
    assert all(torch.equal(a, b) for a, b in zip(kept, now, strict=True))


def test_actions_of_another_shape_are_refused(ball):
    with pytest.raises(ValueError, match=r"actions are \(8, 2\); needed is \(8, 1\)"):
        GroupedTask(ball).step(torch.zeros(8, 2))


def test_a_task_can_be_collected_in_inference_mode_and_used_outside_of_it(ball):
    grouped = GroupedTask(ball)
    with torch.inference_mode():
        for _ in range(12):
            grouped.step(torch.randn(8, 1))
    grouped.step(torch.zeros(8, 1))
    ball.state.add_(0.0)  # in place: raises for a tensor made in inference mode


def test_xyzw_turns_quaternions_and_nothing_else_and_back(quadrotor):
    ours, theirs = (GroupedTask(quadrotor, raw=True, quaternion=q) for q in ("wxyz", "xyzw"))
    names = [c.name for c in quadrotor.channels if not c.privileged]
    start = sum(quadrotor.layout.channel[n].size for n in names[: names.index("attitude")])
    obs = quadrotor.observe()
    a, b = (g._see(obs, g._reset_state)[0]["policy"] for g in (ours, theirs))
    q = slice(start, start + 4)
    assert torch.equal(b[:, q], a[:, q][:, [1, 2, 3, 0]])
    assert torch.equal(reordered(b[:, q], WXYZ), obs["attitude"])
    assert torch.equal(reordered(reordered(b[:, q], WXYZ), XYZW), b[:, q])
    rest = [i for i in range(a.shape[1]) if not start <= i < start + 4]
    assert torch.equal(a[:, rest], b[:, rest])
    critic = [g._see(obs, g._reset_state)[0]["critic"] for g in (ours, theirs)]
    assert not torch.equal(*critic)
    assert torch.equal(critic[0].sort(1).values, critic[1].sort(1).values)
