"""Signed distance to a mesh on the points of a lattice, in Warp."""

from __future__ import annotations

import warp as wp


@wp.kernel(enable_backward=False)
def bake_kernel(
    mesh: wp.uint64,
    first: wp.vec3,
    spacing: float,
    furthest: float,
    lattice: wp.array3d(dtype=wp.float32),
):
    i, j, k = wp.tid()
    p = first + spacing * wp.vec3(float(i), float(j), float(k))
    near = wp.mesh_query_point_sign_winding_number(mesh, p, furthest)
    lattice[i, j, k] = near.sign * wp.length(p - wp.mesh_eval_position(mesh, near.face, near.u, near.v))
