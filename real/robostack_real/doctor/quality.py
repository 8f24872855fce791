"""Qualities of service that keep a sender and a listener apart: DDS connects them only where what is offered is as good
as what is asked for, and else nothing arrives and nobody says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from robostack_real.doctor.finding import Finding, Level
from robostack_real.nodes import wire

WHAT = "quality of service"
UNLIMITED_S = 9e9
"""what ROS calls infinite is 9223372036.85 s"""


@dataclass(frozen=True)
class Quality:
    """What an end of a topic offers or asks for, of which DDS compares: see `misfits`."""

    node: str
    reliable: bool = True
    kept: bool = False
    """transient local: who comes late gets the last message"""
    deadline_s: float = inf
    """longest gap"""
    manual: bool = False
    """says itself that it is alive, by topic"""
    lease_s: float = inf
    """by when it says so again"""

    @classmethod
    def of(cls, node: str, profile: Any) -> Quality:
        """From rclpy's QoSProfile, or what it tells of an end on the wire."""
        from rclpy.qos import DurabilityPolicy, LivelinessPolicy, ReliabilityPolicy

        return cls(
            node, profile.reliability == ReliabilityPolicy.RELIABLE,
            profile.durability == DurabilityPolicy.TRANSIENT_LOCAL, _seconds(profile.deadline),
            profile.liveliness == LivelinessPolicy.MANUAL_BY_TOPIC, _seconds(profile.liveliness_lease_duration),
        )  # fmt: skip


@dataclass
class Ends:
    """Of one topic on the wire."""

    topic: str
    ours: Quality
    """what a node of robostack asks for there, running or not"""
    senders: list[Quality] = field(default_factory=list)
    listeners: list[Quality] = field(default_factory=list)


def ends(node: Any, names: Iterable[str]) -> list[Ends]:
    """The topics `names`, `action` and `estop` as `node` sees them, without its own ends."""
    asked: Mapping[str, Any] = {**dict.fromkeys([*names, "action"], wire.listened()), "estop": wire.kept()}
    found = []
    for name, profile in asked.items():
        senders, listeners = (
            [Quality.of(i.node_name, i.qos_profile) for i in look(name) if i.node_name != node.get_name()]
            for look in (node.get_publishers_info_by_topic, node.get_subscriptions_info_by_topic)
        )
        found.append(Ends(name, Quality.of("robostack", profile), senders, listeners))
    return found


def misfits(offered: Quality, asked: Quality) -> list[tuple[str, str]]:
    """What keeps the two apart, each with its remedy; none where they connect."""
    a, b, found = offered.node, asked.node, []
    if asked.reliable and not offered.reliable:
        found.append((f"{a} sends best effort, {b} asks for reliable", f"{a}: RELIABLE, or {b}: BEST_EFFORT"))
    if asked.kept and not offered.kept:
        remedy = f"{a}: TRANSIENT_LOCAL (ros2 topic pub: --qos-durability transient_local)"
        found.append((f"{a} sends volatile, {b} asks for transient local", remedy))
    if offered.deadline_s > asked.deadline_s:
        promise = f"promises a deadline of {offered.deadline_s:g} s" if offered.deadline_s < inf else "has no deadline"
        remedy = f"{a}: a deadline of at most {asked.deadline_s:g} s, or {b}: none"
        found.append((f"{a} {promise}, {b} asks for {asked.deadline_s:g} s", remedy))
    if asked.manual and not offered.manual:
        remedy = f"{a}: MANUAL_BY_TOPIC, or {b}: AUTOMATIC"
        found.append((f"{a}'s liveliness is automatic, {b} asks for manual by topic", remedy))
    if offered.lease_s > asked.lease_s:
        remedy = f"{a}: a liveliness lease of at most {asked.lease_s:g} s, or {b}: none"
        found.append((f"{a}'s liveliness lease is {offered.lease_s:g} s, {b} asks for {asked.lease_s:g} s", remedy))
    return found


def judge(found: Iterable[Ends]) -> list[Finding]:
    """One finding a misfit, wrong where a node of robostack would hear nothing; one for each topic that fits."""
    findings = []
    for topic in found:
        others = [q for q in topic.listeners if q.node != topic.ours.node]
        apart: dict[tuple[str, str, Level], None] = {
            (*misfit, "error" if asked is topic.ours else "warning"): None
            for offered in topic.senders
            for asked in (topic.ours, *others)
            for misfit in misfits(offered, asked)
        }
        findings += [Finding(level, topic.topic, WHAT, what, remedy) for what, remedy, level in apart]
        if topic.senders and not apart:
            findings.append(Finding("ok", topic.topic, WHAT, "all ends connect"))
    return findings


def _seconds(duration: Any) -> float:
    """Of rclpy's Duration; 0 says that nothing is said."""
    seconds = float(duration.nanoseconds) * 1e-9
    return seconds if 0.0 < seconds < UNLIMITED_S else inf
