"""Claims: a node of a stack that is not there, or was started from another file, is found and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from robostack.export.onnx import LoadedPolicy, load_policy
from robostack_real.doctor.presence import present
from robostack_real.nodes.wire import Report

ROLES = ("device", "policy")


@pytest.fixture
def policy(quadrotor_run: Path) -> LoadedPolicy:
    return load_policy(quadrotor_run / "exported/policy.onnx")


def reports(policy: LoadedPolicy, **values: str) -> dict[str, Report]:
    hashes = {"interface_hash": policy.spec.interface_hash, "policy_hash": policy.policy_hash}
    return {
        "device": Report("device", "device-1", "disarmed", {"interface_hash": hashes["interface_hash"]}),
        "policy": Report("policy", "policy-1", "ready", {**hashes, **values}),
    }


def test_nodes_of_this_file_are_told_of_with_their_state(policy: LoadedPolicy) -> None:
    found = present(policy, ROLES, reports(policy))
    assert [(f.level, f.topic, f.found) for f in found] == [
        ("ok", "device_status", "disarmed"), ("ok", "policy_status", "ready"),
    ]  # fmt: skip


def test_who_is_silent_is_named(policy: LoadedPolicy) -> None:
    heard = {k: r for k, r in reports(policy).items() if k != "device"}
    device, _ = present(policy, ROLES, heard)
    assert (device.level, device.topic) == ("error", "device_status") and "none tells" in device.found


@pytest.mark.parametrize("of", ["interface_hash", "policy_hash"])
def test_another_file_is_found(policy: LoadedPolicy, of: str) -> None:
    _, found = present(policy, ROLES, reports(policy, **{of: "0123456789abcdef"}))
    assert found.level == "error" and f"{of} 0123456789ab" in found.found and "policy-1" in found.remedy


def test_what_a_node_complains_of_is_passed_on(policy: LoadedPolicy) -> None:
    heard = reports(policy)
    heard["device"].state, heard["device"].level, heard["device"].values["why"] = "fallback", 2, "stale odom"
    device, _ = present(policy, ROLES, heard)
    assert (device.level, device.found, device.remedy) == ("error", "fallback", "stale odom")
