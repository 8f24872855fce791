"""Machines that fly a policy, by URI: what a `robostack.hosts` entry point has to offer.

A host sets such a machine up, asks and watches. The policy and its envelope are on the machine, or in the device
beside an autopilot that takes setpoints: either way nobody outside makes an action. The library knows none: the name of
an entry point is the scheme of its URIs, and it is called with the URI.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from robostack import registry
from robostack.export.onnx import LoadedPolicy
from robostack.spec import ContractError


@dataclass(frozen=True)
class Check:
    """Something that must be true before a machine takes off."""

    what: str
    ok: bool
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Telemetry:
    """What a machine last said of itself; SI, world ENU or a level frame of its own with z up."""

    age_s: float
    """since it arrived here"""
    position_m: np.ndarray
    velocity_m_s: np.ndarray
    attitude_wxyz: np.ndarray
    action: np.ndarray
    """what the policy commands, in the contract's unit; zero while it does not fly"""
    supply_v: float
    """of a cell"""
    policy_flies: bool
    ended: str
    """why the policy does not fly any more, in words; empty while it does or was never asked"""
    fit_to_fly: bool
    """the machine's own supervisor lets it fly"""


class FlyingHost(Protocol):
    """A flying machine that runs a policy itself. Every call may raise ConnectionError when it is lost."""

    where: str
    needs_dead_man: bool
    """Somebody could get hurt: a flight needs a switch that a hand holds down."""

    def preflight(self, policy: LoadedPolicy) -> list[Check]: ...
    def telemetry(self) -> Telemetry: ...
    def arm(self) -> None: ...
    def take_off(self, height_m: float, seconds: float) -> None:
        """Under its own controller."""

    def setpoint(self, position_m: np.ndarray, velocity_m_s: np.ndarray, acceleration_m_s2: np.ndarray) -> None:
        """To whichever controller flies; to be repeated, or the machine levels out by itself."""

    def hand_over(self) -> None:
        """Asks for the policy."""

    def hand_back(self) -> None:
        """Asks for its own controller; never fails to try."""

    def land(self, seconds: float) -> None:
        """Under its own controller, where it is; disarms it on the floor."""

    def stop(self) -> None:
        """Motors off, at once. May be called twice, and from a signal handler."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


class DeadMan(Protocol):
    """A switch that a hand holds down, while its context is entered."""

    def held(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


def dead_man(device: Path) -> DeadMan:
    """The switch on an input device; enter it to open that."""
    switch: DeadMan = registry.load("guard", "input")(device)
    return switch


def connect(uri: str) -> FlyingHost:
    """The machine at a URI such as radio://0/80/2M or udpin://127.0.0.1:14540; enter it to open the link.

    Raises ContractError for what is no URI, UnknownNameError for a scheme that nobody serves, MissingExtraError.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator or not rest:
        known = ", ".join(f"{name}://..." for name in registry.entries("host"))
        raise ContractError(f"{uri!r} is no URI of a machine; there are {known or 'none installed'}")
    host: FlyingHost = registry.load("host", scheme)(uri)
    return host
