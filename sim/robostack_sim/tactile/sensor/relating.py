"""How an indenter lies and moves in a pad's frame, in Warp."""

from __future__ import annotations

import warp as wp

RELATIVE_SIZE = 18
"""rotation matrix 9, position 3, velocity 3, rate of turn 3"""


@wp.func
def vector(row: wp.array(dtype=wp.float32), k: int):
    return wp.vec3(row[k], row[k + 1], row[k + 2])


@wp.func
def turning(row: wp.array(dtype=wp.float32)):
    """A pose's quat_wxyz as Warp's, which has its scalar last."""
    return wp.normalize(wp.quat(row[4], row[5], row[6], row[3]))


@wp.kernel(enable_backward=False)
def relate_kernel(
    pad_poses: wp.array3d(dtype=wp.float32),
    pad_twists: wp.array3d(dtype=wp.float32),
    poses: wp.array2d(dtype=wp.float32),
    twists: wp.array2d(dtype=wp.float32),
    relative: wp.array3d(dtype=wp.float32),
):
    e, f = wp.tid()
    pad = turning(pad_poses[e, f])
    apart = vector(poses[e], 0) - vector(pad_poses[e, f], 0)
    r = wp.quat_to_matrix(wp.quat_inverse(pad) * turning(poses[e]))
    turn = vector(pad_twists[e, f], 3)
    # as seen from the pad, which moves and turns itself
    speed = vector(twists[e], 0) - vector(pad_twists[e, f], 0) - wp.cross(turn, apart)
    x = wp.quat_rotate_inv(pad, apart)
    v = wp.quat_rotate_inv(pad, speed)
    w = wp.quat_rotate_inv(pad, vector(twists[e], 3) - turn)
    for i in range(3):
        for j in range(3):
            relative[e, f, 3 * i + j] = r[i, j]
        relative[e, f, 9 + i] = x[i]
        relative[e, f, 12 + i] = v[i]
        relative[e, f, 15 + i] = w[i]
