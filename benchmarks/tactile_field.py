"""Speed of the tactile force fields against vectorised NumPy, on one core in one process, with equal results.

    python benchmarks/tactile_field.py [--quick]

1,024 environments of two fingers with 14 x 10 taxels each, about a solid that is tilted, turned and pressed 0.6 mm in;
each call has other poses than the one before, and both sides begin with the pose of the solid in each pad's frame.
`penalty` is TacSL's law; `bristle` the elastic foundation with memory, which looks for each taxel's height first;
`loaded` makes it carry a given force. TacSL's figure is from its paper: its own baseline on a CPU, 10 x 10.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import row, write
from _tactile_numpy import Bristles, penalty

from robostack_sim.tactile.sensor.force_field import Bristle, ForceField, Penalty
from robostack_sim.tactile.sensor.pads import Grip, Pad
from robostack_sim.tactile.sensor.solids import Box, Indenters, Solid, hex_nut, octagonal_peg, round_peg

NUM_ENVS = 1024
POSES = 4
DEPTH_M = 6e-4
EQUAL = 2e-3
"""of the largest force: the two differ by their rounding, and by a micrometre where a ray ends"""
SOLIDS: dict[str, tuple[Solid, float]] = {
    "round peg": (round_peg(0.016, 0.05), 0.008),
    "octagonal peg": (octagonal_peg(0.016, 0.05), 0.008),
    "box": (Box(0.016, 0.016, 0.05), 0.008),
    "hex nut": (hex_nut(0.016, 0.008, 0.004), 0.008),
}
LAWS = ("penalty", "bristle", "bristle, loaded")
Field = Callable[[], np.ndarray[Any, Any]]


def scenes(half_m: float, num_envs: int, num_pads: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """POSES times the relative rows of each pad, and a load for each."""
    draw = torch.Generator().manual_seed(0)
    noise = lambda *shape: torch.randn(*shape, generator=draw)  # noqa: E731
    across = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])[:num_pads]
    pads = torch.zeros(num_envs, num_pads, 7)
    pads[..., 3:] = across
    pads[..., 2] = (torch.tensor([-1.0, 1.0]) * (half_m - DEPTH_M))[:num_pads]
    start = torch.zeros(num_envs, 7)
    start[:, :2] = 3e-3 * (2 * torch.rand(num_envs, 2, generator=draw) - 1)
    start[:, 3:] = torch.tensor([0.5**0.5, 0.5**0.5, 0.0, 0.0]) + 0.03 * noise(num_envs, 4)
    grip, found = Grip(num_envs, num_pads), []
    for _ in range(POSES):
        pose = start.clone()
        pose[:, :3] += 5e-5 * noise(num_envs, 3)
        pose[:, 3:] += 1e-3 * noise(num_envs, 4)
        grip.update(pads, pose, None, 0.02 * noise(num_envs, 6))
        found.append(grip.relative.clone())
    load = torch.tensor([1.0, 2.0, 8.0]) * (0.5 + torch.rand(num_envs, num_pads, 1, generator=draw))
    return found, load


def both_ways(law: str, name: str, num_envs: int, num_pads: int = 2, pad: Pad | None = None) -> tuple[Field, Field]:
    """A step by ours and by NumPy's: each returns (pads, 3, taxels) and moves on to the next pose."""
    solid, half_m = SOLIDS[name]
    relative, load = scenes(half_m, num_envs, num_pads)
    grip, indenters, pad = Grip(num_envs, num_pads), Indenters([solid], num_envs), pad or Pad()
    field = ForceField(pad, grip, indenters, Penalty() if law == "penalty" else Bristle())
    given = load if law == "bristle, loaded" else None
    turns = [0, 0]

    def ours() -> np.ndarray[Any, Any]:
        grip.relative.copy_(relative[turns[0] % POSES])
        turns[0] += 1
        return field.step(given).flatten(3).flatten(0, 1).numpy()

    rows = [r.flatten(0, 1).numpy() for r in relative]
    numbers, material = indenters.numbers.numpy(), field.material.flatten(0, 1).numpy()
    taxels = np.ascontiguousarray(pad.taxels(torch.device("cpu")).numpy())
    bristles = Bristles(solid.kind, numbers, material, taxels, Bristle().thickness_m)
    loads = None if given is None else given.flatten(0, 1).numpy()

    def numpys() -> np.ndarray[Any, Any]:
        now = rows[turns[1] % POSES]
        turns[1] += 1
        if law == "penalty":
            return penalty(solid.kind, numbers, now, material, taxels)
        return bristles.step(now, loads)

    return ours, numpys


def difference(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """The largest, over the largest force, of all but one value in 100,000: a ray that grazes an edge is a toss-up."""
    return float(np.quantile(np.abs(a - b), 1 - 1e-5) / np.abs(b).max())


def seconds_each(calls: list[Field], seconds: float) -> list[float]:
    """Of one call of each, the median, measured turn by turn; on a core that others may share."""
    spent: list[list[float]] = [[] for _ in calls]
    while max(sum(s) for s in spent) < seconds or len(spent[0]) < 5:
        for call, times in zip(calls, spent, strict=True):
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
    return [statistics.median(s) for s in spent]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the time")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds = 0.2 if options.quick else 1.0
    faster: dict[str, Any] = {"better": "higher"}
    rows, worst = [], 0.0
    for law in LAWS:
        for name in SOLIDS:
            calls = list(both_ways(law, name, NUM_ENVS))
            worst = max(worst, *(difference(calls[0](), calls[1]()) for _ in range(POSES)))
            if worst > EQUAL:
                raise SystemExit(f"{law}, {name}: the two differ by {worst:.2g} of the largest force: no comparison")
            ours, numpys = seconds_each(calls, seconds)
            rows.append(row(f"{law}: {name}, over NumPy", numpys / ours, "x", 4.0, **faster))
            rows.append(row(f"{law}: {name}", ours * 1e3, "ms a step", reference="NumPy, same run",
                            reference_value=round(numpys * 1e3, 1)))  # fmt: skip
    small, _ = both_ways("penalty", "round peg", NUM_ENVS, 1, Pad(10, 10))
    rate = NUM_ENVS / seconds_each([small], seconds)[0]
    rows.append(row("penalty: round peg, one pad of 10 x 10", rate, "fields/s", **faster,
                    reference="TacSL's CPU baseline, from its paper", reference_value=3596))  # fmt: skip
    rows.append(row("largest difference from NumPy, over the largest force, of 99.999 % of values", worst, "", EQUAL))
    write("tactile_field", rows, options.out)


if __name__ == "__main__":
    main()
