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
from robostack.lanes import as_lanes, columns, num_threads

warp_start.start()


def current_stream(device: torch.device) -> Any:
    """Torch's, for a recorded launch to run on; None on a CPU. Warp's own stream is one that torch neither waits for
    nor captures."""
    return wp.stream_from_torch(torch.cuda.current_stream(device)) if device.type == "cuda" else None


class _Slot:
    """Buffers and recorded launches of one call. Gradients of the inputs share one block, zeroed at once."""

    outputs: list[Tensor]

    def __init__(self, op: RecordedOp, index: int, before: _Slot | None) -> None:
        n, device = op.num_rows, op.device
        self.op, self.index, self.generation = op, index, 0
        self.inputs = [columns(n, w, device) for w in op.input_widths]
        if op.carried and before is not None:
            self.inputs[0] = before.outputs[0]
        self.outputs = [columns(n, w, device) for w in op.output_widths]
        self.forward = self._record()
        self.adjoint: Any = None

    def _record(self, **adjoint: Any) -> Any:
        op = self.op
        return wp.launch(
            op.kernel,
            num_threads(op.num_rows, op.device),
            inputs=[*op.constants(self.index), *map(as_lanes, self.inputs)],
            outputs=[*map(as_lanes, self.outputs)],
            device=op.wp_device,
            record_cmd=True,
            **adjoint,
        )

    def record_adjoint(self) -> None:
        """With its buffers: a task that only steps needs neither."""
        op, n = self.op, self.op.num_rows
        self.block = columns(n, sum(op.input_widths), op.device)
        self.grad_in = self.block.split(op.input_widths, 1)
        self.grad_out = [columns(n, w, op.device) for w in op.output_widths]
        constants = op.constants(self.index)
        of_constants = op.constant_grads(self.index) if op.constant_grads else [None] * len(constants)
        self.adjoint = self._record(
            adj_inputs=[*of_constants, *map(as_lanes, self.grad_in)],
            adj_outputs=[*map(as_lanes, self.grad_out)],
            adjoint=True,
        )


class RecordedOp:
    """`kernel(constants..., inputs..., outputs...)` over arrays [column, thread] (see robostack.lanes).

    `input_widths` and `output_widths` give the columns of each (num_rows, width) float32 array. `constants(slot)`
    returns the kernel's leading arguments for a slot. Calling it returns the output tensors of the next slot: they
    alias buffers that are written again `slots` calls later. With `carried` a call's first output is meant to be
    the next call's first input, and shares its buffer. `constant_grads(slot)` gives, for each constant, an array
    that every `backward` adds its gradient to, or None: zeroing it is the caller's business.
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
        carried: bool = False,
        constant_grads: Callable[[int], list[Any]] | None = None,
    ) -> None:
        self.kernel, self.num_rows, self.device = kernel, num_rows, device
        self.input_widths, self.output_widths = tuple(input_widths), tuple(output_widths)
        self.constants, self.carried = constants, carried
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
        slot.forward.launch(current_stream(slot.op.device))
        return tuple(o.detach() for o in slot.outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        slot = ctx.slot
        if slot.generation != ctx.generation:
            raise RuntimeError(
                "backward through a window whose buffers have been reused: call backward before the next begin(), "
                "or make the window's horizon longer"
            )
        if slot.adjoint is None:
            slot.record_adjoint()
        for buffer, value in zip(slot.grad_out, grads, strict=True):
            if value is None:
                buffer.zero_()
            else:
                buffer.copy_(value)
        slot.block.zero_()
        slot.adjoint.launch(current_stream(slot.op.device))
        return None, *slot.grad_in
