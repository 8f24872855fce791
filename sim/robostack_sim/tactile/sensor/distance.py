"""Signed distance to what presses on a pad, and its gradient, in Warp (see robostack.lanes: sixteen points a thread).

Distances are exact, inside and out, and their gradients of length one: a sphere by itself, every other analytic solid
as a cross section (circle, rectangle, folded polygon, bore) that is extruded along z. After the closed forms collected
by I. Quilez, with the gradients worked out. A mesh is a lattice of distances, interpolated in each cell.

A solid is a row of numbers, `solids.C` names the columns, and four integers: where its lattice begins and its points
along x, y and z. All points of a thread are of one solid, so that the choice between solids is a plain branch.
"""

# ruff: noqa: F401, F811  (Warp finds add, div, mul and sub by name when it meets an operator; functions have overloads)

from typing import Any

import warp as wp

from robostack.lanes import CPU_FLAGS, Lanes, add, div, get, lower, mul, put, reaches, root, size, sub, upper

wp.set_module_options({"cpu_compiler_flags": CPU_FLAGS})

TINY = wp.constant(1.0e-12)
"""m: what a length is at least where it divides"""


@wp.func
def sign(x: Any):
    """1 where x >= 0, else -1."""
    return 2.0 * reaches(x, type(x)(0.0)) - type(x)(1.0)


@wp.func
def both(da: Any, db: Any):
    """Distance to where two solids overlap whose gradients are at right angles, and the share that the gradient of
    each has in its gradient."""
    zero = type(da)(0.0)
    one = type(da)(1.0)
    a = upper(da, zero)
    b = upper(db, zero)
    beyond = root(a * a + b * b)
    nearer = upper(da, db)
    inside = reaches(zero, nearer)
    first = reaches(da, db)
    per = (one - inside) / upper(beyond, type(da)(TINY))
    return lower(nearer, zero) + beyond, inside * first + per * a, inside * (one - first) + per * b


@wp.func
def circle(x: Any, y: Any, radius: float):
    """Distance and gradient in the plane."""
    far = root(x * x + y * y)
    per = type(x)(1.0) / upper(far, type(x)(TINY))
    return far - type(x)(radius), per * x, per * y


@wp.func
def rectangle(x: Any, y: Any, half_x: float, half_y: float):
    d, along, across = both(size(x) - type(x)(half_x), size(y) - type(x)(half_y))
    return d, along * sign(x), across * sign(y)


@wp.func
def above(x: Any, y: Any, s: float, c: float):
    """1 where a point lies beyond a line through the origin, at the angle of sine s and cosine c, else 0."""
    zero = type(x)(0.0)
    return type(x)(1.0) - reaches(zero, c * y - s * x)


@wp.func
def polygon(x: Any, y: Any, apothem: float, half_face: float, s1: float, c1: float, s2: float, c2: float):
    """A regular polygon with a face towards +x. The plane is folded along the axes and then along two lines, until
    that face is the only one; the gradient is unfolded on the way back."""
    one = type(x)(1.0)
    ax = size(x)
    ay = size(y)
    over1 = above(ax, ay, s1, c1)
    k = 2.0 * (over1 * (c1 * ay - s1 * ax))
    bx = ax + s1 * k
    by = ay - c1 * k
    over2 = above(bx, by, s2, c2)
    k = 2.0 * (over2 * (c2 * by - s2 * bx))
    px = bx + s2 * k
    py = by - c2 * k
    # the face is a segment: beyond its ends the corner is nearest
    gap = px - type(x)(apothem)
    past = py - upper(lower(py, type(x)(half_face)), type(x)(-half_face))
    outside = one - reaches(type(x)(0.0), gap)
    past = outside * past
    far = root(gap * gap + past * past)
    per = outside / upper(far, type(x)(TINY))
    d = outside * far + (one - outside) * gap
    gx = per * gap + (one - outside)
    gy = per * past
    k = 2.0 * (over2 * (c2 * gy - s2 * gx))
    gx = gx + s2 * k
    gy = gy - c2 * k
    k = 2.0 * (over1 * (c1 * gy - s1 * gx))
    gx = gx + s1 * k
    gy = gy - c1 * k
    return d, gx * sign(x), gy * sign(y)


