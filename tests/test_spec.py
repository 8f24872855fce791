"""Claims: a digest changes exactly with what it covers, and every refusal names its field."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robostack.spec import (
    SECTIONS,
    ActionChannel,
    Channel,
    ContractError,
    Cut,
    Envelope,
    HoldLast,
    LevelDescend,
    PolicySpec,
    RampTo,
    SelfTest,
    canonical_json,
    first_difference,
    policy_hash,
)

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
NUMBERS = st.floats(-1e6, 1e6)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def channels(draw, name):
    shape = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    size = math.prod(shape)
    low = draw(st.lists(NUMBERS, min_size=size, max_size=size))
    high = [v + draw(st.floats(1.0, 1e3)) for v in low]
    return Channel(name=name, shape=shape, unit=draw(st.text(max_size=5)), low=tuple(low), high=tuple(high),
                   noise_std=(draw(st.floats(0, 1)),), hold_periods=draw(st.integers(0, 9)))  # fmt: skip


@st.composite
def specs(draw):
    taken = {"applied_action", "state", "action", "next_state", "force"}
    names = draw(st.lists(NAMES.filter(lambda n: n not in taken), min_size=1, max_size=4, unique=True))
    size = draw(st.integers(1, 4))
    low = tuple(draw(NUMBERS) for _ in range(size))
    force = ActionChannel(name="force", elements=tuple(f"f{i}" for i in range(size)), unit="N", low=low,
                          high=tuple(v + 1.0 for v in low), neutral=low)  # fmt: skip
    last = draw(st.sampled_from([HoldLast(), Cut(value=low), RampTo(target=low, rate_per_s=(0.5,) * size)]))
    return PolicySpec(task=draw(NAMES), control_dt_s=draw(st.floats(1e-4, 1.0)),
                      observations=tuple(draw(channels(n)) for n in names), actions=(force,),
                      envelope=Envelope(fallback=(last,)))  # fmt: skip


@given(specs())
@settings(max_examples=60)
def test_a_spec_survives_its_own_json_to_the_last_bit(spec):
    again = PolicySpec.from_json(spec.canonical_json())
    assert again == spec
    assert again.canonical_json() == spec.canonical_json()
    assert again.interface_hash == spec.interface_hash


@given(specs())
@settings(max_examples=30)
def test_digests_do_not_depend_on_how_the_json_was_printed(spec):
    loose = json.dumps(json.loads(spec.canonical_json()), indent=3, sort_keys=False)
    assert PolicySpec.from_json(loose).section_digests() == spec.section_digests()


@given(specs(), specs())
@settings(max_examples=60)
def test_interfaces_agree_exactly_when_their_hashes_do(a, b):
    if a.interface_hash == b.interface_hash:
        a.check_interface(b)
    else:
        with pytest.raises(ContractError, match=r"policy has .*, device has "):
            a.check_interface(b)


@given(JSON, JSON)
@settings(max_examples=100)
def test_the_first_difference_is_one_and_is_where_it_says(a, b):
    where, left, right = first_difference({"x": a}, {"x": b}, "root")
    if a == b:
        assert left == right
    else:
        assert left != right
        assert where.startswith("root.x")


@given(st.dictionaries(st.text(), JSON, max_size=5))
@settings(max_examples=60)
def test_canonical_json_is_json_and_ignores_key_order(value):
    data = canonical_json(value)
    assert json.loads(data, parse_int=float) == value  # RFC 8785 prints 1e20 without its exponent
    assert canonical_json(dict(reversed(value.items()))) == data


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [1.0, {"a": math.nan}]])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(ContractError, match="not representable"):
        canonical_json(value)


CHANGES = {
    "timing": {"control_dt_s": 0.02},
    "observations": lambda s: {
        "observations": (s.observations[0].model_copy(update={"unit": "mm"}), *s.observations[1:])
    },
    "actions": lambda s: {"actions": (s.actions[0].model_copy(update={"slew_per_s": (1.0,) * 4}),)},
    "state": lambda s: {"state": type(s.state)(reset=(0.0, 0.0))},
    "envelope": lambda s: {"envelope": s.envelope.model_copy(update={"tumble": None})},
}


@pytest.mark.parametrize("section", SECTIONS)
def test_a_change_moves_the_digest_of_its_section_and_of_no_other(quadrotor_spec, section):
    change = CHANGES[section]
    other = quadrotor_spec.model_copy(update=change if isinstance(change, dict) else change(quadrotor_spec))
    before, after = quadrotor_spec.section_digests(), other.section_digests()
    assert {name for name in SECTIONS if before[name] != after[name]} == {section}
    assert other.interface_hash != quadrotor_spec.interface_hash
    field = "control_dt_s" if section == "timing" else section
    with pytest.raises(ContractError, match=rf"^{field}"):
        quadrotor_spec.check_interface(other)


def test_a_refusal_names_the_element_and_both_values(quadrotor_spec):
    c = quadrotor_spec.observations[0]
    swapped = c.model_copy(update={"elements": ("py", "px", "pz")})
    other = quadrotor_spec.model_copy(update={"observations": (swapped, *quadrotor_spec.observations[1:])})
    with pytest.raises(ContractError, match=r"observations\[0\]\.elements\[0\]: policy has 'px', device has 'py'"):
        quadrotor_spec.check_interface(other)


def test_provenance_and_self_test_are_not_part_of_the_interface(quadrotor_spec):
    other = quadrotor_spec.model_copy(
        update={"provenance": {"seed": 3}, "self_test": SelfTest(inputs=((0.0,),), outputs=((0.0,),))}
    )
    assert other.interface_hash == quadrotor_spec.interface_hash
    quadrotor_spec.check_interface(other)


def test_the_policy_hash_covers_interface_and_graph(quadrotor_spec):
    digest = quadrotor_spec.interface_hash
    assert policy_hash(digest, b"graph") == policy_hash(digest, b"graph")
    assert policy_hash(digest, b"graph") != policy_hash(digest, b"grapf")
    assert policy_hash(digest, b"graph") != policy_hash("0" * 64, b"graph")


def test_another_spec_version_is_refused_with_the_remedy(quadrotor_spec):
    text = quadrotor_spec.canonical_json().replace(b'"spec_version":1', b'"spec_version":2')
    with pytest.raises(ContractError, match=r"spec_version: .*reads version 1: export again"):
        PolicySpec.from_json(text)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("control_dt_s",), 0, "control_dt_s"),
        (("control_dt_s",), "fast", "control_dt_s"),
        (("observations", 1, "unknown_field"), 1, "observations.1.unknown_field"),
        (("observations", 0, "name"), "Position X", "observations.0.name"),
        (("observations", 0, "low"), [1e9], "low must be below high"),
        (("observations", 0, "elements"), ["px", "px", "pz"], "element names repeat"),
        (("observations", 0, "privileged"), True, "privileged"),
        (("observations", 0, "name"), "velocity", "must differ"),
        (("actions", 0, "neutral"), [9e9] * 4, "low <= neutral <= high"),
        (("envelope", "fallback"), [], "fallback"),
        (("envelope", "fallback", 0, "gain"), [[0.0] * 6], "1 rows for 4 actions"),
        (("envelope", "fallback", 0, "attitude"), "position", "it needs one of 4 elements"),
        (("envelope", "tumble", "attitude"), "nothing", "is not an observation"),
    ],
)
def test_a_wrong_field_is_named(quadrotor_spec, path, value, named):
    tree = json.loads(quadrotor_spec.canonical_json())
    spot = tree
    for key in path[:-1]:
        spot = spot[key]
    spot[path[-1]] = value
    with pytest.raises(ContractError) as caught:
        PolicySpec.from_json(json.dumps(tree))
    assert named in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"spec"', "{}", b"\xff\xfe"])
def test_what_is_no_spec_is_a_contract_error(text):
    with pytest.raises(ContractError):
        PolicySpec.from_json(text)


def test_a_ladder_must_end_in_a_rung_that_needs_no_signal(quadrotor_spec):
    descend = quadrotor_spec.envelope.fallback[0]
    assert isinstance(descend, LevelDescend)
    with pytest.raises(ValueError, match="last rung must need no signal"):
        Envelope(fallback=(descend,))


@given(specs())
@settings(max_examples=30)
def test_bounds_and_names_come_one_an_element(spec):
    for c in spec.observations:
        assert len(c.element_names) == len(set(c.element_names)) == c.size
        assert all(lo < hi for lo, hi in zip(c.per_element("low"), c.per_element("high"), strict=True))
    assert spec.observation_size == sum(c.size for c in spec.observations)
    assert len(spec.action_names) == len(spec.action_limit("low")) == spec.action_size
