"""A Warp kernel as a differentiable torch operator over a ring of reused buffers.

Launching a Warp kernel from Python costs more than a small kernel runs, so forward and adjoint launches are
recorded once a slot and replayed. A window of `slots` calls can be open for `backward`; older slots are
overwritten, and because Warp writes bypass autograd's version counter, a generation number guards them.
On CUDA everything runs on torch's current stream and allocates nothing after the first round, so it can be captured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import warp as wp
from torch import Tensor

from robostack import warp_start

warp_start.start()


def as_rows(tensor: Tensor) -> Any:
    """Warp view of a contiguous (..., width) float32 tensor as an array of vectors: kernels load whole rows."""
    return wp.from_torch(tensor, dtype=wp.types.vector(length=tensor.shape[-1], dtype=wp.float32))


class _Slot:
    """Buffers and recorded launches of one call. Gradients of the inputs share one block, zeroed at once."""

    def __init__(self, op: RecordedOp, index: int, before: _Slot | None) -> None:
        n, device = op.num_rows, op.device
        self.generation = 0
        self.outputs: list[Tensor] = []
        self.inputs = [torch.zeros(n, w, device=device) for w in op.input_widths]
        if op.carried and before is not None:
            self.inputs[0] = before.outputs[0]
        self.outputs = [torch.zeros(n, w, device=device) for w in op.output_widths]
        self.block = torch.zeros(n * sum(op.input_widths), device=device)
        self.grad_in: list[Tensor] = []
        start = 0
        for w in op.input_widths:
            self.grad_in.append(self.block[start : start + n * w].view(n, w))
            start += n * w
        self.grad_out = [torch.zeros_like(o) for o in self.outputs]
        constants = op.constants(index)
        constant_grads = op.constant_grads(index) if op.constant_grads else [None] * len(constants)
        view = as_rows if op.rows else wp.from_torch
        arrays, grads_in = [*map(view, self.inputs)], [*map(view, self.grad_in)]
        outputs, grads_out = [*map(view, self.outputs)], [*map(view, self.grad_out)]
        common: dict[str, Any] = {"kernel": op.kernel, "dim": n, "device": op.wp_device, "record_cmd": True}
        self.forward = wp.launch(inputs=[*constants, *arrays], outputs=outputs, **common)
        self.adjoint = wp.launch(
            inputs=[*constants, *arrays],
            outputs=outputs,
            adj_inputs=[*constant_grads, *grads_in],
            adj_outputs=grads_out,
            adjoint=True,
            **common,
        )


class RecordedOp:
    """`kernel(constants..., inputs..., outputs...)`, one row of every input and output a thread.

    `input_widths` and `output_widths` give the columns of each (num_rows, width) float32 array. `constants(slot)`
    returns the kernel's leading arguments for a slot. Calling it returns the output tensors of the next slot: they
    alias buffers that are written again `slots` calls later. With `rows` the kernel takes arrays of vectors, else 2-D
    arrays of float32. With `carried` a call's first output is meant to be the next call's first input, and shares its
    buffer. `constant_grads(slot)` gives, for each constant, an array that every `backward` adds its gradient to, or
    None: zeroing it is the caller's business.
    """

    def __init__(
        self,
        kernel: Any,
        num_rows: int,
        input_widths: Sequence[int],
        output_widths: Sequence[int],
        constants: Callable[[int], list[Any]],
        slots: int,
        device: torch.device,
        rows: bool = False,
        carried: bool = False,
        constant_grads: Callable[[int], list[Any]] | None = None,
    ) -> None:
        self.kernel, self.num_rows, self.device = kernel, num_rows, device
        self.input_widths, self.output_widths = tuple(input_widths), tuple(output_widths)
        self.constants, self.rows, self.carried = constants, rows, carried
        self.constant_grads = constant_grads
        self.wp_device = wp.device_from_torch(device)
        self._ring: list[_Slot | None] = [None] * slots
        self._next = 0

    def rewind(self) -> None:
        """Makes slot 0 the next one, so that slot t is step t of a window."""
        self._next = 0

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        index = self._next
        self._next = (index + 1) % len(self._ring)
        slot = self._ring[index]
        if slot is None:
            slot = self._ring[index] = _Slot(self, index, self._ring[index - 1] if index else None)
        return _Call.apply(slot, *inputs)


class _Call(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, slot: _Slot, *inputs: Tensor) -> tuple[Tensor, ...]:
        for buffer, value in zip(slot.inputs, inputs, strict=True):
            if buffer.data_ptr() != value.data_ptr():
                buffer.copy_(value)
        slot.generation += 1
        ctx.slot, ctx.generation = slot, slot.generation
        ctx.set_materialize_grads(False)
        slot.forward.launch()
        return tuple(o.detach() for o in slot.outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        slot = ctx.slot
        if slot.generation != ctx.generation:
            raise RuntimeError(
                "backward through a window whose buffers have been reused: call backward before the next begin(), "
                "or make the window's horizon longer"
            )
        for buffer, value in zip(slot.grad_out, grads, strict=True):
            if value is None:
                buffer.zero_()
            else:
                buffer.copy_(value)
        slot.block.zero_()
        slot.adjoint.launch()
        return None, *slot.grad_in
