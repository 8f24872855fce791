"""Machines that we command: sensors are read here, a policy infers here, its action is written there.

By URI, as the hosts of robostack.hosts; the name of a `robostack.devices` entry point is the scheme.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

from robostack import registry
from robostack.export.onnx import LoadedPolicy
from robostack.runtime.controller import Sample
from robostack.runtime.envelope import Array
from robostack.spec import ContractError


class Device(Protocol):
    """Sensors and actuators of one machine. Every call may raise ConnectionError when it is lost.

    One that paces, with a period of more than a few hundredths of a second, is entered, read, armed, written and exited
    in a thread of its own by who has something else to do meanwhile; `stop` and `tripped` are for any thread.
    """

    where: str
    channels: tuple[str, ...]
    """of the contract, that it measures"""
    paces: bool
    """it is the clock: a write returns when a period of its own has passed"""
    changes: bool
    """actions are changes: each is written once, for the reading that it answers, and neutral leaves all as it is"""
    tripped: str
    """why it has left our commands for a fallback of its own, until it is stopped; empty while it obeys"""

    def read(self) -> Mapping[str, Sample]:
        """What has been measured since the last read, with ages (s); a channel without news is left out."""

    def arm(self) -> None:
        """It is about to be commanded. Raises ContractError when it will not be."""

    def write(self, action: Array) -> Array:
        """(actions,) that passed an envelope, for one control period, neutral while it is not armed; returns what the
        actuators get."""

    def stop(self) -> None:
        """What leaves the machine safe without anybody; may be called twice, and from a signal handler."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


def connect(uri: str, policy: LoadedPolicy) -> Device:
    """The device at a URI such as sim://hover; enter it to open it.

    Raises ContractError for what is no URI or does not fit the policy, UnknownNameError, MissingExtraError.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator or not rest:
        raise ContractError(f"{uri!r} is no URI of a device, such as sim://hover")
    device: Device = registry.load("device", scheme)(uri, policy)
    return device
