"""Throughput of the beam simulator against cheetah-accelerator's ParameterBeam: same line, same process, one thread.

    python benchmarks/beam_simulator.py [--quick]

Eight cells of seven elements (drift, solenoid, corrector, drift, gap or drift, drift, BPM: 56). Every track has new
currents in all sixteen correctors, and gives the orbit of 1024 beams at every element. cheetah's solenoids are as
misaligned as ours; where our line has no gap the orbits of both agree, and the benchmark checks it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _results import row, write
from torch import Tensor

from robostack_sim.beam.lattice import Beam, Bpm, Corrector, Element, Lattice, Solenoid
from robostack_sim.beam.machines import Errors, Machines

IONS = Beam(mass_ev=37.259e9, charge=12.0, kinetic_ev=54.24e6)
CELLS = 8
STEERING_T_M_A = 6.7e-4


def line() -> Lattice:
    cell = lambda i: (  # noqa: E731
        Element(name=f"a{i}", length_m=0.085),
        Solenoid(name=f"s{i}", length_m=0.35, field_t=2.4 if i % 2 else -2.4),
        Corrector(name=f"c{i}", steering_t_m_a=STEERING_T_M_A, current_max_a=10.0),
        Element(name=f"b{i}", length_m=0.07),
        Element(name=f"g{i}", length_m=0.07),
        Element(name=f"d{i}", length_m=0.07),
        Bpm(name=f"p{i}"),
    )
    return Lattice("eight cells", IONS, tuple(e for i in range(CELLS) for e in cell(i)))


def per_second(track: Callable[[], Any], batch: int, seconds: float) -> float:
    """Beams a second of one core, which others may share: the median of calls over that long."""
    track()
    spent: list[float] = []
    while sum(spent) < seconds or len(spent) < 3:
        start = time.process_time()
        track()
        spent.append(time.process_time() - start)
    return batch / statistics.median(spent)


def theirs(lattice: Lattice, offsets_m: Tensor) -> Any:
    """cheetah's segment: correctors as a horizontal and a vertical one, since theirs steer one plane."""
    import cheetah

    elements: list[Any] = []
    for i, element in enumerate(lattice.elements):
        name, length = element.name, torch.tensor(element.length_m)
        match element:
            case Solenoid():
                k = torch.tensor(element.field_t / (2.0 * IONS.rigidity_t_m))
                elements.append(cheetah.Solenoid(length=length, k=k, misalignment=offsets_m[:, i], name=name))
            case Corrector():
                elements.append(cheetah.HorizontalCorrector(length=length, angle=torch.zeros(1), name=f"{name}h"))
                elements.append(cheetah.VerticalCorrector(length=length, angle=torch.zeros(1), name=f"{name}v"))
            case Bpm():
                elements.append(cheetah.BPM(is_active=True, name=name))
            case _:
                elements.append(cheetah.Drift(length=length, name=name))
    return cheetah.Segment(elements=elements, name="line")


def beam_of(start: Tensor) -> Any:
    import cheetah

    b = IONS
    species = cheetah.Species("ion", num_elementary_charges=torch.tensor(b.charge), mass_eV=torch.tensor(b.mass_ev))
    mu = torch.cat([start, torch.zeros(len(start), 2), torch.ones(len(start), 1)], 1)
    cov = torch.zeros(len(start), 7, 7)
    cov[:, range(4), range(4)] = 1e-6
    return cheetah.ParameterBeam(mu=mu, cov=cov, energy=torch.tensor(b.kinetic_ev + b.mass_ev), species=species)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the time for each row")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds, batch = 1.0 if options.quick else 5.0, 1024
    lattice, draw = line(), torch.Generator().manual_seed(0)
    none = Errors.none(batch, lattice)
    offsets = torch.zeros_like(none.offset_m)
    at = [i for i, e in enumerate(lattice.elements) if isinstance(e, Solenoid)]
    offsets[:, at] = 1e-3 * torch.randn(batch, len(at), 2, generator=draw)
    errors = Errors(none.strength, offsets, none.tilt_rad, none.roll_rad)
    start = 1e-3 * torch.randn(batch, 4, generator=draw)
    currents = torch.randn(batch, 2 * CELLS, generator=draw)
    moments = 1e-6 * torch.eye(4).expand(batch, 4, 4)
    machines, response = Machines(lattice, errors), Machines(lattice, errors).response(lattice.bpms)

    peers: dict[str, float] = {}
    try:
        segment, beam = theirs(lattice, offsets), beam_of(start)

        def track_theirs() -> Any:
            angles = currents * (STEERING_T_M_A / IONS.rigidity_t_m)
            for i in range(CELLS):
                getattr(segment, f"c{i}h").angle = angles[:, 2 * i]
                getattr(segment, f"c{i}v").angle = angles[:, 2 * i + 1]
            return segment.track(beam)

        off = (track_theirs().mu[:, :4] - machines.track(start, currents)[:, -1]).abs().max().item()
        if off > 1e-6:
            raise SystemExit(f"the two simulators differ by {off:.2g} m or rad: their times say nothing")
        peers["new currents"] = per_second(track_theirs, batch, seconds)
    except ImportError as error:
        print(f"without cheetah: {error}; pip install 'robostack[beam-test]'")

    def gradient() -> None:
        wanted = currents.clone().requires_grad_()
        machines.track(start, wanted)[..., 0].square().sum().backward()

    peer = peers.get("new currents")
    tracked = per_second(lambda: machines.track(start, currents), batch, seconds)
    name = "cheetah ParameterBeam, centroid and moments"
    rows = [row("centroid at 56 elements, new currents", tracked, "beams/s", better="higher", reference=name,
                reference_value=peer)]  # fmt: skip
    both = per_second(lambda: (machines.track(start, currents), machines.covariance(moments)), batch, seconds)
    rows.append(row("centroid and moments", both, "beams/s", better="higher", reference=name, reference_value=peer))
    anew = per_second(lambda: Machines(lattice, errors).track(start, currents), batch, seconds)
    rows.append(row("centroid, every matrix made anew", anew, "beams/s", better="higher"))
    affine = per_second(lambda: response.orbit(start, currents), batch, seconds)
    rows.append(row("orbit at 8 BPMs by the response, as the task steps", affine, "beams/s", better="higher"))
    rows.append(row("centroid with its gradient", per_second(gradient, batch, seconds), "beams/s", better="higher"))
    if peer:
        rows.append(row("centroid over cheetah", tracked / peer, "x", 20.0, better="higher"))
        rows.append(row("centroid and moments over cheetah", both / peer, "x", better="higher"))
    write("beam_simulator", rows, options.out)


if __name__ == "__main__":
    main()
