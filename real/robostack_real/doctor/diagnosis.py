"""Findings from what was heard: each with what was wanted, what was found, and what to do."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from robostack.messages import ATTITUDE, BODY, WORLD, Topic, element_names
from robostack.spec import Channel, PolicySpec
from robostack_real.doctor.finding import Finding
from robostack_real.doctor.listening import Heard

SLOW, STAMP_AHEAD_S = 0.9, 0.05
WINDOW_S, STILL = 0.1, 0.1
"""over which changes are looked at, so that noise does not drown them; rad/s or m/s below which nothing moves"""
FACTORS = (
    (1000.0, "a thousand times too large: milli-units?"), (0.001, "a thousand times too small: kilo-units?"),
    (57.29578, "57 times too large: degrees instead of radians?"), (0.0174533, "57 times too small?"),
)  # fmt: skip


def diagnose(spec: PolicySpec, heard: Iterable[Heard]) -> list[Finding]:
    return [finding for h in heard for finding in _topic(spec, h)]


def _topic(spec: PolicySpec, heard: Heard) -> list[Finding]:
    topic = heard.topic
    findings = [
        Finding("error", topic.name, "type", f"{', '.join(nodes)} sends {kind}",
                f"the contract's channels {_names(topic)} travel as {topic.type}")
        for kind, nodes in heard.other_types.items()
    ]  # fmt: skip
    if not heard.arrivals_s:
        remedy = "is its node running, in this ROS_DOMAIN_ID, with ROS_AUTOMATIC_DISCOVERY_RANGE wide enough?"
        if heard.senders:
            remedy = f"{', '.join(heard.senders)} publishes it and is silent"
        if not heard.other_types:
            findings.append(Finding("error", topic.name, "messages", "none came", remedy))
        return findings
    if len(set(heard.senders)) > 1:
        senders = ", ".join(heard.senders)
        findings.append(Finding("warning", topic.name, "senders", senders, "one of them has to be silent"))
    for complaint, count in heard.complaints.items():
        findings.append(Finding("error", topic.name, "content", f"{count} messages: {complaint}", "change the sender"))
    findings.append(_rate(spec, heard))
    findings += _stamps(spec, heard)
    if heard.values:
        for channel in topic.channels:
            if isinstance(channel, Channel):
                findings += _values(topic.name, channel, np.stack([v[channel.name] for v in heard.values]))
        findings += _consistent(heard)
    return findings


def _rate(spec: PolicySpec, heard: Heard) -> Finding:
    """Sensors are wanted once a control period; anything has to come more often than it may be old."""
    gaps = np.diff(heard.arrivals_s)
    found = 1.0 / float(np.mean(gaps)) if len(gaps) else 0.0
    worst = float(gaps.max()) if len(gaps) else np.inf
    oldest = min(c.max_age_s for c in heard.topic.channels if isinstance(c, Channel))
    sensor = any(isinstance(c, Channel) and c.source == "sensor" for c in heard.topic.channels)
    wanted = 1.0 / spec.control_dt_s if sensor else 1.0 / oldest
    text = f"{found:.1f} Hz, longest gap {1e3 * worst:.0f} ms"
    if worst > oldest:
        return Finding("error", heard.topic.name, "rate", text,
                       f"the policy trips when it is older than {1e3 * oldest:.0f} ms")  # fmt: skip
    if found < SLOW * wanted:
        return Finding("warning", heard.topic.name, "rate", text, f"the policy was trained with {wanted:.0f} Hz")
    return Finding("ok", heard.topic.name, "rate", text)


def _stamps(spec: PolicySpec, heard: Heard) -> list[Finding]:
    if not heard.ages_s:
        return []
    name, ages = heard.topic.name, np.array(heard.ages_s)
    repeated = sum(a == b for a, b in zip(heard.stamps_ns, heard.stamps_ns[1:], strict=False))
    if not any(heard.stamps_ns):
        return [Finding("warning", name, "stamps", "all zero", "stamp each message, or a repetition passes for news")]
    if repeated:
        return [Finding("error", name, "stamps", f"{repeated} of {len(ages)} repeat the one before",
                        "a sample sent again is dropped; stamp when you measure, not when you send")]  # fmt: skip
    median, text = (
        float(np.median(ages)),
        f"age on arrival {1e3 * np.median(ages):.1f} ms, worst {1e3 * ages.max():.1f}",
    )
    if median < -STAMP_AHEAD_S or median > 60.0:
        remedy = "the clocks differ, or a simulator keeps its own time; the policy ages by arrival and does not mind"
        return [Finding("warning", name, "stamps", text, remedy)]
    trained = spec.obs_delay_s[1] + spec.control_dt_s
    sensor = any(isinstance(c, Channel) and c.source == "sensor" for c in heard.topic.channels)
    if sensor and median > trained:
        remedy = f"the policy was trained with at most {1e3 * trained:.0f} ms; train with a longer delay"
        return [Finding("error", name, "latency", text, remedy)]
    return [Finding("ok", name, "latency", text)]


def _values(topic: str, channel: Channel, values: np.ndarray) -> list[Finding]:
    """Limits, and numbers."""
    low, high = np.array(channel.per_element("low")), np.array(channel.per_element("high"))
    finite = np.isfinite(values).all(1)
    names = np.array(element_names(channel))
    if not finite.all():
        bad = names[~np.isfinite(values).all(0)]
        found = f"{(~finite).sum()} of {len(values)} are not numbers: {' '.join(bad)}"
        return [Finding("error", topic, channel.name, found, "leave out what has not been measured")]
    outside = ((values < low) | (values > high)).any(0)
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        worst = float(values[np.abs(values[:, i]).argmax(), i])
        remedy = f"it has to be in {channel.unit}; such samples are dropped, then the policy trips"
        found = f"{names[i]} = {worst:g}, limits [{low[i]:g}, {high[i]:g}]"
        return [Finding("error", topic, channel.name, found, remedy)]
    if channel.frame == ATTITUDE and not np.allclose(np.linalg.norm(values, axis=1), 1.0, atol=0.05):
        norm = float(np.median(np.linalg.norm(values, axis=1)))
        return [Finding("error", topic, channel.name, f"its length is {norm:.3f}", "a rotation is a unit quaternion")]
    return [Finding("ok", topic, channel.name, "numbers within their limits")]


def _consistent(heard: Heard) -> list[Finding]:
    """Rates against the changes of what they are rates of: a wrong unit or frame shows as soon as something moves."""
    kinds = {(c.unit, c.frame): c.name for c in heard.topic.channels if isinstance(c, Channel)}
    times = np.array(heard.stamps_ns) * 1e-9
    if heard.complaints or len(times) < 20 or np.any(np.diff(times) <= 0):
        return []
    span = max(1, round(WINDOW_S / float(np.median(np.diff(times)))))
    found = []
    for of, rate, change in ((("m", WORLD), ("m/s", WORLD), _moved), (("1", ATTITUDE), ("rad/s", BODY), _turned)):
        if of in kinds and rate in kinds and len(times) > 2 * span:
            values, told = (np.stack([v[kinds[k]] for v in heard.values]) for k in (of, rate))
            sums = np.cumsum(told, axis=0)
            derived = change(values[:-span], values[span:]) / (times[span:] - times[:-span])[:, None]
            found.append(
                _compare(heard.topic.name, kinds[rate], kinds[of], derived, (sums[span:] - sums[:-span]) / span)
            )
    return found


def _compare(topic: str, rate: str, of: str, derived: np.ndarray, told: np.ndarray) -> Finding:
    """Slope of what is told over what is derived, (T, 3) each."""
    what, rms = f"{rate} against {of}", [float(np.sqrt(np.mean(x**2))) for x in (derived, told)]
    if max(rms) < STILL:
        return Finding("ok", topic, what, "stands still: move it by hand to compare")
    slope = float((derived * told).sum()) / max(float((derived**2).sum()), 1e-12)
    for factor, words in FACTORS:
        if 0.5 < slope / factor < 2.0:
            return Finding("error", topic, what, f"{slope:.3g} times the change of {of}", words)
    if slope < -0.5:
        return Finding("error", topic, what, "the opposite sign", "another handedness or frame?")
    if float(np.linalg.norm(told - slope * derived)) > 0.8 * float(np.linalg.norm(told)):
        return Finding("warning", topic, what, f"do not go together (slope {slope:.2f})",
                       "another frame? The twist of an Odometry is in the body's frame (REP-105)")  # fmt: skip
    return Finding("ok", topic, what, f"go together (slope {slope:.2f})")


def _moved(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(T, 3) m"""
    return np.asarray(after - before)


def _turned(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(T, 3) rad in the body's frame: 2 vec(a^-1 b) for small turns; quat_wxyz."""
    vector = a[:, :1] * b[:, 1:] - b[:, :1] * a[:, 1:] - np.cross(a[:, 1:], b[:, 1:])
    return np.asarray(2.0 * np.sign((a * b).sum(1, keepdims=True)) * vector)


def _names(topic: Topic) -> str:
    return ", ".join(c.name for c in topic.channels)
