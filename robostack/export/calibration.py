"""What enters a policy's network, how large it gets: the ranges that an int16 port is scaled by.

Seen on observations that the policy met while it flew (`observed`, where there is a run to fly) and on rows drawn from
the contract's bounds like self-test vectors, so that a value within its limits is hardly ever clipped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto

from robostack.export import self_test
from robostack.export.network import entrances
from robostack.export.onnx import LoadedPolicy, parse_policy, seal
from robostack.runtime.runner import Runner
from robostack.spec import Calibration

DRAWN_ROWS = 1000


def calibration(policy: LoadedPolicy, observed: np.ndarray | None = None) -> Calibration:
    """`observed`: (N, observation + action + state) float32, packed in the order of the graph's inputs.

    The same policy and rows give the same ranges.
    """
    rows = self_test.draw(policy.spec, Runner(policy).infer, DRAWN_ROWS, seed=0)
    source = f"{len(rows)} rows drawn from the contract's bounds"
    if observed is not None:
        source = f"{len(observed)} observations in flight, {source}"
        rows = np.concatenate([np.asarray(observed, np.float32), rows])
    seen = intermediate(policy, rows, entrances(policy.model.graph))
    ranges = {name: tuple(float(v) for v in np.abs(value).max(0)) for name, value in seen.items()}
    return Calibration(source=source, ranges=ranges)


def calibrated(policy: LoadedPolicy, observed: np.ndarray | None = None) -> LoadedPolicy:
    """The policy with a calibration in its contract: its own, unless it has none or there are `observed` rows.

    Its `policy_hash` stays.
    """
    if policy.spec.calibration and observed is None:
        return policy
    spec = policy.spec.model_copy(update={"calibration": calibration(policy, observed)})
    return parse_policy(seal(policy.model, spec), policy.origin)


def intermediate(policy: LoadedPolicy, rows: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """What ONNX Runtime computes for values inside the graph, (N, k) each, one thread."""
    import onnxruntime

    model = ModelProto()
    model.CopyFrom(policy.model)
    known = {value.name for value in (*model.graph.input, *model.graph.output)}
    for name in names:
        if name not in known:
            model.graph.output.add(name=name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session: Any = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    channels, applied, state = self_test.unpack(policy.spec, rows)
    feeds = {**channels, "applied_action": applied, **({} if state is None else {"state": state})}
    wanted = [name for name in names if name not in feeds]
    found = dict(zip(wanted, session.run(wanted, feeds) if wanted else [], strict=True))
    return {name: (feeds[name] if name in feeds else found[name]).reshape(len(rows), -1) for name in names}
