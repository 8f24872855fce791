"""A number in a parameter file: value, unit and source, checked against what the quantity may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robostack.spec import ContractError


@dataclass(frozen=True)
class Field:
    """What a quantity must look like: unit, number of values, allowed range of each."""

    unit: str
    low: float
    high: float
    count: int = 1


def quantity(where: str, entry: Any, field: Field) -> Any:
    """The value of a `{ value = ..., unit = ..., source = ... }`: a float, or a tuple of `field.count` of them.

    Raises ContractError beginning with `where`: the file and the field.
    """
    if not isinstance(entry, dict) or not {"value", "unit", "source"} <= entry.keys():
        raise ContractError(f"{where}: needs {{ value = ..., unit = {field.unit!r}, source = ... }}, got {entry!r}")
    if entry["unit"] != field.unit:
        raise ContractError(f"{where}.unit = {entry['unit']!r}: must be {field.unit!r}; convert the value")
    values = entry["value"] if isinstance(entry["value"], list) else [entry["value"]]
    if len(values) != field.count:
        raise ContractError(f"{where}.value = {entry['value']!r}: needs {field.count} number(s)")
    for v in values:
        if isinstance(v, bool) or not isinstance(v, int | float) or not field.low <= v <= field.high:
            raise ContractError(f"{where}.value = {v!r}: must lie in [{field.low:g}, {field.high:g}] {field.unit}")
    return tuple(map(float, values)) if field.count > 1 else float(values[0])
