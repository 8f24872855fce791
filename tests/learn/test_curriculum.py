"""Claims of every curriculum: it stays within its ranges, resumes to the bit, logs itself, and takes no nonsense."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robostack.learn import ADR, PLR, AlpGmm, Uniform, curriculum
from robostack.learn.curriculum.curriculum import chosen
from robostack.spec import ContractError
from robostack.task import Parameter

QUICK = [Uniform(), ADR(episodes=5), AlpGmm(fit_every=30, most_components=4), PLR(levels=20)]
MIXED = (
    Parameter("mass", 0.8, 1.2, "kg"),
    Parameter("lag", 0.05, 0.25, "s", log=True),
    Parameter("wind", -3.0, -3.0, "m/s"),
)


def every(test):
    return pytest.mark.parametrize("method", QUICK, ids=curriculum.name_of)(test)


def play(found, rounds, n=10, error=math.nan):
    """Episodes whose return is better the heavier they are, up to 1; the last samples."""
    for _ in range(rounds):
        params = found.sample(n)
        returns = params[:, 0] / 1.2
        found.update(params, returns, torch.full_like(returns, error), returns > 0.8)
    return params


@st.composite
def boxes(draw):
    found = []
    for k in range(draw(st.integers(1, 4))):
        log = draw(st.booleans())
        ends = st.floats(1e-6 if log else -1e6, 1e6, allow_subnormal=False)
        low, high = sorted((draw(ends), draw(ends)))
        found.append(Parameter(f"p{k}", low, high, "1", log))
    return tuple(found)


@every
@settings(max_examples=15, deadline=None)
@given(box=boxes(), seed=st.integers(0, 2**31))
def test_samples_are_within_the_ranges_whatever_it_has_learned(method, box, seed):
    found = method.curriculum(box, seed)
    for _ in range(8):
        params = found.sample(10)
        for p, values in zip(box, params.T, strict=True):
            assert ((values >= p.low) & (values <= p.high)).all()
        found.update(params, params[:, 0], torch.full((10,), math.nan), params[:, 0] > params[0, 0])


@every
def test_one_seed_gives_one_history_and_another_another(method):
    first, again, other = (play(method.curriculum(MIXED, seed), 12) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@every
@pytest.mark.parametrize("rounds", [0, 1, 12])
def test_its_state_goes_on_to_the_bit_through_a_file(method, rounds, tmp_path):
    found = method.curriculum(MIXED, 5)
    if rounds:
        play(found, rounds, error=0.25)
    torch.save(found.state_dict(), tmp_path / "state.pt")
    expected = play(found, 15), found.scalars()
    other = method.curriculum(MIXED, 99)
    play(other, 4)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(play(other, 15), expected[0])
    assert other.scalars() == expected[1]


@every
def test_a_state_of_another_box_is_refused(method):
    kept = method.curriculum(MIXED[:2], 0).state_dict()
    with pytest.raises(ValueError, match="sets 2 parameters, here mass, lag, wind"):
        method.curriculum(MIXED, 0).load_state_dict(kept)


def test_log_uniform_is_uniform_in_the_logarithm():
    values = Uniform().curriculum((Parameter("lag", 0.01, 100.0, "s", log=True),), 0).sample(4000)[:, 0]
    share = (values.log10().sort().values + 2.0) / 4.0
    expected = (torch.arange(4000) + 0.5) / 4000
    assert (share - expected).abs().max() < 1.95 / math.sqrt(4000)  # Kolmogorov-Smirnov, 0.1 %


@every
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_return_that_is_not_finite_teaches_nothing_and_is_counted_and_warned_of_once(method, bad, recwarn):
    found, sound = method.curriculum(MIXED, 0), method.curriculum(MIXED, 0)
    for k in range(12):
        params = found.sample(10)
        assert torch.equal(params, sound.sample(10)), f"round {k}"
        returns, error = params[:, 0].clone(), torch.full((10,), math.nan)
        keep = torch.arange(10) > 1
        sound.update(params[keep], returns[keep], error[keep], returns[keep] > 1.0)
        returns[:2] = bad
        found.update(params, returns, error, returns > 1.0)
    assert found.scalars()["curriculum/refused"] == 24.0
    assert math.isfinite(sum(found.scalars().values()))
    assert [str(w.message)[:45] for w in recwarn] == ["the return of 2 episodes was not finite: the c"[:45]]


@every
def test_parameters_that_no_sample_can_have_are_refused_by_name(method):
    found = method.curriculum(MIXED, 0)
    one = torch.zeros(1)
    with pytest.raises(ValueError, match=r"an episode's lag was outside of its range \[0.05, 0.25\] s"):
        found.update(torch.tensor([[1.0, 0.26, -3.0]]), one, one, one > 0)
    with pytest.raises(ValueError, match="lag was outside"):
        found.update(torch.tensor([[1.0, math.nan, -3.0]]), one, one, one > 0)
    with pytest.raises(ValueError, match=r"1 episodes have \(1, 2\) parameters; expected mass, lag, wind"):
        found.update(torch.tensor([[1.0, 0.2]]), one, one, one > 0)


@every
def test_what_it_did_is_logged(method):
    found = method.curriculum(MIXED, 0)
    play(found, 12)
    logged = found.scalars()
    assert 0.8 <= logged["curriculum/mass_p05"] <= logged["curriculum/mass_p50"] <= logged["curriculum/mass_p95"] <= 1.2
    assert logged["curriculum/wind_p50"] == -3.0
    assert 0.0 < logged["curriculum/solved"] <= 1.0
    assert 0.8 / 1.2 <= logged["curriculum/return"] <= 1.0


def test_a_parameter_that_the_task_does_not_have_is_refused_with_those_it_has():
    assert [p.name for p in chosen(MIXED, ("wind", "mass"), "glider")] == ["wind", "mass"]
    assert chosen(MIXED, (), "glider") == MIXED
    with pytest.raises(ContractError, match="'glider' has no parameter drag, lift; it has mass, lag, wind"):
        chosen(MIXED, ("drag", "mass", "lift"), "glider")
    with pytest.raises(ContractError, match="'glider' declares no parameters"):
        chosen((), (), "glider")


@pytest.mark.parametrize(
    ("low", "high", "log"), [(1.0, 0.0, False), (math.nan, 1.0, False), (0.0, math.inf, False), (0.0, 1.0, True)]
)
def test_a_range_that_cannot_be_drawn_from_is_refused_where_it_is_declared(low, high, log):
    with pytest.raises(ContractError, match="parameter mass: its range"):
        Parameter("mass", low, high, "kg", log)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: ADR(narrow_at=0.9, widen_at=0.8),
        lambda: ADR(step=0.0),
        lambda: ADR(start=(1.5,)),
        lambda: ADR(start=(0.5,)).curriculum(MIXED, 0),
        lambda: AlpGmm(most_components=1),
        lambda: AlpGmm(random_share=1.5),
        lambda: AlpGmm(history=10),
        lambda: PLR(temperature=0.0),
        lambda: PLR(levels=0),
        lambda: PLR(replay_share=-0.1),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(bad):
    with pytest.raises(ContractError, match=r"must be|give one for each"):
        bad()
