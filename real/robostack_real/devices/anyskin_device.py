"""Magnetic skins as a robostack.devices device, alone or on the fingers of another one.

anyskin:///dev/ttyACM0                       one skin that looks on: nothing is moved
anyskin:///dev/ttyACM0,/dev/ttyACM1          two, in the order of the gripper's fingers
anyskin:///dev/ttyACM0?on=sim://hover        the skin is real, all else is the other device's
anyskin:///dev/ttyACM0?allow_dead=1          one of its magnetometers may be dead: it reads 0, and that is logged
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Self

import numpy as np

from robostack import devices
from robostack.export.onnx import LoadedPolicy
from robostack.runtime.controller import Sample
from robostack.runtime.envelope import Array
from robostack.spec import ContractError
from robostack_real.devices.anyskin import AnySkin
from robostack_real.link.skin_frames import MAGNETOMETERS

log = logging.getLogger(__name__)

CHANNEL, UNIT = "anyskin", "uT"
READINGS = 3 * MAGNETOMETERS
PLACES = ("middle", "+x", "+y", "-x", "-y")


class AnySkinDevice:
    """See robostack.devices.Device. A reading with a magnetometer that is dead or at its limit is none that a policy
    can act on, so it goes out as not a number, and the envelope holds and then trips. So many as may be dead read 0.

    Raises ContractError for a URI that says something else, and for a policy that feels with another sensor.
    """

    def __init__(self, uri: str, policy: LoadedPolicy) -> None:
        self.where = uri
        ports, _, query = uri.partition("://")[2].partition("?")
        options = dict(part.partition("=")[::2] for part in query.split("&")) if query else {}
        if others := sorted(set(options) - {"on", "allow_dead"}):
            raise ContractError(f"{uri}: after ? can only stand on=URI and allow_dead=N, not {', '.join(others)}")
        allowed = options.get("allow_dead", "0")
        if not (allowed.isdigit() and int(allowed) < MAGNETOMETERS):
            raise ContractError(f"{uri}: allow_dead={allowed}: must be 0 to {MAGNETOMETERS - 1}")
        self.allow_dead = int(allowed)
        self.skins = [AnySkin(port) for port in ports.split(",")]
        _check_fit(policy, len(self.skins))
        self._on = devices.connect(options["on"], policy) if "on" in options else None
        self.channels = (CHANNEL, *(c for c in (self._on.channels if self._on else ()) if c != CHANNEL))
        self.paces = self._on.paces if self._on else False
        self.changes = self._on.changes if self._on else False
        self._open, self._told = ExitStack(), ""

    @property
    def tripped(self) -> str:
        return self._on.tripped if self._on else ""

    def read(self) -> Mapping[str, Sample]:
        samples = dict(self._on.read()) if self._on else {}
        samples.pop(CHANNEL, None)
        touches = [skin.read() for skin in self.skins]
        news = [t for t in touches if t is not None]
        if len(news) == len(touches):
            values = np.stack([t.values for t in news])
            valid = np.stack([t.valid for t in news])
            self._tell(valid)
            dead = np.stack([skin.dead for skin in self.skins])[..., None] & ~valid
            values = np.where(valid, values, np.where(dead & (dead.sum() <= self.allow_dead), 0.0, np.nan))
            samples[CHANNEL] = (values.ravel(), max(t.age_s for t in news))
        return samples

    def told(self) -> Mapping[str, Sample]:
        """What is commanded where all but the skin is simulated."""
        return getattr(self._on, "told", dict)()

    def arm(self) -> None:
        if self._on is None:
            raise ContractError(
                f"{self.where}: a skin moves nothing; {self.where.partition('?')[0]}?on=URI names what does"
            )
        self._on.arm()

    def write(self, action: Array) -> Array:
        return self._on.write(action) if self._on else action

    def stop(self) -> None:
        if self._on:
            self._on.stop()

    def _tell(self, valid: np.ndarray) -> None:
        """Once, what changed."""
        bad = [f"{skin.where} {PLACES[i]}{' (dead)' if skin.dead[i] else ' (at its limit)'}"
               for skin, sound in zip(self.skins, valid, strict=True) for i in np.flatnonzero(~sound)]  # fmt: skip
        told = ", ".join(bad)
        if told != self._told:
            log.warning("magnetometers that cannot be believed: %s", told or "none any more")
        self._told = told

    def __enter__(self) -> Self:
        """Opens and tares: nothing may touch the skin. Raises ConnectionError, and ContractError for more dead
        magnetometers than are allowed."""
        with ExitStack() as opened:
            if self._on:
                opened.enter_context(self._on)
            for skin in self.skins:
                opened.enter_context(skin)
            dead = sum(int(skin.dead.sum()) for skin in self.skins)
            if dead > self.allow_dead:
                raise ContractError(
                    f"{self.where}: {dead} of {MAGNETOMETERS * len(self.skins)} magnetometers always say the same, "
                    f"they are dead: check the cable, or go on with allow_dead={dead}, where they read 0"
                )
            self._open = opened.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()


def _check_fit(policy: LoadedPolicy, skins: int) -> None:
    channel = next((c for c in policy.spec.observations if c.name == CHANNEL), None)
    if channel is None:
        felt = ", ".join(f"{c.name} {'x'.join(map(str, c.shape))}" for c in policy.spec.observations)
        raise ContractError(
            f"{policy.origin}: reads {felt}; a skin gives {CHANNEL}, {MAGNETOMETERS} x 3 {UNIT}, and nothing else can "
            "be made of that: distill a student of its own, --student anyskin"
        )
    if channel.size != READINGS * skins or channel.unit != UNIT:
        raise ContractError(
            f"{policy.origin}: {CHANNEL} has {channel.size} values in {channel.unit}, but {skins} skin(s) give "
            f"{READINGS * skins} in {UNIT}; give as many ports as the policy has fingers, joined by commas"
        )
