"""Compiles the quadrotor's and the features' kernels for CUDA into a folder; needs no GPU. For test_one_source.py."""

from __future__ import annotations

import sys
from pathlib import Path

import warp as wp

from robostack import warp_start
from robostack.features_warp import features_kernel
from robostack_sim.quadrotor.physics import fly, gaussian
from robostack_sim.quadrotor.rate_control import rates_step_kernel
from robostack_sim.quadrotor.sensing import observe_kernel, reference_kernel, step_kernel

ROWS = wp.array2d(dtype=wp.float32)
ARGUMENTS = {
    step_kernel: [ROWS, ROWS, float, *[ROWS] * 8],
    rates_step_kernel: [ROWS, ROWS, ROWS, float, *[ROWS] * 8],
    observe_kernel: [ROWS, float, *[ROWS] * 4],
    reference_kernel: [ROWS, float, ROWS, wp.array3d(dtype=wp.float32)],
    fly: [ROWS, float, int, *[ROWS] * 3],
    gaussian: [wp.array(dtype=wp.int32), wp.array(dtype=wp.float32)],
    features_kernel: [wp.array2d(dtype=wp.int32), *[ROWS] * 5],
}

warp_start.start()
for kernel, arguments in ARGUMENTS.items():
    kernel.add_overload(arguments)
for module in {kernel.module for kernel in ARGUMENTS}:
    wp.compile_aot_module(module, arch=90, module_dir=Path(sys.argv[1]), use_ptx=True)
