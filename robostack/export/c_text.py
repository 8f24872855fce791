"""Numbers and names as C text."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from robostack.spec import ContractError


def c_float(value: Any) -> str:
    """Hexadecimal, so that no digit is lost. Raises ContractError for what is not finite."""
    if not np.isfinite(value):
        raise ContractError(f"a constant of the graph is {value}: the training diverged; export another checkpoint")
    return float(value).hex() + "f"


def c_list(values: np.ndarray) -> str:
    """An initialiser, broken into lines."""
    body = ", ".join(map(c_float if values.dtype == np.float32 else str, values))
    return f"{{{_fold(body)}}}"


def _fold(body: str, width: int = 108) -> str:
    """Breaks a list of numbers into lines."""
    if len(body) < 80:
        return body
    lines, line = [], "   "
    for word in body.split(" "):
        if len(line) + len(word) + 1 > width:
            lines.append(line)
            line = "   "
        line += " " + word
    return "\n" + "\n".join([*lines, line]) + "\n"


def plain(name: str) -> str:
    """A name from the file, safe inside a C comment and an error message."""
    return re.sub(r"[^A-Za-z0-9_.:-]", "_", name)[:80]
