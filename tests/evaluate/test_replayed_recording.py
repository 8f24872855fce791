"""Claims: a replay asks a policy what it would have done where another one flew; a bag that does not fit is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Browser

sys.path.insert(0, str(Path(__file__).parents[1] / "record"))
from flying import DT_S, SPEC, make_policy, measured

from robostack import cli
from robostack.evaluate import bag
from robostack.evaluate.flight import STATUS, Column, Flight
from robostack.evaluate.mend import MAGIC
from robostack.evaluate.replay import Recording, Replay, read, replay
from robostack.messages import action_topic, observation_topics
from robostack.runtime.controller import Controller
from robostack.runtime.runner import Runner, load
from robostack.spec import ContractError, PolicySpec

BEGAN_NS = 1_700_000_000_000_000_000
Change = Callable[[int, dict[str, np.ndarray]], dict[str, np.ndarray] | None]
"""What is measured in period k becomes what the policy sees, or nothing."""


@pytest.fixture
def policy(tmp_path: Path) -> Runner:
    return Runner(make_policy(tmp_path / "policy.onnx"))


def write(path: Path, policy: Runner, periods: int = 200, *, change: Change = lambda k, v: v, namespace: str = "",
          spec: PolicySpec = SPEC, leave_out: tuple[str, ...] = (), status: dict[int, str] | None = None,
          pause_at: int = -1) -> Path:  # fmt: skip
    """A bag of a stack in which `policy` commands, with jitter in every arrival, as `robostack record` writes it."""
    random, make = np.random.default_rng(0), bag.Messages()
    controller, topics = Controller(policy, policy.spec), (*observation_topics(spec), action_topic(spec))
    controller.arm()
    with bag.Bag(path, make) as file:
        lines = {t.name: (t, t.blank(make.new), file.topic(namespace + t.name, t.type)) for t in topics
                 if t.name not in leave_out}  # fmt: skip
        file.say(file.topic(namespace + "about", bag.TEXT), BEGAN_NS, json.dumps({"policy_hash": policy.policy_hash}))
        told = file.topic("status", bag.TEXT) if status else None

        def put(name: str, now_ns: int, values: dict[str, np.ndarray]) -> None:
            if name in lines:
                topic, message, line = lines[name]
                topic.write(message, values)
                file.put(line, now_ns, message)

        start_ns = BEGAN_NS
        for k in range(periods):
            if k == pause_at:
                start_ns += 5 * 10**9
                controller.arm(False)
                controller.arm()
            now_ns = start_ns + round(k * DT_S * 1e9) + int(random.integers(0, 2_000_000))
            if told is not None and status and k in status:
                file.say(told, now_ns, status[k])
            seen = change(k, measured(k))
            samples = {}
            if seen:
                put("odom", now_ns, seen)
                if "setpoint" in seen:
                    put("setpoint", now_ns + 1000, seen)
                samples = {n: (v, 0.0) for n, v in seen.items()}
            action = controller.tick(samples)
            put("action", now_ns + 400_000, {spec.actions[0].name: action})
    return path


def replayed(path: Path, policy: Runner) -> tuple[Recording, Replay]:
    recording = read(path, policy.spec)
    return recording, replay(policy, recording)


def test_the_policy_that_was_recorded_does_the_same_again(tmp_path: Path, policy: Runner) -> None:
    recording, result = replayed(write(tmp_path / "x.mcap", policy), policy)
    assert recording.policy_hash == policy.policy_hash
    assert result.compared.all() and not result.trips and result.late_s == 0
    np.testing.assert_array_equal(result.found, result.logged)
    assert np.ptp(result.found, axis=0).min() > 100  # and it did something


def test_another_policy_is_compared_period_by_period_from_what_was_applied(tmp_path: Path, policy: Runner) -> None:
    other = Runner(make_policy(tmp_path / "other.onnx", seed=1))
    _, result = replayed(write(tmp_path / "x.mcap", policy), other)
    state, applied = other.reset(), np.zeros(4, np.float32)
    setpoint = np.zeros(9)
    for k in range(200):
        values = measured(k)
        setpoint = values.get("setpoint", setpoint)
        action, state = other.infer({**values, "setpoint": setpoint}, applied, state)
        np.testing.assert_allclose(result.found[k], np.clip(action, 0, 2000), atol=1e-3)
        applied = result.logged[k].astype(np.float32)
    worst = np.abs(result.found - result.logged)
    for i, d in enumerate(result.elements):
        assert (d.name, d.unit) == (SPEC.actions[0].elements[i], "rad/s")
        assert d.largest == pytest.approx(worst[:, i].max()) and d.share == pytest.approx(d.largest / 2000)
        assert d.rms == pytest.approx(np.sqrt((worst[:, i] ** 2).mean()))
        assert d.at_s == pytest.approx(worst[:, i].argmax() * DT_S, abs=0.003)


def test_a_trip_is_told_with_its_reason_channel_and_time_and_hides_no_other(tmp_path: Path, policy: Runner) -> None:
    def dead_then_bad(k: int, values: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        if 50 <= k < 90:
            return None  # 0.2 s is the oldest that a position may be
        return {**values, "velocity": np.array([99.0, 0, 0])} if k >= 150 else values

    lenient = {"max_age_s": 60.0, "low": (-1e3,), "high": (1e3,)}
    observations = tuple(c.model_copy(update=lenient) for c in SPEC.observations)
    flown = Runner(make_policy(tmp_path / "lenient.onnx", observations=observations))
    _, result = replayed(write(tmp_path / "x.mcap", flown, change=dead_then_bad), policy)
    assert [(t.reason, t.channel) for t in result.trips] == [
        ("stale", "position"), ("invalid", "velocity"), ("stale", "velocity"),
    ]  # fmt: skip
    assert [t.at_s for t in result.trips] == pytest.approx([0.70, 1.53, 1.70], abs=0.03)
    assert [t.periods for t in result.trips] == pytest.approx([20, 17, 30], abs=2)
    assert result.compared.sum() == 200 - sum(t.periods for t in result.trips)


def test_a_pause_is_another_activation(tmp_path: Path, policy: Runner) -> None:
    _, result = replayed(write(tmp_path / "x.mcap", policy, pause_at=100), policy)
    np.testing.assert_array_equal(result.found, result.logged)
    assert result.compared.all() and not result.trips


def test_only_what_the_policy_commanded_is_compared(tmp_path: Path, policy: Runner) -> None:
    status = {0: "stock", 60: "policy", 160: "stock"}
    _, result = replayed(write(tmp_path / "x.mcap", policy, status=status), policy)
    assert np.flatnonzero(result.compared)[[0, -1]].tolist() == [60, 159]


def test_a_policy_of_another_rate_ticks_at_its_own(tmp_path: Path, policy: Runner) -> None:
    slower = Runner(make_policy(tmp_path / "slow.onnx", control_dt_s=2 * DT_S))
    _, result = replayed(write(tmp_path / "x.mcap", policy), slower)
    assert len(result.time_s) == pytest.approx(100, abs=1)
    assert result.compared.mean() > 0.97 and not result.trips


def test_messages_sent_before_all_channels_were_seen_are_not_compared(tmp_path: Path, policy: Runner) -> None:
    _, result = replayed(write(tmp_path / "x.mcap", policy, change=lambda k, v: v if k >= 5 else None), policy)
    assert np.flatnonzero(result.compared)[0] == 10  # the first setpoint
    assert result.late_s == pytest.approx(0.1, abs=0.003)
    assert not result.trips


def test_a_namespace_is_found_and_two_have_to_be_told_apart(tmp_path: Path, policy: Runner) -> None:
    path = write(tmp_path / "x.mcap", policy, 20, namespace="/drone1/")
    assert replayed(path, policy)[1].compared.all()
    assert read(path, policy.spec, "drone1").policy_hash == policy.policy_hash
    with pytest.raises(ContractError, match=r"no topic odom, .*it has /drone1/about"):
        read(path, policy.spec, "drone2")


def simulated(policy: Runner, periods: int = 100) -> Flight:
    """A flight as `robostack fly` keeps it: what was measured is the truth, and the setpoint is there."""
    controller = Controller(policy, policy.spec)
    controller.arm()
    rows: dict[str, list[Any]] = {}
    setpoint = np.zeros(9)
    for k in range(periods):
        values = measured(k)
        setpoint = values.setdefault("setpoint", setpoint)
        values = {n: v.astype(np.float32) for n, v in values.items()}
        action = controller.tick({n: (v, 0.0) for n, v in values.items()})
        for name, value in {**values, "action": action, "reference": setpoint[:3]}.items():
            rows.setdefault(name, []).append(value)
    units = {c.name: c.unit for c in SPEC.observations} | {"action": "rad/s", "reference": "m"}
    names = {"action": SPEC.action_names}
    columns = {n: Column(np.stack(v), units[n], names.get(n, ())) for n, v in rows.items()}
    return Flight("hover", DT_S, columns, np.full(periods, STATUS.index("policy"), np.uint8))


def test_a_flight_is_replayed_from_its_bag_and_from_its_log(tmp_path: Path, policy: Runner) -> None:
    flight = simulated(policy)
    _, result = replayed(bag.save(flight, tmp_path / "x.mcap", BEGAN_NS), policy)
    assert result.compared.all() and max(d.share for d in result.elements) < 1e-3  # rotated and back
    assert cli.main(["replay", str(flight.save(tmp_path / "x.npz")), "--policy", policy.policy.origin]) == 0


def test_what_is_no_bag_and_what_was_cut_is_said_with_its_remedy(tmp_path: Path, policy: Runner) -> None:
    path = write(tmp_path / "x.mcap", policy, 20)
    for size in (path.stat().st_size - 1, path.stat().st_size // 2, 20):
        cut = tmp_path / f"cut{size}.mcap"
        cut.write_bytes(path.read_bytes()[:size])
        with pytest.raises(ContractError, match=rf"cut{size}\.mcap: cut before its end; .*record --mend"):
            read(cut, policy.spec)
    for name, data in (("notes.mcap", b"not a bag"), ("empty.mcap", b""), ("notes.txt", b"?")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ContractError, match=f"{name}: no bag, or a damaged one"):
            read(tmp_path / name, policy.spec)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent.mcap", policy.spec)
    path.write_bytes(path.read_bytes()[:-600] + bytes(592) + MAGIC)
    with pytest.raises(ContractError, match="no bag, or a damaged one"):
        read(path, policy.spec)


def without_setpoint(k: int, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n: v for n, v in values.items() if n != "setpoint"}


def test_a_bag_that_does_not_fit_is_named_by_what_is_wrong(tmp_path: Path, policy: Runner) -> None:
    with pytest.raises(ContractError, match=r"no topic setpoint, which carries setpoint; it has about, action, odom"):
        read(write(tmp_path / "no_setpoint.mcap", policy, 20, leave_out=("setpoint",)), policy.spec)
    with pytest.raises(ContractError, match=r"no topic action, which carries rotor_speed_command"):
        read(write(tmp_path / "no_action.mcap", policy, 20, leave_out=("action",)), policy.spec)
    quiet = write(tmp_path / "quiet.mcap", policy, 20, change=without_setpoint)
    with pytest.raises(ContractError, match=r"no message of setpoint"):
        read(quiet, policy.spec)
    rotors = SPEC.actions[0].model_copy(update={"elements": ("a", "b", "c", "d")})
    path = write(tmp_path / "x.mcap", policy, 20, spec=SPEC.model_copy(update={"actions": (rotors,)}))
    with pytest.raises(ContractError, match=r"action at 0\.00\d s: names are a, b, c, d, the contract's are front"):
        read(path, policy.spec)
    torque = SPEC.observations[4].model_copy(update={"unit": "Pa"})
    changed = SPEC.model_copy(update={"observations": (*SPEC.observations[:4], torque)})
    with pytest.raises(ContractError, match=r"setpoint is std_msgs/msg/Float64MultiArray; the contract has"):
        read(write(tmp_path / "type.mcap", policy, 20, spec=changed), policy.spec)


def test_from_the_command_line(
    tmp_path: Path, policy: Runner, capsys: pytest.CaptureFixture[str], browser: Browser
) -> None:
    path, same = str(write(tmp_path / "x.mcap", policy)), policy.policy.origin
    other = make_policy(tmp_path / "other.onnx", seed=1).origin
    assert cli.main(["replay", path, "--policy", same]) == 0
    assert "the policy that was recorded" in capsys.readouterr().out
    page = tmp_path / "page.html"
    assert cli.main(["replay", path, "--policy", other, "--json", "--plot", str(page)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False and found["compared"] == 200 and found["trips"] == []
    assert [a["name"] for a in found["actions"]] == ["front", "back", "left", "right"]
    browser.check_report(page, "replay")
    text = page.read_text()
    assert text.count("<svg") == 8 and "policy " + load(other).policy_hash[:16] in text
    assert cli.main(["replay", path, "--policy", other, "--tolerance", "1"]) == 0
    assert cli.main(["replay", path, "--policy", other, "--tolerance", "-1"]) == 1
    assert "--tolerance -1" in capsys.readouterr().err
