"""Compiles the pads' kernels for CUDA into a folder; needs no GPU. For test_taxels_one_source.py."""

from __future__ import annotations

import sys
from pathlib import Path

import warp as wp

from robostack import warp_start
from robostack_sim.tactile.sensor.bristle import bristle_kernel
from robostack_sim.tactile.sensor.distance import distance_kernel
from robostack_sim.tactile.sensor.heights import heights_kernel
from robostack_sim.tactile.sensor.imaging import blur_across_kernel, blur_down_kernel, marker_kernel, shade_kernel
from robostack_sim.tactile.sensor.magnetic import magnetic_kernel
from robostack_sim.tactile.sensor.penalty import penalty_kernel
from robostack_sim.tactile.sensor.relating import relate_kernel
from robostack_sim.tactile.sensor.sensing import sensing_kernel

ROWS, VALUES, INTS = wp.array2d(dtype=wp.float32), wp.array(dtype=wp.float32), wp.array(dtype=wp.int32)
SOLID = [INTS, ROWS, wp.array2d(dtype=wp.int32), VALUES]
ARGUMENTS = {
    distance_kernel: [*SOLID, ROWS, ROWS],
    heights_kernel: [*SOLID, ROWS, float, float, ROWS, ROWS],
    penalty_kernel: [*SOLID, *[ROWS] * 4],
    bristle_kernel: [*[ROWS] * 3, int, float, int, *[ROWS] * 5, VALUES],
    relate_kernel: None,
    blur_down_kernel: [VALUES, float, int, int, ROWS, ROWS],
    blur_across_kernel: [int, ROWS, ROWS],
    shade_kernel: None,
    marker_kernel: None,
    magnetic_kernel: [ROWS, float, float, int, *[ROWS] * 3, wp.array3d(dtype=wp.float32)],
    sensing_kernel: [INTS, *[float] * 5, *[ROWS] * 6],
}

warp_start.start()
for kernel, arguments in ARGUMENTS.items():
    if arguments:
        kernel.add_overload(arguments)
for module in {kernel.module for kernel in ARGUMENTS}:
    wp.compile_aot_module(module, arch=90, module_dir=Path(sys.argv[1]), use_ptx=True)
