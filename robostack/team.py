"""The processes of one training: environments of its own in each, the same weights and normalisers in all.

    torchrun --nproc-per-node 4 -m robostack train quadrotor

Without the variables that torchrun sets a team is one process, and nothing here does anything. gloo carries tensors
that are on CPUs, NCCL those on GPUs. Only the first process writes files. Everything below is collective: every
process calls it, in the same order, so no process may decide by its own data or clock whether to.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

WAIT = timedelta(minutes=10)
"""for the others in one call, before they count as lost"""


class TeamError(ConnectionError):
    """Another process of the team is gone or silent; this one cannot go on."""


def join() -> None:
    """Joins the processes that torchrun started, once. Raises TeamError when they do not meet."""
    started = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()
    if not started or int(os.environ["WORLD_SIZE"]) == 1 or dist.is_initialized():
        return
    with _talking():
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=WAIT)
    atexit.register(dist.destroy_process_group)  # one that is left over may abort the process when Python ends


def rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def neighbours() -> int:
    """Processes of the team on this machine, this one among them."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if size() > 1 else 1


def device(asked: str) -> str:
    """Where this process computes: in a team `cuda` is the GPU of its local rank."""
    if size() == 1 or not asked.startswith("cuda"):
        return asked
    own = f"cuda:{os.environ['LOCAL_RANK']}"
    torch.cuda.set_device(own)
    return own


def first(make: Callable[[], T]) -> T:
    """What `make` gives in the first process, which alone calls it."""
    value = [make() if rank() == 0 else None]
    if size() > 1:
        with _talking():
            dist.broadcast_object_list(value)
    return value[0]  # type: ignore[return-value]


def gather(value: Any) -> list[Any]:
    """The value of every process in the order of ranks, in the first process; elsewhere nothing."""
    if size() == 1:
        return [value]
    values: list[Any] = [None] * size()
    with _talking():
        dist.gather_object(value, values if rank() == 0 else None)
    return values if rank() == 0 else []


def stacked(x: Tensor) -> Tensor:
    """(...) of every process -> (size, ...), the same in all."""
    if size() == 1:
        return x[None]
    rows = [torch.empty_like(x) for _ in range(size())]
    with _talking():
        dist.all_gather(rows, x.contiguous())
    return torch.stack(rows)


def largest(*values: float) -> list[float]:
    """The largest of each value over the processes; of yes and no, whether one says yes."""
    most = torch.tensor(values, dtype=torch.float64)
    if size() > 1:
        with _talking():
            dist.all_reduce(most, dist.ReduceOp.MAX)
    return most.tolist()


def wait() -> None:
    """Until every process is here: when one ends with a failure, torchrun ends the others."""
    largest(0.0)


@torch.no_grad()
def follow_first(tensors: Iterable[Tensor]) -> None:
    """Overwrites them with those of the first process."""
    if size() > 1:
        for tensor in tensors:
            with _talking():
                dist.broadcast(tensor, 0)


@torch.no_grad()
def average(x: Tensor) -> Tensor:
    """The mean of `x` over the processes, the same to the bit in all. One that is not finite makes it so."""
    if size() == 1:
        return x
    x = x.clone()
    with _talking():
        dist.all_reduce(x)
    return x.div_(size())


def averaged(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """`average` of each, in one call to the others."""
    if size() == 1:
        return tensors
    mean = average(torch.cat([t.detach().flatten() for t in tensors]))
    parts = mean.split([t.numel() for t in tensors])
    return [part.view_as(t) for part, t in zip(parts, tensors, strict=True)]


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor], loss: Tensor) -> Tensor:
    """Averages gradients in place and returns the mean loss, in one call to the others."""
    if size() == 1:
        return loss.detach()
    gradients = [p.grad for p in parameters if p.grad is not None]
    *means, loss = averaged([*gradients, loss])
    torch._foreach_copy_(gradients, means)
    return loss


@contextmanager
def _talking() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch has many, and every backend its own words
        why = str(error).strip().splitlines()[0][:200]
        raise TeamError(
            f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']}: another process of this training is gone, "
            f"or has been silent for {WAIT} ({why}). Go on from the last checkpoint: the same line with --resume"
        ) from error
