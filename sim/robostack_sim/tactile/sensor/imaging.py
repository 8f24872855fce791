"""From how far an indenter sinks into each pixel of a gel to its colour, in Warp.

The way of Taxim (Si and Yuan 2022) and TacSL: a 5 x 5 binomial blur for the gel's skin, which is smoother than what
presses on it; the slope of what is left; and for each slope, by its size and direction, a polynomial of the pixel's
place that says by how much each colour differs from that of the gel at rest.
"""

# ruff: noqa: F401, F811  (Warp finds add, div, mul and sub by name when it meets an operator; functions have overloads)

from typing import Any

import warp as wp

from robostack.lanes import CPU_FLAGS, Lanes, add, div, get, lower, mul, put, sub, upper

wp.set_module_options({"cpu_compiler_flags": CPU_FLAGS})

PI = wp.constant(3.14159265359)

_BESIDE = """
    const float* row = (const float*)rows.data + (size_t)column * rows.shape[1] * 16;
    const int first = 16 * i / width * width, last = first + width - 1, at = 16 * i + shift;
    wp::vec_t<16, wp::float32> out;
    if (first <= at && at + 15 <= last)
        for (int k = 0; k < 16; ++k) out[k] = row[at + k];
    else
        for (int k = 0; k < 16; ++k) out[k] = row[at + k < first ? first : at + k > last ? last : at + k];
    return out;
"""


@wp.func_native(_BESIDE, "")
def beside(rows: wp.array2d(dtype=Lanes), column: int, i: int, shift: int, width: int) -> Lanes: ...


@wp.func
def beside(rows: wp.array2d(dtype=float), column: int, i: int, shift: int, width: int):
    """The pixels `shift` to the right of a thread's; beyond the border those at it. Of a picture's rows, `width` pixels
    each, one after the other."""
    first = i // width * width
    return rows[column, wp.clamp(i + shift, first, first + width - 1)]


@wp.func
def sunk(heights: wp.array2d(dtype=Any), i: int, j: int, level: float, thickness: float):
    h = get(heights, i, j)
    return lower(upper(type(h)(level) - h, type(h)(0.0)), type(h)(thickness))


@wp.kernel(enable_backward=False)
def blur_down_kernel(
    levels: wp.array(dtype=wp.float32),
    thickness: float,
    per_row: int,
    height: int,
    heights: wp.array2d(dtype=Any),
    blurred: wp.array2d(dtype=Any),
):
    """Also from the indenter's height above a pad at rest to how deep it is in the gel, once it is brought closer by
    the pad's level (m), and never deeper than `thickness`. `per_row` threads a row of pixels."""
    i, j = wp.tid()
    y = j // per_row
    x = j - y * per_row
    level = levels[i]
    near = sunk(heights, i, wp.max(y - 1, 0) * per_row + x, level, thickness)
    near = near + sunk(heights, i, wp.min(y + 1, height - 1) * per_row + x, level, thickness)
    far = sunk(heights, i, wp.max(y - 2, 0) * per_row + x, level, thickness)
    far = far + sunk(heights, i, wp.min(y + 2, height - 1) * per_row + x, level, thickness)
    put(blurred, i, j, 0.375 * sunk(heights, i, j, level, thickness) + 0.25 * near + 0.0625 * far)


@wp.kernel(enable_backward=False)
def blur_across_kernel(width: int, deep: wp.array2d(dtype=Any), blurred: wp.array2d(dtype=Any)):
    i, j = wp.tid()
    near = beside(deep, i, j, -1, width) + beside(deep, i, j, 1, width)
    far = beside(deep, i, j, -2, width) + beside(deep, i, j, 2, width)
    put(blurred, i, j, 0.375 * get(deep, i, j) + 0.25 * near + 0.0625 * far)


@wp.kernel(enable_backward=False)
def shade_kernel(
    per_pixel: float,
    table: wp.array(dtype=wp.float32, ndim=4),
    rest: wp.array2d(dtype=wp.vec3),
    places: wp.array2d(dtype=wp.vec2),
    colours: wp.array3d(dtype=wp.float32),
    deep: wp.array2d(dtype=wp.float32),
    image: wp.array4d(dtype=wp.uint8),
):
    """`table` is [size of the slope, direction, colour, coefficient of x2, y2, xy, x, y, 1]; `rest` the gel at rest;
    `places` each pixel's x and y as the table has them; `colours` what a camera makes of a colour, a row of four for
    each of three; `per_pixel` pixels a metre."""
    i, y, x = wp.tid()
    height = rest.shape[0]
    width = rest.shape[1]
    row = y * width
    gx = 0.5 * per_pixel * (deep[i, row + wp.min(x + 1, width - 1)] - deep[i, row + wp.max(x - 1, 0)])
    gy = 0.5 * per_pixel * (deep[i, wp.min(y + 1, height - 1) * width + x] - deep[i, wp.max(y - 1, 0) * width + x])
    seen = rest[y, x]
    if gx != 0.0 or gy != 0.0:
        bins = table.shape[0] - 1
        steep = int(wp.atan(wp.sqrt(gx * gx + gy * gy)) * (2.0 / PI) * float(bins))
        way = int((wp.atan2(gy, gx) + PI) * (0.5 / PI) * float(table.shape[1] - 1))
        p = places[y, x]
        for k in range(3):
            bent = table[steep, way, k, 0] * p[0] * p[0] + table[steep, way, k, 1] * p[1] * p[1]
            bent = bent + table[steep, way, k, 2] * p[0] * p[1] + table[steep, way, k, 3] * p[0]
            seen[k] = seen[k] + bent + table[steep, way, k, 4] * p[1] + table[steep, way, k, 5]
    for k in range(3):
        c = colours[i, k, 0] * seen[0] + colours[i, k, 1] * seen[1] + colours[i, k, 2] * seen[2] + colours[i, k, 3]
        image[i, y, x, k] = wp.uint8(wp.clamp(c + 0.5, 0.0, 255.0))


@wp.kernel(enable_backward=False)
def marker_kernel(
    radius: float,
    shade: float,
    middles: wp.array2d(dtype=wp.vec2),
    image: wp.array4d(dtype=wp.uint8),
):
    """Darkens a disc about each marker's middle (x and y in pixels) to `shade` of what is there."""
    i, m = wp.tid()
    middle = middles[i, m]
    low_x = wp.max(int(wp.ceil(middle[0] - radius)), 0)
    low_y = wp.max(int(wp.ceil(middle[1] - radius)), 0)
    high_x = wp.min(int(wp.floor(middle[0] + radius)) + 1, image.shape[2])
    high_y = wp.min(int(wp.floor(middle[1] + radius)) + 1, image.shape[1])
    for y in range(low_y, high_y):
        for x in range(low_x, high_x):
            dx = float(x) - middle[0]
            dy = float(y) - middle[1]
            if dx * dx + dy * dy <= radius * radius:
                for k in range(3):
                    image[i, y, x, k] = wp.uint8(shade * float(image[i, y, x, k]))
