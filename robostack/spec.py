"""PolicySpec: the contract that one `policy.onnx` carries, and its digests.

What a machine measures goes in, what an actuator takes comes out, in SI; everything between is inside the
graph. The spec names every element of every channel, so that nobody outside assembles a vector and nobody can
get its order wrong. It is frozen, validated, and written as canonical JSON (RFC 8785), so that a digest does not
depend on how a float was printed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

SPEC_VERSION: Literal[1] = 1
SECTIONS = ("timing", "observations", "actions", "state", "envelope")

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class ContractError(ValueError):
    """A contract is malformed, or two contracts do not fit; the message names the field, the values, the remedy."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Channel(Frozen):
    """One named measurement or command, `shape` elements of `unit` in `frame`.

    `low`, `high` and `noise_std` hold one value for all elements or one for each. A sample that is not finite or
    lies outside [low, high] is invalid: the last valid one is held for `hold_periods` control periods, then the
    envelope trips. A missing sample ages; older than `max_age_s` trips it too. `privileged` channels exist in
    training only (critics, teachers) and are refused by `PolicySpec`.
    """

    name: Identifier
    shape: tuple[Annotated[int, Field(gt=0)], ...] = Field(min_length=1)
    elements: tuple[Identifier, ...] = ()
    unit: str = "1"
    frame: str = ""
    sign: str = ""
    source: Literal["sensor", "command"] = "sensor"
    low: tuple[Finite, ...] = (-1e6,)
    high: tuple[Finite, ...] = (1e6,)
    noise_std: tuple[Finite, ...] = (0.0,)
    max_age_s: Finite = Field(default=0.05, gt=0)
    hold_periods: int = Field(default=3, ge=0)
    privileged: bool = False

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def element_names(self) -> tuple[str, ...]:
        """Given names, or `name_0, name_1, ...`."""
        return self.elements or tuple(f"{self.name}_{i}" for i in range(self.size))

    def per_element(self, field: Literal["low", "high", "noise_std"]) -> tuple[float, ...]:
        """`field` spread to one value an element."""
        values: tuple[float, ...] = getattr(self, field)
        return values * self.size if len(values) == 1 else values

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.elements and len(self.elements) != self.size:
            raise ValueError(f"channel {self.name}: {len(self.elements)} element names for {self.size} elements")
        if len(set(self.elements)) != len(self.elements):
            raise ValueError(f"channel {self.name}: element names repeat")
        for field in ("low", "high", "noise_std"):
            if len(getattr(self, field)) not in (1, self.size):
                raise ValueError(f"channel {self.name}.{field}: {len(getattr(self, field))} values for {self.size}")
        if any(lo >= hi for lo, hi in zip(self.per_element("low"), self.per_element("high"), strict=True)):
            raise ValueError(f"channel {self.name}: low must be below high for every element")
        return self


class ActionChannel(Frozen):
    """What an actuator takes, one value an element, clamped to [low, high] by the envelope.

    `slew_per_s` limits the change a second (None: not limited; a limit that was not trained with destroys a
    policy). `neutral` is what a disarmed actuator gets; it is not a fallback.
    """

    name: Identifier
    elements: tuple[Identifier, ...] = Field(min_length=1)
    unit: str
    low: tuple[Finite, ...]
    high: tuple[Finite, ...]
    neutral: tuple[Finite, ...]
    slew_per_s: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] | None = None

    @property
    def size(self) -> int:
        return len(self.elements)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for field in ("low", "high", "neutral", "slew_per_s"):
            values = getattr(self, field)
            if values is not None and len(values) != self.size:
                raise ValueError(f"action {self.name}.{field}: {len(values)} values for {self.size} elements")
        for name, lo, mid, hi in zip(self.elements, self.low, self.neutral, self.high, strict=True):
            if not (lo < hi and lo <= mid <= hi):
                raise ValueError(f"action {self.name}.{name}: need low <= neutral <= high, got {lo}, {mid}, {hi}")
        return self


class State(Frozen):
    """The recurrent state, opaque to callers: its size and the value it takes at activation."""

    reset: tuple[Finite, ...] = ()

    @property
    def size(self) -> int:
        return len(self.reset)


class Tumble(Frozen):
    """Trips to the last rung when the body's z axis stays further than `max_tilt_rad` from up for `for_s`.

    Tilted starts do not trip it: a policy that rights the machine is back below the limit in time.
    """

    attitude: Identifier = "attitude"
    max_tilt_rad: Finite = Field(gt=0, lt=math.pi)
    for_s: Finite = Field(gt=0)


