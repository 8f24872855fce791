"""A recorded Warp kernel behaves as any torch operator, and says so when it cannot."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import warp as wp
from torch import Tensor

from robostack.lanes import add, as_lanes, columns, get, mul, put  # noqa: F401
from robostack.recorded import RecordedOp

CPU = torch.device("cpu")


@wp.kernel
def push(
    gain: wp.array2d(dtype=Any),
    x: wp.array2d(dtype=Any),
    u: wp.array2d(dtype=Any),
    moved: wp.array2d(dtype=Any),
    seen: wp.array2d(dtype=Any),
):
    """moved = x + gain u; seen = x * x summed over the row."""
    i = wp.tid()
    total = 0.0 * get(x, 0, i)
    for k in range(3):
        put(moved, k, i, get(x, k, i) + get(gain, 0, i) * get(u, k, i))
        total += get(x, k, i) * get(x, k, i)
    put(seen, 0, i, total)


def make_push(slots: int, n: int = 4, carried: bool = False, gain_grad: Tensor | None = None) -> RecordedOp:
    gain = columns(n, 1, CPU)
    gain.fill_(0.5)
    grads = None if gain_grad is None else [as_lanes(gain_grad)]
    return RecordedOp(
        push, n, (3, 3), (3, 1), lambda slot: [as_lanes(gain)], slots, CPU, carried=carried,
        constant_grads=grads and (lambda slot: grads),
    )  # fmt: skip


def eager(x: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    return x + 0.5 * u, x.square().sum(1, keepdim=True)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_forward_and_backward_are_those_of_eager_torch() -> None:
    x, u = draw(4, 3).requires_grad_(), draw(4, 3, seed=1).requires_grad_()
    weights = draw(4, 3, seed=2), draw(4, 1, seed=3)
    gradients = []
    for op in (make_push(2), eager):
        outputs = op(x, u)
        loss = sum((o * w).sum() for o, w in zip(outputs, weights, strict=True))
        gradients.append((*(o.detach().clone() for o in outputs), *torch.autograd.grad(loss, (x, u))))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_an_output_that_nobody_uses_has_no_gradient() -> None:
    x, u = draw(4, 3).requires_grad_(), draw(4, 3, seed=1).requires_grad_()
    op = make_push(1)
    op(x, u)[1].sum().backward()  # leaves something in the buffers
    x.grad = u.grad = None
    op(x, u)[0].sum().backward()
    torch.testing.assert_close(x.grad, torch.ones(4, 3))
    torch.testing.assert_close(u.grad, torch.full((4, 3), 0.5))


@pytest.mark.parametrize("carried", [False, True])
def test_gradients_flow_back_through_a_whole_window(carried: bool) -> None:
    op, steps = make_push(6, carried=carried), 6
    x, u = draw(4, 3).requires_grad_(), [draw(4, 3, seed=k).requires_grad_() for k in range(steps)]
    for window in range(2):  # the second goes over the same buffers
        op.rewind()
        found = []
        for call in (op, eager):
            at, cost = x * (1 + window), torch.zeros(())
            for k in range(steps):
                at, seen = call(at, u[k])
                cost = cost + (k + 1) * seen.sum()
            found.append((cost.detach().clone(), *torch.autograd.grad(cost + at.sum(), [x, *u])))
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_carried_state_is_handed_on_without_a_copy() -> None:
    op = make_push(3, carried=True)
    state = draw(4, 3)
    first, _ = op(state, draw(4, 3, seed=1))
    second, _ = op(first, draw(4, 3, seed=2))
    assert op._ring[1].inputs[0].data_ptr() == first.data_ptr()  # type: ignore[union-attr]
    assert second.data_ptr() != first.data_ptr()


def test_what_a_call_returned_lasts_as_long_as_the_ring() -> None:
    op = make_push(3)
    zero = torch.zeros(4, 3)
    outputs = [op(draw(4, 3, seed=k), zero)[0] for k in range(3)]
    kept = [o.clone() for o in outputs]
    assert all(torch.equal(o, k) for o, k in zip(outputs, kept, strict=True))
    op(draw(4, 3, seed=9), zero)
    assert not torch.equal(outputs[0], kept[0])
    assert torch.equal(outputs[1], kept[1])


def test_backward_through_an_overwritten_call_is_refused_and_names_the_remedy() -> None:
    op = make_push(2)
    u = draw(4, 3).requires_grad_()
    old, *_ = op(torch.zeros(4, 3), u)
    fresh, *_ = op(torch.zeros(4, 3), u)
    op(torch.zeros(4, 3), u)
    fresh.sum().backward()
    with pytest.raises(RuntimeError, match=r"reused.*before the next begin.*horizon longer"):
        old.sum().backward()


def test_the_gradient_of_a_constant_adds_up_over_a_window() -> None:
    found = columns(4, 1, CPU)
    op = make_push(3, gain_grad=found)
    u = [draw(4, 3, seed=k).requires_grad_() for k in range(3)]
    at: Any = torch.zeros(4, 3)
    for k in range(3):
        at, _ = op(at, u[k])
    at.sum().backward()
    torch.testing.assert_close(found, sum(v.detach().sum(1, keepdim=True) for v in u))


def test_a_wrong_number_of_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        make_push(1)(torch.zeros(4, 3))
