"""Sixteen environments a thread and one a thread are one arithmetic, forward and adjoint, and that of float64 torch.

Plain float32 elements are what a GPU gets; here a CPU runs them too, so that the source of both is tested.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import warp as wp
from torch import Tensor

from robostack import warp_start
from robostack.lanes import (  # add, div, mul and sub are what the operators below become
    LANES,
    add,
    as_lanes,
    columns,
    cross,
    decay,
    div,
    dot,
    dot4,
    get,
    get3,
    get4,
    highest,
    lower,
    mul,
    nearest,
    num_threads,
    put,
    put3,
    put4,
    reaches,
    root,
    sine,
    size,
    stored,
    sub,
    total,
    upper,
    vec3,
)  # fmt: skip
from robostack.lanes_random import normal

warp_start.start()
OPERATORS = (add, div, mul, sub)
CPU = torch.device("cpu")
N = 40  # two whole Lanes and half of one
SIZE_IN, SIZE_OUT = 8, 24


@wp.kernel
def everything(x: wp.array2d(dtype=Any), out: wp.array2d(dtype=Any)):
    i = wp.tid()
    a = get(x, 0, i)
    b = get(x, 1, i)
    u = get3(x, 2, i)
    v = get4(x, 4, i)
    put(out, 0, i, a + b)
    put(out, 1, i, a - b)
    put(out, 2, i, a * b)
    put(out, 3, i, a / b)
    put(out, 4, i, 3.0 * a)
    put(out, 5, i, lower(a, b))
    put(out, 6, i, upper(a, b))
    put(out, 7, i, root(a * a + type(a)(0.1)))
    put(out, 8, i, size(a))
    put(out, 9, i, decay(size(b)))
    put(out, 10, i, sine(20.0 * a))
    put3(out, 11, i, cross(u, u * u) + a * u - 2.0 * (u / vec3(b, b, b)))
    put(out, 14, i, dot(u, u))
    put4(out, 15, i, v * v + a * v - v)
    put(out, 19, i, dot4(v, v))
    put(out, 20, i, reaches(a, b))
    put(out, 21, i, nearest(5.0 * a))
    put(out, 22, i, sine(100.0 * a))
    put(out, 23, i, decay(2.0 * size(b)))


def in_torch(x: Tensor) -> Tensor:
    a, b, u, v = x[:, :1], x[:, 1:2], x[:, 2:5], x[:, 4:8]
    u_outer = torch.linalg.cross(u, u * u) + a * u - 2 * u / b
    return torch.cat([
        a + b, a - b, a * b, a / b, 3 * a, torch.minimum(a, b), torch.maximum(a, b), (a * a + 0.1).sqrt(), a.abs(),
        (-b.abs()).exp(), (20 * a).sin(), u_outer, (u * u).sum(1, keepdim=True), v * v + a * v - v,
        (v * v).sum(1, keepdim=True), (a >= b).to(x), (5 * a).round().detach(), (100 * a).sin(), (-2 * b.abs()).exp(),
    ], 1)  # fmt: skip


def run(x: Tensor, weights: Tensor, as_arrays: Any, threads: int) -> tuple[Tensor, Tensor]:
    """Outputs, and the gradient of their weighted sum."""
    inside, out = columns(N, SIZE_IN, CPU), columns(N, SIZE_OUT, CPU)
    grad_in, grad_out = columns(N, SIZE_IN, CPU), columns(N, SIZE_OUT, CPU)
    inside.copy_(x)
    grad_out.copy_(weights)
    arrays = {"inputs": [as_arrays(inside)], "outputs": [as_arrays(out)], "device": "cpu"}
    wp.launch(everything, threads, **arrays)
    grads = {"adj_inputs": [as_arrays(grad_in)], "adj_outputs": [as_arrays(grad_out)], "adjoint": True}
    wp.launch(everything, threads, **arrays, **grads)
    return out, grad_in


def plain(tensor: Tensor) -> Any:
    """What as_lanes gives on a GPU."""
    return wp.from_torch(stored(tensor))


@pytest.mark.parametrize(
    ("as_arrays", "threads"), [(as_lanes, num_threads(N, CPU)), (plain, N)], ids=["sixteen a thread", "one a thread"]
)
def test_every_operation_and_its_adjoint_is_that_of_torch_in_float64(as_arrays: Any, threads: int) -> None:
    draw = torch.Generator().manual_seed(0)
    x, weights = torch.randn(N, SIZE_IN, generator=draw), torch.randn(N, SIZE_OUT, generator=draw)
    x[:, 1] += 0.5 * x[:, 1].sign()  # a divisor
    truth = x.double().requires_grad_()
    expected = in_torch(truth)
    (slope,) = torch.autograd.grad((expected * weights).sum(), truth)
    out, gradient = run(x, weights, as_arrays, threads)
    torch.testing.assert_close(out.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient.double(), slope, rtol=1e-4, atol=1e-3)


def test_a_process_that_runs_both_compiles_for_a_gpu(tmp_path: Path) -> None:
    for array in (as_lanes, plain):
        everything.add_overload([array(columns(N, SIZE_IN, CPU)), array(columns(N, SIZE_OUT, CPU))])
    (made,) = wp.compile_aot_module(everything.module, arch=90, module_dir=tmp_path, use_ptx=True)
    assert made.read_text().count(".entry everything_") == 4  # both, forward and adjoint


@wp.kernel(enable_backward=False)
def draw_kernel(noise: wp.array(dtype=Any)):
    i = wp.tid()
    noise[i] = normal(noise[i], wp.uint32(7), wp.uint32(9), i)


@wp.kernel(module="unique")
def fold_kernel(x: wp.array2d(dtype=Any), out: wp.array2d(dtype=wp.float32)):
    i = wp.tid()
    out[0, i] = 2.0 * total(get(x, 0, i))
    out[1, i] = highest(get(x, 0, i))


@pytest.mark.parametrize(
    ("as_arrays", "wide"), [(as_lanes, LANES), (plain, 1)], ids=["sixteen a thread", "one a thread"]
)
def test_a_sum_and_a_largest_are_of_what_a_thread_has(as_arrays: Any, wide: int) -> None:
    x, grad = columns(2 * LANES, 1, CPU), columns(2 * LANES, 1, CPU)
    x.copy_(torch.randn(2 * LANES, 1, generator=torch.Generator().manual_seed(0)))
    out = torch.zeros(2, 2 * LANES // wide)
    launch = {"inputs": [as_arrays(x)], "outputs": [wp.from_torch(out)], "device": "cpu"}
    wp.launch(fold_kernel, out.shape[1], **launch)
    torch.testing.assert_close(out[0], 2.0 * x.view(-1, wide).sum(1))
    assert torch.equal(out[1], x.view(-1, wide).amax(1))
    ones = wp.from_torch(torch.tensor([[1.0], [0.0]]).expand(2, out.shape[1]).contiguous())
    wp.launch(fold_kernel, out.shape[1], **launch, adj_inputs=[as_arrays(grad)], adj_outputs=[ones], adjoint=True)
    assert (grad == 2.0).all()


def test_noise_is_the_same_number_at_the_same_place_whatever_the_lanes() -> None:
    wide, narrow = columns(N, 3, CPU), columns(N, 3, CPU)
    for array in (as_lanes(wide).flatten(), plain(narrow).flatten()):
        wp.launch(draw_kernel, array.shape[0], [array], device="cpu")
    assert torch.equal(wide, narrow)
    assert wide.unique().numel() > 90


def test_a_tensor_of_columns_is_rows_to_torch_and_lanes_to_warp() -> None:
    rows = columns(N, 3, CPU, 2)
    assert rows.shape == (2, N, 3)
    assert as_lanes(rows).shape == (2, 3, -(-N // LANES))
    rows[1, 17, 2] = 5.0
    assert stored(rows[1])[2, 17].item() == 5.0
    assert as_lanes(rows[1]).numpy()[2, 1, 1] == 5.0


def test_an_ordinary_tensor_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"column by column.*columns\(\)"):
        as_lanes(torch.zeros(4, 3))
