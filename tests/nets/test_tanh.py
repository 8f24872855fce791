"""Claims: the fast tanh is torch's own, in value and in gradient, and its gradient is that of its value."""

import torch

from robostack.nets.tanh import tanh


def test_it_is_torchs_own_in_value_and_gradient_however_large_its_input():
    x = torch.cat([torch.linspace(-12.0, 12.0, 4001), torch.tensor([-1e4, -90.0, 0.0, 90.0, 1e4])])
    found = []
    for function in (tanh, torch.tanh):
        given = x.clone().requires_grad_()
        value = function(given)
        found.append((value, torch.autograd.grad(value.sum(), given)[0]))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=5e-7)


def test_its_gradient_is_that_of_finite_differences():
    x = torch.linspace(-3.0, 3.0, 25, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(tanh, x)
