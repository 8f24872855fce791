"""The verdict inside the policy's own file, which says of which bytes it is: what changed afterwards is unqualified.

It lies in the ONNX file's metadata, so that it goes wherever the policy goes and a signature covers it: qualify first,
then sign. Whoever can write the file can write a verdict; the signature says who did.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from robostack.export.onnx import LoadedPolicy, parse_policy, seal

KEY = "robostack.qualification"


@dataclass(frozen=True)
class Record:
    """What `robostack qualify` found of a policy, as its file keeps it."""

    subject: str
    """SHA-256 of the file without its verdict"""
    passed: bool
    robostack: str
    """version"""
    episodes: int
    generations: int
    seed: int
    rows: tuple[dict[str, Any], ...]
    """what, value, unit, bar, better, reference"""


def subject_of(policy: LoadedPolicy) -> str:
    """SHA-256 of the file's bytes as they are without a verdict: graph, weights, contract, provenance, calibration."""
    return hashlib.sha256(seal(policy.model, policy.spec)).hexdigest()


def record_of(policy: LoadedPolicy) -> Record | None:
    """The verdict in the file if it is of this policy; None where there is none, or it is damaged, or of another."""
    try:
        found = json.loads(policy.metadata[KEY])
        record = Record(**{**found, "rows": tuple(found["rows"])})
    except (KeyError, ValueError, TypeError):
        return None
    return record if record.subject == subject_of(policy) else None


def with_record(policy: LoadedPolicy, record: Record) -> LoadedPolicy:
    """The same policy, its verdict in its bytes; nothing is written."""
    text = json.dumps(asdict(record), sort_keys=True)
    return parse_policy(seal(policy.model, policy.spec, {KEY: text}), policy.origin)


def keep_record(policy: LoadedPolicy, before: LoadedPolicy | None) -> LoadedPolicy:
    """A policy that was exported again, with the verdict of the file `before` if that was of the very same."""
    record = record_of(before) if before else None
    return with_record(policy, record) if record and record.subject == subject_of(policy) else policy


def state(policy: LoadedPolicy) -> str:
    """In words: qualified, failed, changed since, not qualified."""
    record = record_of(policy)
    if record is not None:
        bars = sum(r.get("bar") is not None for r in record.rows)
        return f"qualified, {bars} bars of {record.episodes} episodes each" if record.passed else "failed qualification"
    return "changed after it was qualified" if KEY in policy.metadata else "not qualified"


def warning(policy: LoadedPolicy) -> str | None:
    """What to say before such a policy goes to a machine; None for a qualified one."""
    record = record_of(policy)
    if record is not None and record.passed:
        return None
    return f"warning: {policy.origin}: {state(policy)}; robostack qualify {policy.origin}"
