"""Which nodes of a stack tell their state, and whether they have the same contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from robostack.export.onnx import LoadedPolicy
from robostack_real.doctor.finding import Finding, Level
from robostack_real.nodes.wire import Report

LEVELS: tuple[Level, Level, Level] = ("ok", "warning", "error")


def present(policy: LoadedPolicy, roles: Iterable[str], reports: Mapping[str, Report]) -> list[Finding]:
    """One finding a role; `reports` has the newest of each that was heard."""
    return [_node(policy, role, reports.get(role)) for role in roles]


def _node(policy: LoadedPolicy, role: str, report: Report | None) -> Finding:
    topic = f"{role}_status"
    if report is None:
        remedy = "is it running, in this ROS_DOMAIN_ID and this namespace? `robostack up` starts it"
        return Finding("error", topic, "node", "none tells its state", remedy)
    wanted = {"interface_hash": policy.spec.interface_hash, "policy_hash": policy.policy_hash}
    for name, value in wanted.items():
        found = report.values.get(name, "") or value
        if found != value:
            text = f"{name} {found[:12]}, this file's is {value[:12]}"
            return Finding("error", topic, "contract", text, f"start {report.session} from this policy.onnx")
    why = next((report.values[k] for k in ("complaint", "refused", "why") if report.values.get(k)), "")
    return Finding(LEVELS[min(report.level, 2)], topic, "state", report.state, why)
