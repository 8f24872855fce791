"""The C of a policy whose numbers can be exchanged while it flies, and those numbers as the bytes that it lays out.

Everything that may differ between two policies of one graph lies in one structure, `numbers_t`: weights, biases,
normalisers, scales. What else the generated C has is the topology: calls, sizes, indices, the contract. There is a
constant structure in flash, which the image is born with, and two banks in RAM, each with the self-test vectors of the
policy that it holds. Kernels get their arrays through a pointer, so the bits are those of the ordinary build.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from robostack.spec import ContractError, PolicySpec, SelfTest

LAYOUT = 1
"""Goes into the topology: count it up when a kernel reads its numbers in another order, or means something else."""
LARGEST_TOLERANCE = 0.02
"""of a self-test, as a share of an action's range: what rs_swap_commit of firmware/link/swap.c allows"""


def _members(numbers: Mapping[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Words first, then bytes, so that there is no gap between two arrays."""
    return sorted(numbers.items(), key=lambda item: -item[1].itemsize)


def _padding(numbers: Mapping[str, np.ndarray]) -> int:
    """Bytes that round the structure up to whole words."""
    return -sum(values.nbytes for values in numbers.values()) % 4


def _self_test(spec: PolicySpec, origin: str) -> SelfTest:
    if spec.self_test is None or not spec.self_test.inputs:
        raise ContractError(f"{origin}: carries no self-test vectors, so no board can judge it; export it again")
    return spec.self_test


def types(numbers: Mapping[str, np.ndarray], spec: PolicySpec, origin: str) -> str:
    """`numbers_t`, and `image_t` around it."""
    if not numbers:
        raise ContractError(
            f"{origin}: its graph has no constant that another policy's could replace; leave hot swap out"
        )
    tests = len(_self_test(spec, origin).inputs)
    outputs = spec.action_size + spec.state.size
    inputs = spec.observation_size + outputs
    arrays = [f"{c_type(values)} {name}[{len(values)}];" for name, values in _members(numbers)]
    padding = [f"uint8_t padding[{size}];"] if (size := _padding(numbers)) else []
    test = [f"float self_test_inputs[{tests * inputs}];", f"float self_test_outputs[{tests * outputs}];"]
    image = ["numbers_t numbers;", *test, "float self_test_tolerance;"]
    return "\n".join([*_struct("numbers_t", [*arrays, *padding]), "", *_struct("image_t", image)])


def _struct(name: str, members: Iterable[str]) -> list[str]:
    return ["typedef struct {", *(f"  {member}" for member in members), f"}} {name};"]


def c_type(values: np.ndarray) -> str:
    return "float" if values.dtype == np.float32 else f"{values.dtype}_t"


def definitions(topology: str) -> str:
    """What `firmware/envelope/bank.h` declares, and the inferences that the contract and the banks point to. The C
    before it has `built_in` and `infer_with(numbers, ...)`."""
    names = "observation, applied_action, state, action, next_state"
    parameters = (
        "const float *observation, const float *applied_action, const float *state,\n"
        "{indent}float *action, float *next_state"
    )
    lines = []
    for function, numbers in (
        ("void policy_infer", "built_in"),
        ("static void infer_bank_0", "images[0].numbers"),
        ("static void infer_bank_1", "images[1].numbers"),
    ):
        indent = " " * (len(function) + 1)
        lines += [f"{function}({parameters.format(indent=indent)}) {{", f"  infer_with(&{numbers}, {names});", "}", ""]
    digest = ", ".join(f"0x{byte:02x}" for byte in bytes.fromhex(topology))
    lines += [f"const uint8_t rs_topology[RS_DIGEST_SIZE] = {{{digest}}};", "", "const rs_bank_t rs_banks[2] = {"]
    for i in (0, 1):
        tests = ", ".join(f"images[{i}].self_test_{field}" for field in ("inputs", "outputs"))
        lines.append(f"  {{(uint8_t *)&images[{i}], {tests}, &images[{i}].self_test_tolerance, infer_bank_{i}}},")
    return "\n".join([*lines, "};", ""])


def topology(interface_hash: str, port: str, parts: Iterable[str]) -> str:
    """SHA-256 in hexadecimal of what two policies must share so that one's numbers fit the other's C."""
    text = "\n".join([f"robostack hot swap, layout {LAYOUT}", port, interface_hash, *parts])
    return hashlib.sha256(text.encode()).hexdigest()


def image(numbers: Mapping[str, np.ndarray], spec: PolicySpec, port: str, origin: str) -> bytes:
    """An `image_t`, little-endian. Raises ContractError for numbers that are not finite."""
    test = _self_test(spec, origin)
    if not test.tolerance[port] <= LARGEST_TOLERANCE:
        raise ContractError(
            f"{origin}: its self-test lets {test.tolerance[port]:g} of the action range pass; a board judges a policy "
            f"by {LARGEST_TOLERANCE:g} at most: swap it as float32"
        )
    for name, values in numbers.items():
        if not np.isfinite(values).all():
            raise ContractError(
                f"{origin}: {name} has a constant that is not finite: the training diverged; export another checkpoint"
            )
    held = [values.astype(values.dtype.newbyteorder("<")).tobytes() for _, values in _members(numbers)]
    vectors = [np.array(rows, "<f4").tobytes() for rows in (test.inputs, test.outputs, test.tolerance[port])]
    return b"".join([*held, bytes(_padding(numbers)), *vectors])
