"""An elastic foundation whose taxels keep what they are sheared by, in Warp.

Each taxel is a column of gel over its area A: pressed in by w it pushes back with kn A w, sheared by u with kt A u, and
no shear is more than mu times its pressure. What it is sheared by is remembered as a point of the indenter, its anchor,
which the tip of the column sticks to: at rest for as long as one likes, however slowly that came about. Where the cone
is left, the anchor is dragged along its edge.

A contact solver's own penetration is its numerical softness and not the gel's, and what it holds by friction creeps.
Where its force is given, the field carries that force: the indenter is sunk into the gel until the columns carry the
pressing part, and their tips are shifted together until they carry the shear.
"""

# ruff: noqa: F401  (Warp finds add, div, mul and sub by name when it meets an operator)

from typing import Any

import warp as wp

from robostack.lanes import CPU_FLAGS, add, div, get, lower, mul, put, reaches, root, size, sub, total, upper
from robostack_sim.tactile.sensor.heights import inward

wp.set_module_options({"cpu_compiler_flags": CPU_FLAGS})

FOUND = wp.constant(0.5)
"""m: heights above are none (heights.FAR)"""
LEAST_FORCE = wp.constant(1.0e-9)
"""N: below it a taxel is not touched"""
SHIFTS = wp.constant(8)
SHEAR_TOLERANCE = wp.constant(1.0e-3)
"""of the shear asked for: shifting ends"""


@wp.func
def clipped(ux: Any, uy: Any, stiffness: Any, limit: Any):
    """The share of a shear (ux, uy) that the friction cone allows."""
    wanted = stiffness * root(ux * ux + uy * uy)
    return lower(type(ux)(1.0), limit / upper(wanted, type(ux)(LEAST_FORCE)))


@wp.func
def sink(load: float, stiffness: float, blocks: int, taxels: wp.array2d(dtype=Any), heights: wp.array2d(dtype=Any),
         i: int):  # fmt: skip
    """m by which the indenter must come closer for the columns to carry `load` N. From where every taxel would be
    touched, Newton's steps come down and stop for good when those that are touched stay the same."""
    level = float(0.0)
    edge = float(FOUND)
    for _ in range(16):
        area = type(get(taxels, 2, 0))(0.0)
        volume = type(get(taxels, 2, 0))(0.0)
        for j in range(blocks):
            h = get(heights, i, j)
            a = get(taxels, 2, j) * reaches(type(h)(edge), h)
            area = area + a
            volume = volume + a * h
        touched = total(area)
        if touched <= 0.0:
            break
        level = (load / stiffness + total(volume)) / touched
        if level >= edge - 1.0e-9:
            break
        edge = level
    return level