class LevelDescend(Frozen):
    """Attitude PD about level with vertical-speed damping, for a multirotor without its policy.

    action = base + gain @ (tilt_x, tilt_y, rate_x, rate_y, rate_z, v_z): tilt is the world's up in the body
    frame crossed with the body's own (rad for small angles), rates are body rates (rad/s), v_z is the vertical
    speed (m/s, up). Needs valid `attitude` (quat_wxyz) and `body_rate`; `velocity` counts as zero while it is not
    valid.
    """

    kind: Literal["level_descend"] = "level_descend"
    attitude: Identifier = "attitude"
    body_rate: Identifier = "body_rate"
    velocity: Identifier = "velocity"
    base: tuple[Finite, ...]
    gain: tuple[tuple[Finite, Finite, Finite, Finite, Finite, Finite], ...]
    max_s: Finite = Field(default=3.0, gt=0)


class RampTo(Frozen):
    """Moves every actuator to `target` at `rate_per_s`; needs no signal and never ends."""

    kind: Literal["ramp_to"] = "ramp_to"
    target: tuple[Finite, ...]
    rate_per_s: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]


class HoldLast(Frozen):
    """Keeps the last applied action; needs no signal and never ends."""

    kind: Literal["hold_last"] = "hold_last"


class Cut(Frozen):
    """Sets every actuator to `value` at once; needs no signal and never ends."""

    kind: Literal["cut"] = "cut"
    value: tuple[Finite, ...]


Rung = Annotated[LevelDescend | RampTo | HoldLast | Cut, Field(discriminator="kind")]


class Envelope(Frozen):
    """What stands between a policy and an actuator besides the channels' own limits.

    `fallback` is a ladder: after a trip the first rung whose signals are valid acts; the last needs none.
    """

    fallback: tuple[Rung, ...] = Field(min_length=1)
    tumble: Tumble | None = None

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if isinstance(self.fallback[-1], LevelDescend):
            raise ValueError("envelope.fallback: the last rung must need no signal (ramp_to, hold_last or cut)")
        return self


class SelfTest(Frozen):
    """Vectors recorded at export: each row of `inputs` is all channels, applied_action and state, in the order of
    the graph's inputs; each row of `outputs` is action and next_state. `tolerance` is a share of each action's
    range, by port; C ports of one precision must agree with each other bit for bit."""

    inputs: tuple[tuple[Finite, ...], ...]
    outputs: tuple[tuple[Finite, ...], ...]
    tolerance: dict[str, Finite] = {"onnxruntime": 1e-5, "c": 1e-4}


