"""Claims: a ring forgets the oldest, n-step returns end where an episode does, and a new reward is a new reward for
all that is remembered."""

import io

import pytest
import torch

from robostack.learn import replay as module
from robostack.learn.replay import Columns, Replay
from robostack.spec import ContractError

COLUMNS = Columns(critic=2, action=1, actor=1)
NUM_ENVS = 3


def filled(steps, slots, ends=(), terminates=(), **settings):
    """A replay whose step t holds t as everything before and t + 1 as everything after, with near = t and
    effort = -10 t as rewards; `ends` are (step, env) that end in a time-out, `terminates` otherwise."""
    replay = Replay(slots, NUM_ENVS, COLUMNS, ("near", "effort"), **{"gamma": 0.5, **settings})
    for t in range(steps):
        add(replay, t, [e for s, e in terminates if s == t], [e for s, e in ends if s == t])
    return replay


def add(replay, t, terminated=(), truncated=()):
    full = lambda value, width: torch.full((NUM_ENVS, width), float(value))  # noqa: E731
    terms = {"near": full(t, 1)[:, 0], "effort": full(-10.0 * t, 1)[:, 0]}
    flags = [torch.tensor([e in which for e in range(NUM_ENVS)]) for which in (terminated, truncated)]
    replay.add(
        (full(t, 2), full(t, 1), full(t, 1)), (full(t + 1, 2), full(t + 1, 1)), sum(terms.values()), terms, *flags
    )


def drawn(replay, monkeypatch, *picks):
    """Rows of the transitions (slot, env)."""
    flat = torch.tensor([s * NUM_ENVS + e for s, e in picks])
    monkeypatch.setattr(torch, "randint", lambda *_, **__: flat)
    return replay.draw(len(picks))


def test_a_full_ring_holds_the_newest_and_draws_each_alike():
    replay = filled(steps=7, slots=4)
    assert len(replay) == 4 * NUM_ENVS
    seen = replay.draw(4000)[:, 0]
    assert sorted(seen.unique().tolist()) == [3.0, 4.0, 5.0, 6.0]
    assert all(800 < (seen == t).sum() < 1200 for t in (3, 4, 5, 6))
    assert replay.newest(2)[0][:, 0, 0].tolist() == [5.0, 6.0]


def test_before_it_is_full_only_what_was_added_is_drawn():
    assert filled(steps=2, slots=50).draw(500)[:, 0].unique().tolist() == [0.0, 1.0]


def test_a_time_out_keeps_its_value_and_a_termination_does_not(monkeypatch):
    replay = filled(steps=3, slots=5, ends=[(1, 0)], terminates=[(1, 1)])
    reward, discount = drawn(replay, monkeypatch, (1, 0), (1, 1), (1, 2))[:, -2:].unbind(-1)
    assert discount.tolist() == [0.5, 0.0, 0.5]
    assert reward.tolist() == [-9.0, -9.0, -9.0]


def test_n_step_returns_by_hand(monkeypatch):
    """gamma = 1/2, rewards -9 t."""
    replay = filled(steps=6, slots=8, n_step=3, ends=[(1, 0)], terminates=[(2, 1)])
    rows = drawn(replay, monkeypatch, (0, 0), (1, 1), (1, 2), (4, 2), (5, 2))
    reward, discount, after = rows[:, -2], rows[:, -1], rows[:, COLUMNS.after]
    assert rows[:, 0].tolist() == [0.0, 1.0, 1.0, 4.0, 5.0]
    # the time-out after step 1; the termination after step 2; three whole steps; the newest is step 5
    assert reward.tolist() == [-4.5, -18.0, -9 - 9 - 27 / 4, -36 - 45 / 2, -45.0]
    assert discount.tolist() == [0.25, 0.0, 0.125, 0.25, 0.5]
    assert after[:, 0].tolist() == after[:, -1].tolist() == [2.0, 3.0, 4.0, 6.0, 6.0]


