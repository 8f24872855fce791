"""What an orbit correction reads and moves: channels, action, envelope and preprocessing, from the lattice."""

from __future__ import annotations

from dataclasses import dataclass

from robostack.features import Difference, Feature, History, Pick, Scale
from robostack.spec import ActionChannel, Channel, ContractError, Cut, Envelope
from robostack.task import Parameter
from robostack_sim.beam.config import BeamOrbitConfig
from robostack_sim.beam.lattice import Lattice

PER_MM = 1e3
REMEMBERED = 6
"""readings and moves that features keep; a GRU remembers further"""


@dataclass(frozen=True)
class Line:
    """The BPMs and correctors of a lattice that a correction uses; what is masked is not among them."""

    bpms: tuple[int, ...]
    """indices into the lattice's elements"""
    readings: tuple[str, ...]
    """bpm_1_x, bpm_1_y, ..."""
    correctors: tuple[int, ...]
    """indices into the lattice's correctors"""
    corrector_names: tuple[str, ...]
    current_max_a: tuple[float, ...]
    aperture_m: float

    @classmethod
    def of(cls, lattice: Lattice, masked: tuple[str, ...] = ()) -> Line:
        """Raises ContractError for a name that is neither BPM nor corrector, and when none is left."""
        names = {lattice.elements[i].name for i in lattice.bpms} | set(lattice.corrector_names)
        if unknown := sorted(set(masked) - names):
            raise ContractError(
                f"masked: {unknown[0]!r} is no BPM and no corrector; there are {', '.join(sorted(names))}"
            )
        bpms = tuple(i for i in lattice.bpms if lattice.elements[i].name not in masked)
        correctors = tuple(i for i, name in enumerate(lattice.corrector_names) if name not in masked)
        if not bpms or not correctors:
            raise ContractError(f"lattice {lattice.name}: no BPM or no corrector is left to correct an orbit with")
        return cls(
            bpms,
            tuple(f"{lattice.elements[i].name}_{axis}" for i in bpms for axis in "xy"),
            correctors,
            tuple(lattice.corrector_names[i] for i in correctors),
            tuple(lattice.correctors[i][0].current_max_a for i in correctors),
            min(*(e.aperture_m for e in lattice.elements), 1.0),
        )


def parameters(config: BeamOrbitConfig) -> tuple[Parameter, ...]:
    """How wrong an episode's machine may be, which a curriculum may say: from not at all to what `config` draws within,
    or, of what it leaves right, to what is common. Correctors flipped are rounded to whole ones."""
    return (
        Parameter("magnet_offset_m", 0.0, config.magnet_offset_m or 3e-3, "m"),
        Parameter("optics_error", 0.0, config.optics_error or 0.2, "1"),
        Parameter("gain_error", 0.0, config.gain_error or 0.3, "1"),
        Parameter("flipped_correctors", 0.0, float(config.flipped_correctors or 2), "1"),
    )


def channels(line: Line, config: BeamOrbitConfig, magnets: int) -> tuple[Channel, ...]:
    """In the order of the packed observation; a dead BPM has gain 0. No reading is good for two moves, so none is held
    in the place of a bad one."""
    beyond, age, asked = (2.0 * line.aperture_m,), 3.0 * config.step_dt, 3600.0
    readings, n, c = line.readings, (len(line.readings),), (len(line.corrector_names),)
    low, limit = (-beyond[0],), tuple(1.01 * m for m in line.current_max_a)
    found = [
        Channel(name="bpm_position", shape=n, elements=readings, unit="m", frame="x, y of the design axis", low=low,
                high=beyond, noise_std=(config.bpm_noise_m,), max_age_s=age, hold_periods=0),
        Channel(name="corrector_current", shape=c, elements=line.corrector_names, unit="A", max_age_s=age,
                low=tuple(-m for m in limit), high=limit, hold_periods=0),
        Channel(name="target_orbit", shape=n, elements=readings, unit="m", source="command", low=low, high=beyond,
                max_age_s=asked),
    ]  # fmt: skip
    if config.probe_a:
        found.append(Channel(name="probe_response", shape=n, elements=readings, unit="m", low=low, high=beyond,
                             max_age_s=asked))  # fmt: skip
    return (
        *found,
        Channel(name="applied_action", shape=c, elements=line.corrector_names, unit="A",
                low=(-config.step_max_a,), high=(config.step_max_a,)),
        Channel(name="true_orbit", shape=n, elements=line.readings, unit="m", privileged=True),
        Channel(name="corrector_gain", shape=c, elements=line.corrector_names, privileged=True),
        Channel(name="bpm_gain", shape=n, elements=line.readings, privileged=True),
        Channel(name="misalignment", shape=(2 * magnets,), unit="m", privileged=True),
    )  # fmt: skip


def action(line: Line, config: BeamOrbitConfig) -> ActionChannel:
    """Changes of current: neutral, and what a fallback commands, is to leave the correctors as they are."""
    n, most = len(line.corrector_names), config.step_max_a
    return ActionChannel(name="corrector_step", elements=line.corrector_names, unit="A",
                         low=(-most,) * n, high=(most,) * n, neutral=(0.0,) * n)  # fmt: skip


def envelope(line: Line) -> Envelope:
    """Hold: after a bad reading no corrector moves."""
    return Envelope(fallback=(Cut(value=(0.0,) * len(line.corrector_names)),))


def features(line: Line, config: BeamOrbitConfig) -> tuple[Feature, ...]:
    """The error, what was read and moved lately (TBSAC's trend is a difference of these), and the currents."""
    reading, target, applied = Pick("bpm_position"), Pick("target_orbit"), Pick("applied_action")
    per_step = 1.0 / config.step_max_a
    found: list[Feature] = [
        Difference(reading, target, limit=2.0 * line.aperture_m, gain=0.5 * PER_MM),
        History(reading, REMEMBERED, gain=0.5 * PER_MM),
        Scale(applied, gain=per_step),
        History(applied, REMEMBERED - 1, gain=per_step),
        Scale(Pick("corrector_current"), gain=1.0 / max(line.current_max_a)),
    ]
    if config.probe_a:
        found.append(Scale(Pick("probe_response"), gain=PER_MM))
    return tuple(found)
