"""Whatever comes in, the Python and the C envelope do the same to the bit and stay within their limits."""

import numpy as np
import pytest
from contracts import random_spec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ports import Port, PythonPort

from robostack.runtime.envelope import Reason
from robostack.spec import Envelope, LevelDescend, PolicySpec

SEEDS = range(6)
GOOD, EDGE, HOSTILE, ZERO, DENORMAL, MISSING = range(6)
WEIRD = np.array([np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e30, 1e-30, -0.0], dtype=np.float32)
WEIRD_AGES = np.array([np.nan, -1.0, np.inf, -0.0, 1e-45, 3.4e38, 1e9], dtype=np.float32)


class Hostility:
    """Draws the samples of one tick: `kinds` says for each channel how bad they are."""

    def __init__(self, spec: PolicySpec) -> None:
        self.spec = spec
        self.low = np.array([v for c in spec.observations for v in c.per_element("low")], dtype=np.float32)
        self.high = np.array([v for c in spec.observations for v in c.per_element("high")], dtype=np.float32)
        self.sizes = [c.size for c in spec.observations]

    def samples(self, kinds: list[int], bad_age: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        kind = np.repeat(kinds, self.sizes)
        n = kind.size
        unit = rng.uniform(-1, 1, n).astype(np.float32)
        weird = np.where(rng.random(n) < 0.5, WEIRD[rng.integers(0, WEIRD.size, n)], unit)
        edge = np.where(unit < 0, self.low, self.high)
        observation = np.select(
            [kind == EDGE, kind == HOSTILE, kind == ZERO, kind == DENORMAL],
            [edge, weird, np.zeros(n), unit * np.float32(1e-40)],
            unit,
        ).astype(np.float32)
        fresh = np.array(kinds) != MISSING
        age_s = rng.choice(np.array([0, 0.001, 0.02], dtype=np.float32), len(kinds))
        if bad_age < len(kinds):
            age_s[bad_age] = rng.choice(WEIRD_AGES)
        return observation, fresh, age_s

    def policy(self, bad: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        out = rng.normal(0, 3, self.spec.action_size + self.spec.state.size).astype(np.float32)
        if bad:
            out[rng.integers(0, out.size)] = rng.choice(WEIRD)
        return out[: self.spec.action_size], out[self.spec.action_size :]


def step_both(ports: list[Port], hostility: Hostility, kinds, bad_age, missed, bad_policy, arm, seed) -> None:
    """One tick of both ports with the same inputs; asserts that they agree and keep to the limits."""
    rng = np.random.default_rng(seed)
    samples, answer = hostility.samples(kinds, bad_age, rng), hostility.policy(bad_policy, rng)
    low, high = (np.float32(hostility.spec.action_limit(f)) for f in ("low", "high"))
    actions = []
    for port in ports:
        if arm is not None:
            port.arm(arm)
        port.script(*answer)
        action = port.tick(*samples, missed)
        assert np.isfinite(action).all()
        assert (action >= low).all()
        assert (action <= high).all()
        actions.append(action.tobytes())
    assert actions[0] == actions[1]
    assert ports[0].seen() == ports[1].seen()


def tick_strategy(num_channels: int) -> st.SearchStrategy:
    kind = st.sampled_from([GOOD] * 30 + [EDGE, HOSTILE, ZERO, DENORMAL, MISSING, MISSING])
    return st.tuples(
        st.lists(kind, min_size=num_channels, max_size=num_channels),
        st.integers(0, 20),
        st.sampled_from([0] * 20 + [1, 7, 2**32 - 1]),
        st.sampled_from([False] * 9 + [True]),
        st.sampled_from([None] * 20 + [True, True, False]),
        st.integers(0, 2**32 - 1),
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_both_ports_agree_to_the_bit_on_hostile_inputs(seed, c_port):
    spec = random_spec(seed)
    hostility = Hostility(spec)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(tick_strategy(len(spec.observations)), max_size=40))
    def agree(ticks):
        ports = [PythonPort(spec), c_port(spec)]
        for port in ports:
            port.arm()
        for tick in ticks:
            step_both(ports, hostility, *tick)

    agree()


def test_long_hostile_flights_agree_and_reach_every_reason_and_rung(c_port):
    reasons, kinds_of_rung = set(), set()
    for seed in SEEDS:
        spec = random_spec(seed)
        hostility, rng, n = Hostility(spec), np.random.default_rng(seed), len(spec.observations)
        for i in range(1500):
            if i % 100 == 0:
                ports = [PythonPort(spec), c_port(spec)]
            kinds = rng.choice([GOOD, EDGE, HOSTILE, ZERO, MISSING], n, p=[0.9] + [0.025] * 4)
            arm = rng.choice([None, True, False], p=[0.89, 0.1, 0.01])
            bad_age, bad_policy = rng.integers(0, 200), rng.random() < 0.05
            step_both(ports, hostility, list(kinds), bad_age, 0, bad_policy, arm, rng.integers(2**32))
            seen = ports[0].seen()
            reasons.add(seen.reason)
            kinds_of_rung.add(spec.envelope.fallback[seen.rung].kind if seen.rung >= 0 else "policy")
    assert reasons == set(Reason)
    assert kinds_of_rung == {"policy", "level_descend", "ramp_to", "hold_last", "cut"}


def test_a_level_descend_that_overflows_falls_to_the_next_rung(c_port):
    spec = random_spec(0)
    n = spec.action_size
    huge = LevelDescend(base=(3e38,) * n, gain=((3e38,) * 6,) * n, max_s=1.0)
    envelope = Envelope(fallback=(huge, spec.envelope.fallback[-1]))
    spec = spec.model_copy(update={"envelope": envelope})
    ports = [PythonPort(spec), c_port(spec)]
    hostility = Hostility(spec)
    for port in ports:
        port.arm()
    good = [GOOD] * len(spec.observations)
    for seed in range(20):
        step_both(ports, hostility, good, 99, 0, seed == 3, None, seed)
    assert ports[0].seen().tripped
    assert ports[0].seen().rung == 1