def test_n_step_returns_go_round_the_ring_and_not_past_the_newest(monkeypatch):
    replay = filled(steps=6, slots=4, n_step=3)  # slots hold steps 4, 5, 2, 3
    rows = drawn(replay, monkeypatch, (3, 0), (1, 0), (0, 1))
    assert rows[:, -2].tolist() == [-27 - 18 - 45 / 4, -45.0, -36 - 45 / 2]
    assert rows[:, COLUMNS.after][:, 0].tolist() == [6.0, 6.0, 6.0]


def test_reweighing_equals_having_recorded_the_new_reward(monkeypatch):
    early, late = filled(steps=4, slots=3), filled(steps=0, slots=3)
    early.reweigh({"effort": 0.1, "near": 3.0})
    late.reweigh({"near": 3.0, "effort": 0.1})
    for t in range(4):
        add(late, t)
    add(early, 4)
    add(late, 4)
    assert torch.allclose(early.rows, late.rows)
    assert torch.allclose(drawn(early, monkeypatch, (0, 0))[:, -2], torch.tensor([3 * 3.0 - 3.0]))


def test_reward_beyond_its_terms_is_kept_and_an_unknown_term_is_named():
    replay = Replay(2, 1, COLUMNS, ("near",), gamma=0.9)
    parts, one = (torch.ones(1, 2), torch.ones(1, 1), torch.ones(1, 1)), torch.ones(1)
    replay.add(parts, parts[::2], 5 * one, {"near": 2 * one}, one < 0, one < 0)
    replay.reweigh({"near": 10.0})
    assert replay.rows[0, 0, -2] == 23.0
    with pytest.raises(ContractError, match="no reward term 'far'; there are near, other"):
        replay.reweigh({"far": 1.0})


def test_only_what_is_filled_goes_into_a_checkpoint():
    size = lambda replay: (torch.save(replay.state_dict(), b := io.BytesIO()), b.tell())[1]  # noqa: E731
    assert size(filled(steps=2, slots=5000)) < 5000


@pytest.mark.parametrize(("slots", "held"), [(4, [3, 4, 5, 6]), (6, [3, 4, 5, 6]), (3, [4, 5, 6])])
def test_a_checkpoint_fills_a_ring_of_its_own_or_another_size(slots, held):
    kept, replay = filled(steps=7, slots=4).state_dict(), filled(steps=0, slots=slots)
    replay.load_state_dict(kept)
    assert sorted(replay.draw(300)[:, 0].unique().tolist()) == held
    assert replay.newest(2)[0][:, 0, 0].tolist() == [5, 6]
    for t in range(7, 9):
        add(replay, t)
    assert sorted(replay.draw(300)[:, 0].unique().tolist()) == sorted([*held, 7, 8])[-slots:]


def test_what_does_not_fit_is_refused_before_it_is_allocated(monkeypatch):
    with pytest.raises(ContractError, match=r"replay_size: 3,000,000,000,000 .* GB are free on cpu; lower replay_size"):
        Replay(10**12, NUM_ENVS, COLUMNS, ("near",), gamma=0.9)
    monkeypatch.setattr(module, "free_bytes", lambda device: 1000)
    with pytest.raises(ContractError, match="replay_size"):
        Replay(100, NUM_ENVS, COLUMNS, ("near",), gamma=0.9)


def test_the_replays_of_a_teams_processes_on_one_machine_have_to_fit_together(monkeypatch):
    one = Replay(10, NUM_ENVS, COLUMNS, ("near",), gamma=0.9)
    monkeypatch.setattr(module, "free_bytes", lambda device: 2 * one.bytes)
    for processes in (1, 2):
        monkeypatch.setattr(module.team, "neighbours", lambda n=processes: n)
        Replay(10, NUM_ENVS, COLUMNS, ("near",), gamma=0.9)
    monkeypatch.setattr(module.team, "neighbours", lambda: 3)
    with pytest.raises(ContractError, match=r"GB in each of 3 processes, and .* lower replay_size"):
        Replay(10, NUM_ENVS, COLUMNS, ("near",), gamma=0.9)
