"""Claims: running moments are the moments of everything that was seen, and folding changes nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robostack.nets.normaliser import Normaliser

SIZE = 3


def seen(seed: int, rows: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(random.normal(0, 3, SIZE), random.uniform(0.1, 5, SIZE), (rows, SIZE))


@settings(max_examples=60, deadline=None)
@given(chunks=st.lists(st.integers(1, 30), min_size=1, max_size=8), seed=st.integers(0, 2**32 - 1))
def test_updates_in_pieces_equal_the_moments_of_the_whole(chunks, seed):
    normaliser, x = Normaliser(SIZE), seen(seed, sum(chunks))
    for piece in np.split(x, np.cumsum(chunks)[:-1]):
        normaliser.update(torch.tensor(piece, dtype=torch.float32))
    assert normaliser.count == sum(chunks)
    np.testing.assert_allclose(normaliser.mean, x.mean(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(normaliser.var, x.var(0), rtol=1e-3, atol=1e-4)


def learned(**options) -> Normaliser:
    normaliser = Normaliser(SIZE, **options)
    normaliser.update(torch.tensor(seen(0, 500), dtype=torch.float32))
    return normaliser


def test_what_it_has_learned_comes_out_with_zero_mean_and_unit_variance():
    y = learned(eps=1e-8)(torch.tensor(seen(0, 500), dtype=torch.float32))
    np.testing.assert_allclose(y.mean(0), np.zeros(SIZE), atol=1e-4)
    np.testing.assert_allclose(y.var(0, False), np.ones(SIZE), rtol=1e-3)


@pytest.mark.parametrize("enabled", [True, False])
def test_a_folded_layer_takes_raw_input_and_gives_the_same(enabled):
    normaliser, layer = learned(enabled=enabled), torch.nn.Linear(SIZE, 5)
    x = torch.tensor(seen(1, 40), dtype=torch.float32)
    folded = torch.nn.functional.linear(x, *normaliser.fold(layer.weight, layer.bias))
    torch.testing.assert_close(folded, layer(normaliser(x)), rtol=1e-4, atol=1e-4)


def test_gradients_flow_through_a_folded_layer_to_its_own_weights():
    normaliser, layer = learned(), torch.nn.Linear(SIZE, 5)
    x = torch.tensor(seen(1, 40), dtype=torch.float32)
    wanted = torch.autograd.grad(layer(normaliser(x)).square().sum(), layer.weight)[0]
    folded = torch.nn.functional.linear(x, *normaliser.fold(layer.weight, layer.bias))
    found = torch.autograd.grad(folded.square().sum(), layer.weight)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_frozen_it_learns_no_more():
    normaliser = learned()
    before = {k: v.clone() for k, v in normaliser.state_dict().items()}
    normaliser.freeze()
    normaliser.update(100.0 + torch.randn(50, SIZE))
    assert all(torch.equal(v, before[k]) for k, v in normaliser.state_dict().items())


def test_disabled_it_is_the_identity_and_learns_nothing():
    normaliser, x = learned(enabled=False), torch.randn(4, SIZE)
    assert torch.equal(normaliser(x), x)
    assert normaliser.count == 0
