"""Claims: stacked twin critics are two separate networks, in value and in gradient."""

import pytest
import torch
from torch import nn

from robostack.nets.twin import TwinCritic


def separate(twin, which):
    """One of the two as torch's own layers."""
    layers = []
    for weight, bias in zip(twin.weight, twin.bias, strict=True):
        layers += [nn.Linear(weight.shape[1], weight.shape[2]), nn.ReLU()]
        layers[-2].weight.data, layers[-2].bias.data = weight[which].detach().T.clone(), bias[which, 0].detach().clone()
    last = nn.Linear(twin.out_weight.shape[-1], 1)
    last.weight.data, last.bias.data = twin.out_weight[which].detach().clone(), twin.out_bias[which].detach().clone()
    return nn.Sequential(*layers, last)


@pytest.mark.parametrize("hidden", [(16,), (32, 24)])
def test_both_values_and_their_gradients_are_those_of_two_networks(hidden):
    twin, x = TwinCritic(7, hidden), torch.randn(50, 7)
    values = twin(x)
    values.square().mean().backward()
    for k in (0, 1):
        net = separate(twin, k)
        alone = net(x).squeeze(-1)
        assert torch.allclose(values[k], alone, atol=1e-5)
        (alone.square().mean() / 2).backward()
        assert torch.allclose(twin.weight[0].grad[k], net[0].weight.grad.T, atol=1e-5)
        assert torch.allclose(twin.out_weight.grad[k], net[-1].weight.grad, atol=1e-5)
    assert not torch.allclose(values[0], values[1], atol=0.01)


def test_first_is_the_first_of_them():
    twin, x = TwinCritic(5, (16, 16)), torch.randn(20, 5)
    assert torch.allclose(twin.first(x), twin(x)[0], atol=1e-6)


def test_it_starts_as_torchs_own_layers_do():
    twin = TwinCritic(100, (400,))
    assert 0.95 * 0.1 < twin.weight[0].abs().max() <= 0.1
    assert 0.9 * 0.05 < twin.out_weight.abs().max() <= 0.05
