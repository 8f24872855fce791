"""Claims: many envelopes in arrays are so many of the one that flies, to the bit, whatever comes in."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "envelope"))
from contracts import random_spec

from robostack.qualify.envelopes import Envelopes
from robostack.runtime.envelope import Envelope, Reason

ROWS, TICKS = 24, 120
WEIRD = np.array([np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-30, -0.0], np.float32)


def one_tick(envelope, observation, fresh, age_s, missed, action, bad_state):
    """As runtime/controller.py drives it."""
    envelope.missed(missed)
    if not envelope.observe(observation, fresh, age_s):
        return envelope.act(None)
    if bad_state:
        envelope.trip(Reason.NON_FINITE_STATE)
    return envelope.act(action)


def many_ticks(envelopes, rows, observation, fresh, age_s, missed, action, bad_state):
    free = envelopes.observe(rows, observation, fresh, age_s, missed)
    envelopes.trip_state(rows[free & bad_state])
    return envelopes.act(rows, np.where(free[:, None], action, np.float32(np.nan)))


def test_rows_are_envelopes_to_the_bit_on_hostile_inputs():
    reasons = set()
    for seed in range(3):
        reasons |= hostile_flights(seed)
    assert reasons == set(Reason)


def hostile_flights(seed):
    """Drives both with the same; asserts that they agree, and returns the reasons of all trips."""
    spec, random = random_spec(seed), np.random.default_rng(seed)
    singles, many = [Envelope(spec) for _ in range(ROWS)], Envelopes(spec, ROWS)
    for single in singles:
        single.arm()
    channels, actions = len(spec.observations), spec.action_size
    ends = dict(zip((c.name for c in spec.observations), np.cumsum([c.size for c in spec.observations]), strict=True))
    for tick in range(TICKS):
        rows = np.flatnonzero(random.random(ROWS) < 0.9)
        n = len(rows)
        observation = random.uniform(-1, 1, (n, spec.observation_size)).astype(np.float32)
        weird = random.random(observation.shape) < 0.003
        observation[rows < 2, ends["attitude"] - 4 : ends["attitude"]] = (0.0, 1.0, 0.0, 0.0)  # upside down
        observation[weird] = random.choice(WEIRD, weird.sum())
        fresh = random.random((n, channels)) < (0.98 if tick else 0.995)
        age_s = np.zeros((n, channels), np.float32)
        odd = random.random(age_s.shape) < 0.004
        age_s[odd] = random.choice(np.array([0.001, 0.02, -1.0, np.nan], np.float32), odd.sum())
        missed = random.choice([0] * 200 + [1, 5], n)
        action = random.normal(0, 3, (n, actions)).astype(np.float32)
        action[random.random(n) < 0.004, 0] = np.nan
        bad_state = random.random(n) < 0.004
        given = many_ticks(many, rows, observation, fresh, age_s, missed, action, bad_state)
        for k, i in enumerate(rows):
            alone = one_tick(singles[i], observation[k], fresh[k], age_s[k], missed[k], action[k], bad_state[k])
            assert given[k].tobytes() == alone.tobytes()
            assert many.observation[i].tobytes() == singles[i].observation.tobytes()
            assert (many.tripped[i], many.reason[i]) == (singles[i].tripped, singles[i].reason)
    return {Reason(r) for r in many.reason}


def test_without_an_envelope_nothing_is_refused_limited_or_tripped():
    spec = random_spec(1)
    many = Envelopes(spec, 2, guarded=np.array([True, False]))
    rows = np.arange(2)
    far = np.full((2, spec.observation_size), 3.4e38, np.float32)
    fresh = np.ones((2, len(spec.observations)), bool)
    free = many.observe(rows, far, fresh, np.zeros(fresh.shape, np.float32))
    assert not many.tripped[1] and free[1] and (many.observation[1] == far[1]).all()
    action = np.full((2, spec.action_size), 3.3e38, np.float32)
    assert (many.act(rows, action)[1] == action[1]).all()
