"""What an episode is flown under, and what came of many of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Message:
    """One channel in an adversary's hands, who hears what the policy hears and says a function of it.

    The channel's elements become `base` + `reach` tanh(`spread` (`read` . observation + `bias`) + `offset`), within the
    contract's limits, where `base` is what the channel would have said, or `middle` if there is one.
    """

    channel: str
    read: tuple[float, ...]
    """(observations,) in contract order"""
    bias: float
    spread: tuple[float, ...]
    """(size,), as are all that follow"""
    offset: tuple[float, ...]
    reach: tuple[float, ...]
    middle: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Condition:
    """Nominal as it stands: the file behind its envelope, on what the task's own evaluation draws."""

    parameters: Mapping[str, float] = field(default_factory=dict)
    """of the task, by name, in their unit; the others are drawn"""
    rate: float = 1.0
    """control periods in the time of one"""
    repeat: int = 1
    """periods for which an action is held before the policy is asked again"""
    late_periods: int = 0
    """every sample arrives so much later, and says so"""
    noise: float = 1.0
    """standard deviation of the sensors' noise, in those of the contract"""
    bias: float = 0.0
    """of every sensor's element, up or down for the whole episode, in the same"""
    outage_periods: int = 0
    """one sensor, drawn for the episode, is silent for so long, once"""
    loss: float = 0.0
    """share of periods, each by itself, in which no sample arrives"""
    message: Message | None = None
    envelope: bool = True


@dataclass(frozen=True, order=True)
class Outcome:
    """Of the episodes under one condition; the lesser is the worse."""

    success: float
    """share that the task calls a success"""
    kept: float
    """share of an episode's length that it lasted, mean"""
    reward: float
    """a step, mean over all steps"""
    fell_back: float
    """share in which the envelope took over"""


@dataclass(frozen=True)
class Case:
    """Episodes that can be flown again: the same file, condition, count and seed come to the same outcome."""

    name: str
    policy_hash: str
    condition: Condition
    episodes: int
    seed: int
    outcome: Outcome
