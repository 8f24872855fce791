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

wp.config.quiet = True
wp.config.verbose = False
wp.init()


class _Slot:
    """Buffers and recorded launches of one call. Gradients of the inputs share one block, zeroed at once."""

    def __init__(self, op: RecordedOp, index: int) -> None:
        n, device = op.num_rows, op.device
        self.generation = 0
        self.inputs = [torch.zeros(n, w, device=device) for w in op.input_widths]
        self.outputs = [torch.zeros(n, w, device=device) for w in op.output_widths]
        self.block = torch.zeros(n * sum(op.input_widths), device=device)
        self.grad_in: list[Tensor] = []
        start = 0
        for w in op.input_widths:
            self.grad_in.append(self.block[start : start + n * w].view(n, w))
            start += n * w
        self.grad_out = [torch.zeros_like(o) for o in self.outputs]
        constants = op.constants(index)
        arrays = [*map(wp.from_torch, self.inputs)]
        outputs = [*map(wp.from_torch, self.outputs)]
        grads_out = [*map(wp.from_torch, self.grad_out)]
        common: dict[str, Any] = {"kernel": op.kernel, "dim": n, "device": op.wp_device, "record_cmd": True}
        self.forward = wp.launch(inputs=[*constants, *arrays], outputs=outputs, **common)
        self.adjoint = wp.launch(
            inputs=[*constants, *arrays],
            outputs=outputs,
            adj_inputs=[*op.constant_grads(constants), *map(wp.from_torch, self.grad_in)],
            adj_outputs=grads_out,
            adjoint=True,
            **common,
        )


class RecordedOp:
    """`kernel(constants..., inputs..., outputs...)`, one row of every input and output a thread.

    `input_widths` and `output_widths` give the columns of each (num_rows, width) float32 array. `constants(slot)`
    returns the kernel's leading arguments for a slot. Calling it returns the output tensors of the next slot: they
    alias buffers that are written again `slots` calls later. `constant_grads` names arrays that receive the
    gradient of constants (accumulated; the owner zeroes them), None for each that needs none.
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
        constant_grads: Callable[[list[Any]], list[Any]] = lambda c: [None] * len(c),
    ) -> None:
        self.kernel, self.num_rows, self.device = kernel, num_rows, device
        self.input_widths, self.output_widths = tuple(input_widths), tuple(output_widths)
        self.constants, self.constant_grads = constants, constant_grads
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
            slot = self._ring[index] = _Slot(self, index)
        return _Call.apply(slot, *inputs)


class _Call(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, slot: _Slot, *inputs: Tensor) -> tuple[Tensor, ...]:
        for buffer, value in zip(slot.inputs, inputs, strict=True):
            buffer.copy_(value)
        slot.generation += 1
        ctx.slot, ctx.generation = slot, slot.generation
        slot.forward.launch()
        return tuple(o.detach() for o in slot.outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        slot = ctx.slot
        if slot.generation != ctx.generation:
            raise RuntimeError(
                "backward through a window whose buffers have been reused: call backward before the next begin(), "
                "or make the window's horizon longer"
            )
        for buffer, value in zip(slot.grad_out, grads, strict=True):
            buffer.copy_(value)
        slot.block.zero_()
        slot.adjoint.launch()
        return None, *slot.grad_in
