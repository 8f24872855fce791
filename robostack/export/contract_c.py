"""The contract as C: the table that `firmware/envelope/contract.h` declares, written from a PolicySpec.

Floats are hexadecimal literals, so that the compiler reads exactly the 32 bits that the Python envelope uses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np

from robostack.runtime.envelope import control_dt, float32, slew_per_s
from robostack.spec import SECTIONS, ContractError, Cut, HoldLast, LevelDescend, PolicySpec, RampTo, Rung

UINT16_MAX = 65535
PREAMBLE = """\
#include <stddef.h>

#include "contract.h"

void policy_infer(const float *observation, const float *applied_action, const float *state, float *action,
                  float *next_state);
"""


def contract_table(spec: PolicySpec, policy_hash: str, port: str = "c") -> str:
    """C text that defines `const rs_contract_t rs_policy`; its `infer` is a `policy_infer` defined elsewhere.

    `policy_hash` is 64 hexadecimal digits; `port` says whose self-test tolerance holds, c_int16 being a port of 16-bit
    weights. Raises ContractError for numbers that 32-bit floats or 16-bit counts cannot hold, and for self-test
    vectors of a wrong length.
    """
    index = {c.name: i for i, c in enumerate(spec.observations)}
    arrays: list[str] = []
    fields = {
        "task": f'"{spec.task}"',
        "control_dt_s": _float(control_dt(spec)),
        "num_channels": _uint16(len(spec.observations), "number of channels"),
        "observation_size": _uint16(spec.observation_size, "observation size"),
        "action_size": _uint16(spec.action_size, "action size"),
        "state_size": _uint16(spec.state.size, "state size"),
        "channels": _channels(arrays, spec),
    }
    limits: tuple[Literal["low", "high", "neutral"], ...] = ("low", "high", "neutral")
    for name in limits:
        limit = spec.action_limit(name)
        fields[f"action_{name}"] = _floats(arrays, f"action_{name}", limit, f"actions.{name}")
    slew = slew_per_s(spec)
    if slew is not None:
        fields["action_slew_per_s"] = _floats(arrays, "action_slew_per_s", slew, "actions.slew_per_s")
    if spec.state.size:
        fields["state_reset"] = _floats(arrays, "state_reset", spec.state.reset, "state.reset")

    tumble = spec.envelope.tumble
    fields["tumble_channel"] = str(index[tumble.attitude]) if tumble else "-1"
    if tumble:
        fields["tumble_cos"] = _float(np.float32(math.cos(tumble.max_tilt_rad)))
        fields["tumble_for_s"] = _float(float32([tumble.for_s], "envelope.tumble.for_s")[0])

    rungs = [_rung(arrays, i, rung, index) for i, rung in enumerate(spec.envelope.fallback)]
    arrays.append(_array("rs_rung_t", "rungs", rungs))
    fields["num_rungs"] = _uint16(len(rungs), "number of rungs")
    fields["rungs"] = "rungs"

    digests = "".join(spec.section_digests()[name] for name in SECTIONS)
    fields["policy_hash"] = _bytes(arrays, "policy_hash", policy_hash, 32)
    fields["interface_hash"] = _bytes(arrays, "interface_hash", spec.interface_hash, 32)
    fields["section_digests"] = _bytes(arrays, "section_digests", digests, 32 * len(SECTIONS))
    fields |= _self_test(arrays, spec, port)
    fields["weight_bits"] = "16" if port == "c_int16" else "32"
    fields["infer"] = "policy_infer"
    body = "\n".join(f"  .{name} = {value}," for name, value in fields.items())
    table = f"\nconst rs_contract_t rs_policy = {{\n{body}\n}};\n"
    arrays.append(_array("char *const", "action_names", [f'"{a.name}.{e}"' for a in spec.actions for e in a.elements]))
    return "\n".join([PREAMBLE, *arrays, table, "const char *const *const rs_policy_actions = action_names;\n"])


def _channels(arrays: list[str], spec: PolicySpec) -> str:
    rows, offset = [], 0
    for i, c in enumerate(spec.observations):
        where = f"observations.{c.name}"
        low = _floats(arrays, f"channel_{i}_low", c.per_element("low"), f"{where}.low")
        high = _floats(arrays, f"channel_{i}_high", c.per_element("high"), f"{where}.high")
        hold = _uint16(c.hold_periods, f"{where}.hold_periods")
        max_age_s = _float(float32([c.max_age_s], f"{where}.max_age_s")[0])
        rows.append(f'{{"{c.name}", {offset}, {c.size}, {hold}, {max_age_s}, {low}, {high}}}')
        offset += c.size
    arrays.append(_array("rs_channel_t", "channels", rows))
    return "channels"


def _rung(arrays: list[str], i: int, rung: Rung, index: dict[str, int]) -> str:
    name, where = f"rung_{i}", f"envelope.fallback[{i}]"
    fields: dict[str, str] = {}
    match rung:
        case LevelDescend():
            fields["kind"] = "RS_LEVEL_DESCEND"
            fields |= {f: str(index[getattr(rung, f)]) for f in ("attitude", "body_rate", "velocity")}
            fields["max_s"] = _float(float32([rung.max_s], f"{where}.max_s")[0])
            fields["target"] = _floats(arrays, f"{name}_base", rung.base, f"{where}.base")
            gain = [g for row in rung.gain for g in row]
            fields["gain"] = _floats(arrays, f"{name}_gain", gain, f"{where}.gain")
        case RampTo():
            fields["kind"] = "RS_RAMP_TO"
            fields["target"] = _floats(arrays, f"{name}_target", rung.target, f"{where}.target")
            fields["rate_per_s"] = _floats(arrays, f"{name}_rate", rung.rate_per_s, f"{where}.rate_per_s")
        case HoldLast():
            fields["kind"] = "RS_HOLD_LAST"
        case Cut():
            fields["kind"] = "RS_CUT"
            fields["target"] = _floats(arrays, f"{name}_value", rung.value, f"{where}.value")
    return "{" + ", ".join(f".{field} = {value}" for field, value in fields.items()) + "}"


def _self_test(arrays: list[str], spec: PolicySpec, port: str) -> dict[str, str]:
    test = spec.self_test
    if test is None or not test.inputs:
        return {}
    sizes = {
        "inputs": spec.observation_size + spec.action_size + spec.state.size,
        "outputs": spec.action_size + spec.state.size,
    }
    for field, size in sizes.items():
        rows = getattr(test, field)
        if len(rows) != len(test.inputs) or any(len(row) != size for row in rows):
            lengths = sorted({len(row) for row in rows})
            raise ContractError(
                f"self_test.{field}: {len(rows)} rows of {lengths} values; need {len(test.inputs)} of {size}"
            )
    if port not in test.tolerance:
        raise ContractError(f"self_test.tolerance: has no entry for port {port!r}; add one, such as 1e-4")
    fields: dict[str, str] = {}
    for field in sizes:
        values = [v for row in getattr(test, field) for v in row]
        fields[f"self_test_{field}"] = _floats(arrays, f"self_test_{field}", values, f"self_test.{field}")
    fields["num_self_tests"] = _uint16(len(test.inputs), "number of self-tests")
    fields["self_test_tolerance"] = _float(float32([test.tolerance[port]], f"self_test.tolerance.{port}")[0])
    return fields


def _float(value: np.float32) -> str:
    return f"{float(value).hex()}f"


def _uint16(value: int, what: str) -> str:
    if value > UINT16_MAX:
        raise ContractError(f"{what}: {value} does not fit the firmware's 16 bits; use at most {UINT16_MAX}")
    return str(value)


def _floats(arrays: list[str], name: str, values: Iterable[float], where: str) -> str:
    """The name of a table; of an earlier one, where that has the same numbers."""
    text = _array("float", name, [_float(v) for v in float32(values, where)])
    body = text.partition("[] = ")[2]
    same = next((t for t in arrays if t.startswith("static const float ") and t.endswith(f"[] = {body}")), None)
    if same is not None:
        return same.removeprefix("static const float ").partition("[")[0]
    arrays.append(text)
    return name


def _bytes(arrays: list[str], name: str, digits: str, size: int) -> str:
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        data = b""
    if len(data) != size:
        raise ContractError(f"{name}: {digits!r:.80} is not {2 * size} hexadecimal digits")
    arrays.append(_array("uint8_t", name, [f"0x{b:02x}" for b in data]))
    return name


def _array(kind: str, name: str, values: list[str]) -> str:
    return f"static const {kind} {name}[] = {{{', '.join(values)}}};"