class Calibration(Frozen):
    """What the int16 port is scaled by, and how well it then does.

    `ranges`: the largest magnitude of each element of what enters its network, by the value's name in the graph.
    `source` says on which rows these were seen; on the same rows, `max_error` and `rms_error` of the port against ONNX
    Runtime, as shares of each action's range.
    """

    source: str
    ranges: dict[str, tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...]]
    max_error: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    rms_error: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class PolicySpec(Frozen):
    """The contract of one policy; see the module's docstring."""

    spec_version: Literal[1] = SPEC_VERSION
    task: Identifier
    control_dt_s: Finite = Field(gt=0)
    obs_delay_s: tuple[Finite, Finite] = (0.0, 0.0)
    action_delay_s: tuple[Finite, Finite] = (0.0, 0.0)
    jitter_s: Finite = 0.0
    observations: tuple[Channel, ...] = Field(min_length=1)
    actions: tuple[ActionChannel, ...] = Field(min_length=1)
    state: State = State()
    envelope: Envelope
    self_test: SelfTest | None = None
    calibration: Calibration | None = None
    provenance: dict[str, Any] = {}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [c.name for c in self.observations] + [a.name for a in self.actions]
        reserved = {"applied_action", "state", "action", "next_state"} & set(names)
        if len(set(names)) != len(names) or reserved:
            raise ValueError(f"channel names must differ from each other and from {sorted(reserved)}: {names}")
        leaked = [c.name for c in self.observations if c.privileged]
        if leaked:
            raise ValueError(f"observations: {leaked} are privileged: training only, never in a contract")
        by_name = {c.name: c for c in self.observations}
        for i, rung in enumerate(self.envelope.fallback):
            self._check_rung(f"envelope.fallback[{i}]", rung, by_name)
        if self.envelope.tumble:
            _need(by_name, "envelope.tumble.attitude", self.envelope.tumble.attitude, 4)
        return self

    def _check_rung(self, where: str, rung: Rung, by_name: dict[str, Channel]) -> None:
        for field in ("base", "gain", "target", "rate_per_s", "value"):
            values = getattr(rung, field, None)
            if values is not None and len(values) != self.action_size:
                raise ValueError(f"{where}.{field}: {len(values)} rows for {self.action_size} actions")
        if isinstance(rung, LevelDescend):
            _need(by_name, f"{where}.attitude", rung.attitude, 4)
            _need(by_name, f"{where}.body_rate", rung.body_rate, 3)
            _need(by_name, f"{where}.velocity", rung.velocity, 3)

    @property
    def observation_size(self) -> int:
        return sum(c.size for c in self.observations)

    @property
    def action_size(self) -> int:
        return sum(a.size for a in self.actions)

    @property
    def action_names(self) -> tuple[str, ...]:
        return tuple(e for a in self.actions for e in a.elements)

    def action_limit(self, field: Literal["low", "high", "neutral"]) -> tuple[float, ...]:
        """`field` of all action channels, joined in order."""
        return tuple(v for a in self.actions for v in getattr(a, field))

    def canonical_json(self) -> bytes:
        """RFC 8785 JSON of the whole spec."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, text: bytes | str) -> PolicySpec:
        """Parses and validates. Raises ContractError naming the first wrong field."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(p) for p in first["loc"]) or "spec"
            hint = ""
            if where == "spec_version":
                hint = f"; this robostack reads version {SPEC_VERSION}: export again, or install the matching version"
            raise ContractError(f"{where}: {first['msg']} (got {first.get('input')!r:.80}){hint}") from error

    def section_digests(self) -> dict[str, str]:
        """SHA-256 of each part of the interface, so that a mismatch can be named."""
        whole = self.model_dump(mode="json")
        sections: dict[str, Any] = {
            "timing": {"control_dt_s": whole["control_dt_s"], "spec_version": whole["spec_version"]},
            **{name: whole[name] for name in SECTIONS if name != "timing"},
        }
        return {name: hashlib.sha256(canonical_json(sections[name])).hexdigest() for name in SECTIONS}

    @property
    def interface_hash(self) -> str:
        """Channels, control period, state shape and envelope: what a machine must agree with."""
        return hashlib.sha256(canonical_json(self.section_digests())).hexdigest()

    def check_interface(self, other: PolicySpec, *, mine: str = "policy", theirs: str = "device") -> None:
        """Raises ContractError naming the first field in which the two interfaces differ."""
        ours, others = self.section_digests(), other.section_digests()
        for section in SECTIONS:
            if ours[section] != others[section]:
                a, b = self.model_dump(mode="json"), other.model_dump(mode="json")
                key = "control_dt_s" if section == "timing" else section
                where, left, right = first_difference(a[key], b[key], key)
                raise ContractError(
                    f"{where}: {mine} has {left!r}, {theirs} has {right!r}; "
                    f"export the policy for this {theirs}, or use the {theirs} it was made for"
                )


def _need(by_name: dict[str, Channel], where: str, name: str, size: int) -> None:
    channel = by_name.get(name)
    if channel is None or channel.size != size:
        found = "is not an observation" if channel is None else f"has {channel.size} elements"
        raise ValueError(f"{where}: channel {name!r} {found}; it needs one of {size} elements")


def canonical_json(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON-like value. Raises ContractError for what JSON cannot hold (NaN, infinity)."""
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise ContractError(f"not representable as JSON: {error}") from error


def policy_hash(interface_hash: str, graph: bytes) -> str:
    """Interface + graph + weights; neither provenance nor the hash itself. `graph` is the serialised GraphProto."""
    return hashlib.sha256(bytes.fromhex(interface_hash) + graph).hexdigest()


def first_difference(a: Any, b: Any, where: str) -> tuple[str, Any, Any]:
    """Path and values of the first leaf in which two JSON trees differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys: Iterable[Any] = list(dict.fromkeys([*a, *b]))
        pairs = [(f"{where}.{k}", a.get(k), b.get(k)) for k in keys]
    elif isinstance(a, list) and isinstance(b, list):
        n = max(len(a), len(b))
        pairs = [(f"{where}[{i}]", a[i] if i < len(a) else None, b[i] if i < len(b) else None) for i in range(n)]
    else:
        return where, a, b
    for path, left, right in pairs:
        if left != right:
            return (
                first_difference(left, right, path) if left is not None and right is not None else (path, left, right)
            )
    return where, a, b
