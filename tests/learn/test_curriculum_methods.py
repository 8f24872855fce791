"""Claims: each curriculum does what its paper says."""

import math

import pytest
import torch

from robostack.learn import ADR, PLR, AlpGmm
from robostack.learn.curriculum.mixture import fit, fit_best
from robostack.task import Parameter

BOX = (Parameter("x", 0.0, 1.0, "1"), Parameter("y", 0.0, 1.0, "1"))


def nan(n):
    return torch.full((n,), math.nan)


def tell(curriculum, points, returns, error=None, solved=False):
    points = torch.as_tensor(points, dtype=torch.float64)
    n = len(points)
    returns = torch.as_tensor(returns, dtype=torch.float64).expand(n)
    curriculum.update(points, returns, nan(n) if error is None else torch.as_tensor(error), torch.full((n,), solved))


# ADR


def test_a_border_moves_out_when_its_last_episodes_were_solved_and_in_when_they_failed():
    adr = ADR(episodes=4, step=0.1, narrow_at=0.25, widen_at=0.75).curriculum(BOX, 0)
    adr.borders = torch.tensor([[0.3, 0.3], [0.7, 0.7]], dtype=torch.float64)
    low_x = [[0.3, 0.5]]
    tell(adr, low_x * 3, 1.0, solved=True)
    assert adr.borders[0, 0] == 0.3  # three of four
    tell(adr, low_x, 0.0, solved=False)
    assert adr.borders.tolist() == [pytest.approx([0.2, 0.3]), pytest.approx([0.7, 0.7])]
    tell(adr, low_x * 8, 0.0, solved=False)
    assert adr.borders[0, 0] == pytest.approx(0.2)  # those were inside by then
    tell(adr, [[0.2, 0.5]] * 4, 0.0, solved=False)
    assert adr.borders[0, 0] == pytest.approx(0.3)
    tell(adr, [[0.5, 0.7]] * 2, 1.0, solved=True)
    tell(adr, [[0.5, 0.7]] * 2, 0.0, solved=False)
    assert adr.borders[1, 1] == 0.7  # half: neither


def test_the_box_starts_as_a_point_ends_at_the_ranges_and_never_shrinks_past_its_start():
    adr = ADR(episodes=1, step=0.3, start=(0.5, 0.0)).curriculum(BOX, 0)
    assert adr.sample(20).unique(dim=0).tolist() == [[0.5, 0.0]]
    for _ in range(60):
        points = adr.sample(8)
        tell(adr, points, 1.0, solved=True)
    assert adr.borders.tolist() == [[0.0, 0.0], [1.0, 1.0]]
    assert adr.scalars()["curriculum/entropy"] == 0.0
    for _ in range(200):
        tell(adr, adr.sample(8), 0.0, solved=False)
    assert adr.borders.tolist() == [[0.5, 0.0], [0.5, 0.0]]


def test_half_of_the_episodes_have_one_parameter_on_a_border_each_border_alike():
    adr = ADR(boundary_share=0.5).curriculum(BOX, 0)
    adr.borders = torch.tensor([[0.2, 0.3], [0.6, 0.9]], dtype=torch.float64)
    on = adr.sample(8000)[:, None] == adr.borders
    assert on.flatten(1).sum(1).max() == 1
    assert on.double().mean(0).flatten().tolist() == pytest.approx([0.125] * 4, abs=0.015)


# ALP-GMM


def test_progress_is_the_change_against_the_nearest_point_before():
    alp = AlpGmm().curriculum(BOX, 0)
    tell(alp, [[k / 10, 0.5] for k in range(8)], [float(k) for k in range(8)])
    assert alp.progress.tolist() == [0.0] * 8  # nothing to compare with
    tell(alp, [[0.31, 0.5], [0.69, 0.5]], [10.0, 4.5])
    assert alp.progress[-2:].tolist() == [7.0, 2.5]


def test_most_episodes_go_where_returns_change_whatever_their_scale_and_units():
    box = (Parameter("x", 1e3, 1e6, "1", log=True), Parameter("y", -1e-3, 1e-3, "1"))
    for scale in (1e-4, 1.0, 1e4):
        alp = AlpGmm(fit_every=200, most_components=5).curriculum(box, 0)
        noise = torch.Generator().manual_seed(1)
        for _ in range(100):
            points = alp.sample(10)
            lively = (points[:, 0] < 1e4) & (points[:, 1] > 0)  # a sixth of the box
            returns = torch.rand(10, generator=noise, dtype=torch.float64) * lively * scale
            alp.update(points, returns, nan(10), returns > 0)
        points = alp.sample(2000)
        share = ((points[:, 0] < 1e4) & (points[:, 1] > 0)).double().mean()
        assert share > 0.6


def test_without_any_progress_it_still_reaches_everything():
    alp = AlpGmm(fit_every=100).curriculum(BOX, 0)
    for _ in range(50):
        tell(alp, alp.sample(10), 0.0)
    points = alp.sample(4000)
    cells = (points * 5).long().clamp(max=4)
    assert len(cells.unique(dim=0)) == 25


