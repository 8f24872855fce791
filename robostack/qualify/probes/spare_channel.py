"""One observation channel in an adversary's hands, who hears all that the policy hears: cheap talk (Lu et al., 2023).

There a policy is trained with channels that say nothing, and a message on one of them must not control it. A file is
beyond training, so this asks of it: which of its sensors it can do without (held at its mean, nothing is lost), and
whether a message there, anything that the contract allows, makes it fail. A channel that it needs may lie within
SIGMAS of its noise only. The message is a saturated linear function of the observation, found by CMA-ES.
"""

from __future__ import annotations

import numpy as np

from robostack.qualify.bench import Bench
from robostack.qualify.condition import Condition, Message, Outcome
from robostack.qualify.finding import Finding, bar_of, flown_case, row
from robostack.qualify.search import Point, worst_points
from robostack.spec import Channel

SIGMAS = 3.0
SPARE = 0.02
"""what holding a spare channel may cost, of all episodes"""
POPULATION = 10
LOUD = 3.0
"""at its loudest a message says one of two things"""
SEED = 8000


def probe(bench: Bench) -> Finding:
    bar = bar_of(bench.bars, "message")
    sensors = [c for c in bench.spec.observations if c.source == "sensor"]
    held = bench.fly([Condition(message=_silence(bench, c)) for c in sensors], SEED)
    nominal = bench.nominal.outcome(slice(None)).success
    spare = {c.name for c, o in zip(sensors, held, strict=True) if o.success >= nominal - SPARE}
    attacked = [c for c in sensors if c.name in spare or any(c.noise_std)]
    title = "Spare channel"
    why = (
        "One channel driven by an adversary who hears what the policy hears: a channel that the policy can do without "
    )
    why += f"over all that the contract allows, one that it needs within {SIGMAS:g} of its noise's standard deviations."
    if not attacked:
        return Finding(title, why, [row("adversarial channel", None, bar, "none is spare, none has noise")])
    each = max(1, bench.episodes // 8)
    flights = iter(range(SEED + 100, SEED + 100_000, POPULATION * len(attacked)))

    def flies(points: list[list[Point]]) -> list[list[Outcome]]:
        told = [
            Condition(message=_message(bench, c, c.name in spare, x))
            for c, xs in zip(attacked, points, strict=True)
            for x in xs
        ]
        found = bench.fly(told, next(flights), each)
        return [found[i : i + POPULATION] for i in range(0, len(found), POPULATION)]

    moving = int((bench.observed.std(0) > 0.0).sum())
    starts = [np.zeros(moving + 2 * c.size) for c in attacked]
    found = worst_points(starts, flies, bench.generations, POPULATION, bench.seeded(SEED))
    flown = [
        flown_case(bench, f"message_{c.name}", [Condition(message=_message(bench, c, c.name in spare, x)) for x in xs],
                   SEED - 500 + 10 * i)
        for i, (c, xs) in enumerate(zip(attacked, found, strict=True))
    ]  # fmt: skip
    rows = [
        row(
            f"adversary on {c.name.replace('_', ' ')}", case.outcome.success, bar,
            "spare: anything in its range" if c.name in spare else f"within {SIGMAS:g} deviations of its noise",
        )
        for c, (case, _) in zip(attacked, flown, strict=True)
    ]  # fmt: skip
    return Finding(title, why, rows, worst=min(flown, key=lambda found: found[0].outcome))


def _silence(bench: Bench, channel: Channel) -> Message:
    """The channel at its mean, whatever happens."""
    mean, size = _of(bench, channel, bench.observed.mean(0)), channel.size
    still = (0.0,) * size
    return Message(channel.name, (0.0,) * bench.spec.observation_size, 0.0, still, still, still, mean)


def _message(bench: Bench, channel: Channel, spare: bool, point: Point) -> Message:
    """Of a point in [-1, 1]: weights on the elements of the observation that move, the message's spread, its offset."""
    mean, std = bench.observed.mean(0), bench.observed.std(0)
    moving, size = np.flatnonzero(std > 0.0), channel.size
    weights, spread, offset = np.split(point, [len(moving), len(moving) + size])
    read = np.zeros(len(std))
    read[moving] = weights / std[moving]
    if spare:
        low, high = (np.array(channel.per_element(end)) for end in ("low", "high"))
        reach, middle = 0.5 * (high - low), tuple((0.5 * (high + low)).tolist())
    else:
        reach, middle = SIGMAS * np.array(channel.per_element("noise_std")), None
    said, offsets = tuple((LOUD * spread).tolist()), tuple((LOUD * offset).tolist())
    return Message(
        channel.name, tuple(read.tolist()), -float(read @ mean), said, offsets, tuple(reach.tolist()), middle
    )


def _of(bench: Bench, channel: Channel, values: np.ndarray) -> tuple[float, ...]:
    """The channel's elements of (observations,)."""
    before = sum(c.size for c in bench.spec.observations[: bench.spec.observations.index(channel)])
    return tuple(values[before : before + channel.size].tolist())
