"""Random numbers for kernels (see robostack.lanes): the same at the same place whatever the lanes."""

# ruff: noqa: F811
# mypy: disable-error-code="no-redef, no-untyped-def, valid-type, empty-body, operator"

import warp as wp

from robostack.lanes import Lanes, result

MIX_1, MIX_2 = wp.constant(wp.uint32(0x7FEB352D)), wp.constant(wp.uint32(0x846CA68B))
"""multipliers of C. Wellons' 32-bit hash `lowbias32`"""


@wp.func
def mix(x: wp.uint32):
    """A bijection in which every bit of x moves every other."""
    a = (x ^ (x >> wp.uint32(16))) * MIX_1
    b = (a ^ (a >> wp.uint32(15))) * MIX_2
    return b ^ (b >> wp.uint32(16))


@wp.func
def normal(like: float, first: wp.uint32, second: wp.uint32, i: int):
    """A standard normal number of its own for each place i under two keys: the sum of the four bytes of a hash, whose
    excess kurtosis is -0.3. `like` only says by its type what is wanted."""
    bits = mix(mix(wp.uint32(i) ^ first) + second)
    total = (bits & wp.uint32(255)) + ((bits >> wp.uint32(8)) & wp.uint32(255))
    total = total + ((bits >> wp.uint32(16)) & wp.uint32(255)) + (bits >> wp.uint32(24))
    return (float(total) - 510.0) * 0.0067658751


_MIX = "{0} ^= {0} >> 16; {0} *= 0x7FEB352Du; {0} ^= {0} >> 15; {0} *= 0x846CA68Bu; {0} ^= {0} >> 16;\n"


@wp.func_native(
    result(
        "typedef unsigned whole __attribute__((ext_vector_type(16)));\n"
        "whole bits = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};\n"
        f"bits = (bits + 16u * (unsigned)i) ^ first;\n{_MIX.format('bits')}bits += second;\n{_MIX.format('bits')}"
        "const whole total = (bits & 255u) + ((bits >> 8) & 255u) + ((bits >> 16) & 255u) + (bits >> 24);\n"
        "*(lanes*)&out = (__builtin_convertvector(total, lanes) - 510.0f) * 0.0067658751f;"
    ),
    "",
)
def normal(like: Lanes, first: wp.uint32, second: wp.uint32, i: int) -> Lanes: ...
