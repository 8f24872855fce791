"""A function of tensors with the gradients and optimiser steps in it, as one compiled function.

It is run once while every operation is written down as it reaches torch's kernels (make_fx). That is below autograd:
gradients are operations among others by then. TorchInductor makes C++ of them, which goes through memory less often.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from robostack.learn.adam import written_out

Function = Callable[..., tuple[Tensor, ...]]

ONE_FILE = {"cpp_wrapper": True, "cpp_cache_precompile_headers": False}
"""of C++: one a kernel takes twice as long to compile, and runs slower"""


@torch.no_grad()
def compiled(function: Function, changed: Sequence[Tensor], examples: Sequence[Tensor]) -> Function:
    """`function` for tensors of the shapes of `examples`, equal up to rounding, to be called without gradients.

    It may change the tensors `changed` in place, and no others; random numbers are handed in; which operations it does
    may not depend on what tensors hold. Where it cannot be compiled, for want of a C++ compiler say, one line says why
    and `function` itself comes back.
    """
    from torch import _inductor
    from torch.fx.experimental.proxy_tensor import make_fx

    before = [t.clone() for t in changed]
    try:
        recorded = make_fx(function, {torch.ops.aten._fused_adam_.default: written_out})(*examples)
        for node in recorded.graph.nodes:
            node.meta.clear()  # fake tensors of the recording, which the C++ wrapper would mix with its own
        return _inductor.compile(recorded, list(examples), options=ONE_FILE)
    except Exception as error:  # every stage of the compiler has its own
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(f"going on without compile: {why[:200]}", file=sys.stderr)
        return function
    finally:
        torch._foreach_copy_(changed, before)
