"""What a manipulation reads and moves: channels, action, envelope, preprocessing, and the channels of each modality."""

from __future__ import annotations

from typing import Any

from robostack.features import Difference, Feature, Pick, Scale
from robostack.messages import ROTATION, WORLD
from robostack.spec import ActionChannel, Channel, Cut, Envelope
from robostack_sim.tactile.config import ManipulationConfig
from robostack_sim.tactile.touch import CAMERA

BLIND = ("arm_position", "arm_rotation", "arm_target_position", "arm_target_rotation", "place")
MODALITIES = {
    "blind": BLIND,
    "force_field": (*BLIND, "force_field"),
    "anyskin": (*BLIND, "anyskin"),
    "image": (*BLIND, "image"),
}
PRIVILEGED = ("peg_offset", "peg_axis", "peg_in_grip", "pad_load")
CRITIC = (*BLIND, *PRIVILEGED)
"""the force on every taxel says no more than these"""
XYZ = ("x", "y", "z")


def channels(config: ManipulationConfig, offset_from: str) -> tuple[Channel, ...]:
    """In the order of the packed observation; `offset_from` says in words from where `peg_offset` is measured. A field
    that is two samples old is none."""
    arm: dict[str, Any] = {"shape": (3,), "unit": "m", "frame": WORLD, "low": (-2.0,), "high": (2.0,)}
    turn: dict[str, Any] = {"shape": (3,), "unit": "rad", "frame": ROTATION, "low": (-3.2,), "high": (3.2,)}
    hidden: dict[str, Any] = {"privileged": True}
    shift, rate = config.shift_max_m, config.turn_max_rad
    found = [
        Channel(name="arm_position", noise_std=(config.position_noise_m,), **arm),
        Channel(name="arm_rotation", noise_std=(config.turn_noise_rad,), **turn),
        Channel(name="arm_target_position", **arm),
        Channel(name="arm_target_rotation", **turn),
        Channel(name="place", source="command", max_age_s=3600.0, **arm),
        Channel(name="force_field", shape=(2, 3, 14, 10), unit="N", frame="pad: shear x, shear y, pressing",
                low=(-10.0,), high=(10.0,), noise_std=(config.sensor.noise,)),
        Channel(name="anyskin", shape=(5, 3), unit="uT", frame="pad", low=(-1e4,), high=(1e4,),
                noise_std=(config.skin.noise_ut,)),
    ]  # fmt: skip
    if config.image:
        shape = (2, CAMERA.height, CAMERA.width, 3)
        found.append(Channel(name="image", shape=shape, frame="pad, less the gel at rest", low=(-1.0,), high=(1.0,)))
    return (
        *found,
        Channel(name="applied_action", shape=(6,), low=(-shift,) * 3 + (-rate,) * 3, high=(shift,) * 3 + (rate,) * 3),
        Channel(name="peg_offset", shape=(3,), unit="m", frame=f"world ENU, from {offset_from}", **hidden),
        Channel(name="peg_axis", shape=(3,), frame=WORLD, **hidden),
        Channel(name="peg_in_grip", shape=(2,), elements=("tilt", "along"), unit="rad, m", **hidden),
        Channel(name="pad_load", shape=(2, 3), unit="N", frame="pad: shear x, shear y, pressing", **hidden),
    )


def actions(config: ManipulationConfig) -> tuple[ActionChannel, ...]:
    """How far the pose that the arm is to hold moves on from where it is: a shift, and a turn about the world's axes.
    Neutral, and what a fallback commands, is to leave it."""
    names = {"arm_shift": (config.shift_max_m, "m"), "arm_turn": (config.turn_max_rad, "rad")}
    return tuple(
        ActionChannel(name=name, elements=tuple(f"{name}_{axis}" for axis in XYZ), unit=unit, low=(-most,) * 3,
                      high=(most,) * 3, neutral=(0.0,) * 3)
        for name, (most, unit) in names.items()
    )  # fmt: skip


def envelope() -> Envelope:
    """Hold: after a bad reading the arm stays."""
    return Envelope(fallback=(Cut(value=(0.0,) * 6),))


def features(config: ManipulationConfig) -> tuple[Feature, ...]:
    """The arm's are of order one. A taxel's are less than the tenth below which a normaliser leaves them alone, or 840
    taxels of unit variance would drown where the arm is: a student then takes several times as long."""
    found: list[Feature] = [
        Difference(Pick("arm_position"), Pick("place"), limit=0.3, gain=20.0),
        Difference(Pick("arm_target_position"), Pick("arm_position"), limit=0.05, gain=50.0),
        Scale(Pick("arm_rotation"), gain=3.0),
        Difference(Pick("arm_target_rotation"), Pick("arm_rotation"), limit=0.3, gain=10.0),
        Scale(Pick("force_field"), gain=0.2),
        Scale(Pick("anyskin"), gain=1.0 / 200.0),
    ]
    return (*found, Scale(Pick("image"), gain=0.2)) if config.image else tuple(found)