@wp.func
def section(numbers: wp.array2d(dtype=wp.float32), e: int, kind: int, x: Any, y: Any):
    """Distance and gradient in the plane of a solid's cross section."""
    d = type(x)(0.0)
    gx = type(x)(0.0)
    gy = type(x)(0.0)
    if kind == 1:
        d, gx, gy = circle(x, y, numbers[e, 0])
    elif kind == 2:
        d, gx, gy = rectangle(x, y, numbers[e, 0], numbers[e, 1])
    else:
        d, gx, gy = polygon(
            x, y, numbers[e, 0], numbers[e, 1], numbers[e, 4], numbers[e, 5], numbers[e, 6], numbers[e, 7]
        )
        if numbers[e, 3] > 0.0:
            bore, bx, by = circle(x, y, numbers[e, 3])
            hole = reaches(-1.0 * bore, d)
            solid = type(x)(1.0) - hole
            d = upper(d, -1.0 * bore)
            gx = solid * gx - hole * bx
            gy = solid * gy - hole * by
    return d, gx, gy


_LATTICE = """
    const int nx = cells.data[4 * e + 1], ny = cells.data[4 * e + 2], nz = cells.data[4 * e + 3];
    const float* at = values.data + cells.data[4 * e];
    const int i = x < nx - 2 ? (int)x : nx - 2, j = y < ny - 2 ? (int)y : ny - 2, k = z < nz - 2 ? (int)z : nz - 2;
    const float u = x - i, v = y - j, w = z - k;
    const float* c = at + ((size_t)i * ny + j) * nz + k;
    const float* d = c + (size_t)ny * nz;
    const float c0 = c[0] + w * (c[1] - c[0]), c1 = c[nz] + w * (c[nz + 1] - c[nz]);
    const float d0 = d[0] + w * (d[1] - d[0]), d1 = d[nz] + w * (d[nz + 1] - d[nz]);
    const float near = c0 + v * (c1 - c0), far = d0 + v * (d1 - d0);
    out = near + u * (far - near);
"""
"""the value at (x, y, z) in cells from the lattice's first point, which must lie on the lattice"""


@wp.func_native(
    "wp::vec_t<16, wp::float32> result;\nfor (int lane = 0; lane < 16; ++lane) {\n"
    "const float x = xs[lane], y = ys[lane], z = zs[lane];\nfloat out;\n"
    f"{_LATTICE}result[lane] = out;\n}}\nreturn result;",
    "",
)
def interpolated(
    values: wp.array(dtype=wp.float32), cells: wp.array2d(dtype=wp.int32), e: int, xs: Lanes, ys: Lanes, zs: Lanes
) -> Lanes: ...


@wp.func_native(f"const float x = xs, y = ys, z = zs;\nfloat out;\n{_LATTICE}return out;", "")
def interpolated(
    values: wp.array(dtype=wp.float32),
    cells: wp.array2d(dtype=wp.int32),
    e: int,
    xs: wp.float32,
    ys: wp.float32,
    zs: wp.float32,
) -> wp.float32: ...


@wp.func
def on_lattice(x: Any, points: int):
    """The nearest place of x, in cells, that a lattice of that many points covers."""
    return upper(lower(x, type(x)(float(points - 1))), type(x)(0.0))


@wp.func
def lattice(
    numbers: wp.array2d(dtype=wp.float32),
    cells: wp.array2d(dtype=wp.int32),
    values: wp.array(dtype=wp.float32),
    e: int,
    x: Any,
    y: Any,
    z: Any,
):
    """Distance to a mesh. Off the lattice, which all of the mesh lies in, it is the least that the distance can be:
    with q the nearest point of the lattice's box, |p - q| and the distance of q are the sides of a right angle."""
    spacing = numbers[e, 0]
    per = 1.0 / spacing
    u = per * (x - type(x)(numbers[e, 1]))
    v = per * (y - type(x)(numbers[e, 2]))
    w = per * (z - type(x)(numbers[e, 3]))
    qu = on_lattice(u, cells[e, 1])
    qv = on_lattice(v, cells[e, 2])
    qw = on_lattice(w, cells[e, 3])
    d = interpolated(values, cells, e, qu, qv, qw)
    off2 = (spacing * spacing) * ((u - qu) * (u - qu) + (v - qv) * (v - qv) + (w - qw) * (w - qw))
    off = type(x)(1.0) - reaches(type(x)(0.0), off2)
    return d + off * (root(off2 + d * d) - d)


