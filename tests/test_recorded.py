"""A recorded Warp kernel behaves as any torch operator, and says so when it cannot."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import warp as wp
from torch import Tensor

from robostack.recorded import RecordedOp

CPU = torch.device("cpu")
Row3 = wp.types.vector(length=3, dtype=wp.float32)
F1, F2 = wp.array(dtype=wp.float32), wp.array2d(dtype=wp.float32)


@wp.kernel
def push(gain: F1, x: F2, u: F2, moved: F2, seen: F2):
    """moved = x + gain u; seen = x * x summed over the row."""
    i = wp.tid()
    total = float(0.0)
    for k in range(x.shape[1]):
        moved[i, k] = x[i, k] + gain[0] * u[i, k]
        total += x[i, k] * x[i, k]
    seen[i, 0] = total


@wp.kernel
def swap_rows(gain: F1, x: wp.array(dtype=Row3), y: wp.array(dtype=Row3)):
    i = wp.tid()
    r = x[i]
    y[i] = Row3(r[2] * gain[0], r[0], r[1])


def make_push(slots: int, n: int = 4, carried: bool = False, gain_grad: Tensor | None = None) -> RecordedOp:
    gain = wp.array([0.5], dtype=wp.float32, device="cpu")
    grads = None if gain_grad is None else [wp.from_torch(gain_grad)]
    return RecordedOp(
        push, n, (3, 3), (3, 1), lambda slot: [gain], slots, CPU, carried=carried,
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


def test_rows_are_whole_vectors() -> None:
    gain = wp.array([2.0], dtype=wp.float32, device="cpu")
    op = RecordedOp(swap_rows, 5, (3,), (3,), lambda slot: [gain], 1, CPU, rows=True)
    x = draw(5, 3).requires_grad_()
    (y,) = op(x)
    torch.testing.assert_close(y, torch.stack([2 * x[:, 2], x[:, 0], x[:, 1]], 1))
    (gradient,) = torch.autograd.grad((y * torch.tensor([1.0, 10.0, 100.0])).sum(), x)
    torch.testing.assert_close(gradient, torch.tensor([[10.0, 100.0, 2.0]]).expand(5, 3))


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
    found = torch.zeros(1)
    op = make_push(3, gain_grad=found)
    u = [draw(4, 3, seed=k).requires_grad_() for k in range(3)]
    at: Any = torch.zeros(4, 3)
    for k in range(3):
        at, _ = op(at, u[k])
    at.sum().backward()
    assert found.item() == pytest.approx(sum(v.sum().item() for v in u), rel=1e-5)


def test_a_wrong_number_of_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        make_push(1)(torch.zeros(4, 3))