def test_expectation_maximisation_finds_a_mixture_and_how_many_it_has():
    generator = torch.Generator().manual_seed(0)
    centre = torch.tensor([[0.2, 0.2], [0.8, 0.3], [0.5, 0.9]], dtype=torch.float64)
    root = torch.tensor([[0.05, 0.0], [0.02, 0.04]], dtype=torch.float64)
    which = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), 3000, replacement=True, generator=generator)
    points = centre[which] + torch.randn(3000, 2, dtype=torch.float64, generator=generator) @ root.T
    best = fit_best(points, range(2, 7), generator)
    assert len(best.weight) >= 3
    three = max((fit(points, range(3, 4), generator)[0] for _ in range(5)), key=lambda m: m.log_likelihood)
    order = [int((three.mean - c).norm(dim=1).argmin()) for c in centre]
    assert sorted(order) == [0, 1, 2]
    assert (three.mean[order] - centre).abs().max() < 0.01
    assert three.weight[order].tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.03)
    assert (three.covariance - root @ root.T).abs().max() < 4e-4


def test_likelihood_and_criterion_are_those_of_the_densities():
    points = torch.rand(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = fit(points, range(2, 5), torch.Generator().manual_seed(1))
    for k, m in zip(range(2, 5), found, strict=True):
        assert m.weight.sum().item() == pytest.approx(1.0)
        gaussians = torch.distributions.MultivariateNormal(m.mean, m.covariance)
        log = (gaussians.log_prob(points[:, None]) + m.weight.log()).logsumexp(1).sum().item()
        assert m.log_likelihood == pytest.approx(log, rel=2e-3)
        assert m.aic == pytest.approx(2 * (k * 10 - 1) - 2 * m.log_likelihood)


def test_points_that_are_all_the_same_still_have_a_mixture():
    m = fit_best(torch.full((50, 3), 0.25, dtype=torch.float64), range(2, 11), torch.Generator().manual_seed(0))
    assert torch.isfinite(m.mean).all() and torch.isfinite(torch.linalg.cholesky(m.covariance)).all()


# prioritised level replay


def test_levels_are_drawn_by_rank_and_by_age_as_the_formula_says():
    plr = PLR(levels=4, temperature=0.5, staleness_share=0.25).curriculum(BOX, 0)
    plr.points = torch.rand(4, 2, dtype=torch.float64)
    plr.score = torch.tensor([3.0, 9.0, 1.0, 5.0], dtype=torch.float64)
    plr.episode, plr.drawn = torch.tensor(10), torch.tensor([10, 8, 4, 8])
    by_rank = torch.tensor([1 / 9, 1.0, 1 / 16, 1 / 4], dtype=torch.float64)
    by_age = torch.tensor([0.0, 0.2, 0.6, 0.2], dtype=torch.float64)
    expected = 0.75 * by_rank / by_rank.sum() + 0.25 * by_age
    assert torch.allclose(plr.probability(), expected)


def test_the_level_that_a_critic_is_wrong_about_is_replayed_first():
    plr = PLR(levels=10, replay_share=1.0, staleness_share=0.0).curriculum(BOX, 0)
    points = plr.sample(10)
    tell(plr, points, 1.0, error=[0.1, 0.2, 0.9, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    assert torch.allclose(plr.sample(1)[0], points[2])
    tell(plr, points[2:3], 1.0, error=[0.0])  # understood
    assert torch.allclose(plr.sample(1)[0], points[3])


def test_without_a_critic_the_change_of_return_counts():
    plr = PLR(levels=3, replay_share=1.0, staleness_share=0.0).curriculum(BOX, 0)
    points = plr.sample(3)
    tell(plr, points, [1.0, 1.0, 1.0])
    assert plr.score.tolist() == [0.0, 0.0, 0.0]
    tell(plr, points, [1.5, 4.0, 1.0])
    assert plr.score.tolist() == [0.5, 3.0, 0.0]
    assert torch.allclose(plr.sample(1)[0], points[1])


def test_episodes_that_start_together_get_different_levels():
    plr = PLR(levels=16, replay_share=1.0).curriculum(BOX, 0)
    tell(plr, plr.sample(16), torch.arange(16.0))
    assert len(plr.sample(16).unique(dim=0)) == 16
    assert len(plr.sample(40).unique(dim=0)) == 16


def test_a_new_level_takes_the_place_of_the_one_that_teaches_least():
    plr = PLR(levels=3, replay_share=0.0).curriculum(BOX, 0)
    first = plr.sample(3)
    tell(plr, first, 0.0, error=[0.5, 0.1, 0.9])
    tell(plr, [[0.25, 0.75]], 0.0, error=[0.05])
    assert 0.25 not in plr.points
    tell(plr, [[0.25, 0.75]], 0.0, error=[0.3])
    assert plr.points[1].tolist() == [0.25, 0.75] and plr.score.tolist() == pytest.approx([0.5, 0.3, 0.9])