@wp.func
def distance(
    kinds: wp.array(dtype=wp.int32),
    numbers: wp.array2d(dtype=wp.float32),
    cells: wp.array2d(dtype=wp.int32),
    values: wp.array(dtype=wp.float32),
    e: int,
    x: Any,
    y: Any,
    z: Any,
):
    """Signed distance (m, negative inside) of a point in the solid's frame to environment e's solid."""
    kind = kinds[e]
    d = type(x)(0.0)
    if kind == 0:
        d = root(x * x + y * y + z * z) - type(x)(numbers[e, 0])
    elif kind == 4:
        d = lattice(numbers, cells, values, e, x, y, z)
    else:
        flat, _gx, _gy = section(numbers, e, kind, x, y)
        d, _along, _across = both(flat, size(z) - type(x)(numbers[e, 2]))
    return d


@wp.func
def distance_and_gradient(
    kinds: wp.array(dtype=wp.int32),
    numbers: wp.array2d(dtype=wp.float32),
    cells: wp.array2d(dtype=wp.int32),
    values: wp.array(dtype=wp.float32),
    e: int,
    x: Any,
    y: Any,
    z: Any,
):
    """As `distance`, with its gradient: the outward normal of the nearest surface, in the solid's frame."""
    kind = kinds[e]
    d = type(x)(0.0)
    gx = type(x)(0.0)
    gy = type(x)(0.0)
    gz = type(x)(0.0)
    if kind == 0:
        far = root(x * x + y * y + z * z)
        d = far - type(x)(numbers[e, 0])
        per = type(x)(1.0) / upper(far, type(x)(TINY))
        gx = per * x
        gy = per * y
        gz = per * z
    elif kind == 4:
        # across one cell: the gradient of one cell's own interpolation jumps at its walls
        half = type(x)(0.5 * numbers[e, 0])
        d = lattice(numbers, cells, values, e, x, y, z)
        gx = lattice(numbers, cells, values, e, x + half, y, z) - lattice(numbers, cells, values, e, x - half, y, z)
        gy = lattice(numbers, cells, values, e, x, y + half, z) - lattice(numbers, cells, values, e, x, y - half, z)
        gz = lattice(numbers, cells, values, e, x, y, z + half) - lattice(numbers, cells, values, e, x, y, z - half)
        per = type(x)(1.0) / upper(root(gx * gx + gy * gy + gz * gz), type(x)(TINY))
        gx = per * gx
        gy = per * gy
        gz = per * gz
    else:
        flat, sx, sy = section(numbers, e, kind, x, y)
        d, along, across = both(flat, size(z) - type(x)(numbers[e, 2]))
        gx = along * sx
        gy = along * sy
        gz = across * sign(z)
    return d, gx, gy, gz


@wp.kernel(enable_backward=False)
def distance_kernel(
    kinds: wp.array(dtype=wp.int32),
    numbers: wp.array2d(dtype=wp.float32),
    cells: wp.array2d(dtype=wp.int32),
    values: wp.array(dtype=wp.float32),
    points: wp.array2d(dtype=Any),
    found: wp.array2d(dtype=Any),
):
    """points: three rows an environment; found: four, distance and gradient."""
    e, j = wp.tid()
    x = get(points, 3 * e, j)
    y = get(points, 3 * e + 1, j)
    z = get(points, 3 * e + 2, j)
    d, gx, gy, gz = distance_and_gradient(kinds, numbers, cells, values, e, x, y, z)
    put(found, 4 * e, j, d)
    put(found, 4 * e + 1, j, gx)
    put(found, 4 * e + 2, j, gy)
    put(found, 4 * e + 3, j, gz)
