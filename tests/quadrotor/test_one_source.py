"""The quadrotor's kernels give the same flight and the same gradient with one environment a thread, as on a GPU, and
compile for one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import warp as wp
from plant import hover_speed
from test_gradients import N, gentle
from torch import Tensor

from robostack.lanes import as_lanes, columns, num_threads, stored
from robostack_sim.quadrotor.judging import NUM_TERMS
from robostack_sim.quadrotor.physics import NUM_NOISE, P, S
from robostack_sim.quadrotor.sensing import OBS_SIZE, step_kernel

CPU = torch.device("cpu")


def test_a_step_and_its_adjoint_do_not_depend_on_how_many_environments_a_thread_has() -> None:
    task = gentle(N)
    noise, reference, action = (columns(N, width, CPU) for width in (NUM_NOISE, 9, 4))
    task.draw_noise(noise)
    action.copy_(hover_speed(task)[:, None] * 1.1)
    widths = (S.SIZE, OBS_SIZE, 1, NUM_TERMS)
    weights = [columns(N, width, CPU) for width in widths]
    for k, weight in enumerate(weights):
        weight.copy_(torch.randn(N, widths[k], generator=torch.Generator().manual_seed(k)))

    def run(array: Callable[[Tensor], Any], threads: int) -> list[Tensor]:
        outputs, grads = ([columns(N, width, CPU) for width in wide] for wide in (widths, (P.SIZE, S.SIZE, 4)))
        inputs = [
            array(task.params), wp.from_torch(task._weights), task.step_dt,
            *map(array, (noise, reference, task.state, action)),
        ]  # fmt: skip
        launch = {"inputs": inputs, "outputs": [*map(array, outputs)], "device": "cpu"}
        wp.launch(step_kernel, threads, **launch)
        of_params, of_state, of_action = map(array, grads)
        adjoint = [of_params, None, None, None, None, of_state, of_action]
        wp.launch(step_kernel, threads, **launch, adj_inputs=adjoint, adj_outputs=[*map(array, weights)], adjoint=True)
        return [*outputs, *grads]

    wide = run(as_lanes, num_threads(N, CPU))
    narrow = run(lambda t: wp.from_torch(stored(t)), N)
    for a, b in zip(wide, narrow, strict=True):
        scale = b.abs().amax(0).clamp(min=1e-3)
        torch.testing.assert_close(a / scale, b / scale, rtol=1e-4, atol=1e-5)


def test_every_kernel_compiles_for_a_gpu_also_where_there_is_none(tmp_path: Path) -> None:
    """In a process of its own: beside what a CPU runs of these it would take minutes (tests/test_lanes.py)."""
    script = Path(__file__).with_name("compile_for_a_gpu.py")
    subprocess.run([sys.executable, script, tmp_path], check=True)
    made = "".join(path.read_text() for path in tmp_path.glob("*.ptx"))
    for kernel in (
        "step_kernel",
        "rates_step_kernel",
        "observe_kernel",
        "reference_kernel",
        "fly",
        "gaussian",
        "features_kernel",
    ):
        assert f".entry {kernel}_" in made
    assert ".entry step_kernel_" in made and "_cuda_kernel_backward" in made