@wp.kernel(enable_backward=False)
def bristle_kernel(
    relative: wp.array2d(dtype=wp.float32),
    material: wp.array2d(dtype=wp.float32),
    loads: wp.array2d(dtype=wp.float32),
    loaded: int,
    thickness: float,
    blocks: int,
    taxels: wp.array2d(dtype=Any),
    heights: wp.array2d(dtype=Any),
    anchors: wp.array2d(dtype=Any),
    field: wp.array2d(dtype=Any),
    missing: wp.array2d(dtype=wp.float32),
    levels: wp.array(dtype=wp.float32),
):
    """A pad a thread. `material`: kn and kt (N/m3) and mu; `loads`, where `loaded`, and `missing`: shear x, shear y,
    pressing; no column is pressed further than `thickness` (m); `taxels`: x, y, area; `anchors`: three rows a pad, in
    the indenter's frame; `field`: three, what it was before and what it is, of which the pressing part also says who
    was touched before; `levels`: by how much (m) the indenter was brought closer."""
    i = wp.tid()
    kn = material[i, 0]
    kt = material[i, 1]
    mu = material[i, 2]
    level = float(0.0)
    if loaded == 1:
        level = -FOUND
        if loads[i, 2] > 0.0:
            level = sink(loads[i, 2], kn, blocks, taxels, heights, i)

    pressed = type(get(taxels, 2, 0))(0.0)
    touched = type(get(taxels, 2, 0))(0.0)
    for j in range(blocks):
        x = get(taxels, 0, j)
        y = get(taxels, 1, j)
        area = get(taxels, 2, j)
        zero = type(x)(0.0)
        one = type(x)(1.0)
        push = kn * (area * lower(upper(type(x)(level) - get(heights, i, j), zero), type(x)(thickness)))
        before = reaches(get(field, 3 * i + 2, j), type(x)(LEAST_FORCE))
        fresh = one - before
        # who is touched now and was not is anchored where it is
        ax = before * get(anchors, 3 * i, j) + fresh * inward(relative, i, 0, x, y, zero)
        ay = before * get(anchors, 3 * i + 1, j) + fresh * inward(relative, i, 1, x, y, zero)
        az = before * get(anchors, 3 * i + 2, j) + fresh * inward(relative, i, 2, x, y, zero)
        put(anchors, 3 * i, j, ax)
        put(anchors, 3 * i + 1, j, ay)
        put(anchors, 3 * i + 2, j, az)
        ux = relative[i, 0] * ax + relative[i, 1] * ay + relative[i, 2] * az + type(x)(relative[i, 9]) - x
        uy = relative[i, 3] * ax + relative[i, 4] * ay + relative[i, 5] * az + type(x)(relative[i, 10]) - y
        put(field, 3 * i, j, before * ux)
        put(field, 3 * i + 1, j, before * uy)
        put(field, 3 * i + 2, j, push)
        pressed = pressed + push
        touched = touched + area * reaches(push, type(x)(LEAST_FORCE))

    shift_x = float(0.0)
    shift_y = float(0.0)
    stiffness = kt * total(touched)
    if loaded == 1 and stiffness > 0.0:
        enough = SHEAR_TOLERANCE * wp.sqrt(loads[i, 0] * loads[i, 0] + loads[i, 1] * loads[i, 1]) + LEAST_FORCE
        for _ in range(SHIFTS):
            sx = type(get(taxels, 2, 0))(0.0)
            sy = type(get(taxels, 2, 0))(0.0)
            for j in range(blocks):
                ux = get(field, 3 * i, j) + type(sx)(shift_x)
                uy = get(field, 3 * i + 1, j) + type(sx)(shift_y)
                k = kt * get(taxels, 2, j)
                k = k * clipped(ux, uy, k, mu * get(field, 3 * i + 2, j))
                sx = sx + k * ux
                sy = sy + k * uy
            left_x = loads[i, 0] - total(sx)
            left_y = loads[i, 1] - total(sy)
            if left_x * left_x + left_y * left_y <= enough * enough:
                break
            shift_x = shift_x + left_x / stiffness
            shift_y = shift_y + left_y / stiffness

    sum_x = type(get(taxels, 2, 0))(0.0)
    sum_y = type(get(taxels, 2, 0))(0.0)
    stays = wp.where(shift_x == 0.0 and shift_y == 0.0, 1.0, 0.0)
    for j in range(blocks):
        x = get(taxels, 0, j)
        y = get(taxels, 1, j)
        zero = type(x)(0.0)
        one = type(x)(1.0)
        ux = get(field, 3 * i, j) + type(x)(shift_x)
        uy = get(field, 3 * i + 1, j) + type(x)(shift_y)
        k = kt * get(taxels, 2, j)
        share = clipped(ux, uy, k, mu * get(field, 3 * i + 2, j))
        ux = share * ux
        uy = share * uy
        # an anchor that holds is left alone: computed anew at every step it would wander by its rounding
        holds = stays * reaches(share, one)
        lost = one - holds
        tip_x = x + ux
        tip_y = y + uy
        ax = holds * get(anchors, 3 * i, j) + lost * inward(relative, i, 0, tip_x, tip_y, zero)
        ay = holds * get(anchors, 3 * i + 1, j) + lost * inward(relative, i, 1, tip_x, tip_y, zero)
        az = holds * get(anchors, 3 * i + 2, j) + lost * inward(relative, i, 2, tip_x, tip_y, zero)
        put(anchors, 3 * i, j, ax)
        put(anchors, 3 * i + 1, j, ay)
        put(anchors, 3 * i + 2, j, az)
        put(field, 3 * i, j, k * ux)
        put(field, 3 * i + 1, j, k * uy)
        sum_x = sum_x + k * ux
        sum_y = sum_y + k * uy
    levels[i] = level
    carried = float(loaded)
    missing[i, 0] = carried * (loads[i, 0] - total(sum_x))
    missing[i, 1] = carried * (loads[i, 1] - total(sum_y))
    missing[i, 2] = carried * (loads[i, 2] - total(pressed))
