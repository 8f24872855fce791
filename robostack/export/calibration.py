"""What enters a policy's network, how large it gets: the ranges that the int16 port is scaled by, and its error then.

Both are seen on observations that the policy met while it flew (where there is a run to fly, `robostack.learn.flown`)
and on rows drawn from the contract's bounds like self-test vectors, so that what the envelope lets in is hardly ever
clipped. The error is a sample's, not a proven bound; what the port is allowed (`self_test.tolerance["c_int16"]`) is
MARGIN times the largest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto

from robostack.export import self_test
from robostack.export.host import HostPolicy
from robostack.export.network import entrances
from robostack.export.onnx import LoadedPolicy, parse_policy, seal
from robostack.runtime.runner import Runner
from robostack.spec import Calibration, ContractError, PolicySpec

PORT = "c_int16"
DRAWN_ROWS = 1000
MARGIN = 2.0


def calibrated(policy: LoadedPolicy, observed: np.ndarray | None = None) -> LoadedPolicy:
    """The policy with a calibration in its contract: its own, unless it has none or there are `observed` rows.

    `observed`: (N, observation + action + state) float32, packed in the order of the graph's inputs. The same policy
    and rows give the same bytes; `policy_hash` stays. Raises ContractError when the network cannot be int16 or the
    policy carries no self-test vectors, ToolMissingError without a C compiler.
    """
    test = policy.spec.self_test
    if policy.spec.calibration and observed is None:
        return policy
    if test is None:
        raise ContractError(f"{policy.origin}: carries no self-test vectors; export it again")
    runtime = Runner(policy)
    rows = self_test.draw(policy.spec, runtime.infer, DRAWN_ROWS, seed=0)
    source = f"{len(rows)} rows drawn from the contract's bounds"
    if observed is not None:
        source = f"{len(observed)} observations in flight and {source}"
        rows = np.concatenate([np.asarray(observed, np.float32), rows])
    rows = np.concatenate([rows, np.array(test.inputs, np.float32)])
    seen = intermediate(policy, rows, entrances(policy.model.graph))
    ranges = {name: tuple(float(v) for v in np.abs(value).max(0)) for name, value in seen.items()}
    found = Calibration(source=source, ranges=ranges)
    scaled = _with(policy, found, 1.0)
    got, wanted = HostPolicy(scaled, "int16").rows(rows), self_test.run(policy.spec, runtime.infer, rows)
    largest = self_test.error(policy.spec, got, wanted)
    found = found.model_copy(update={"max_error": largest, "rms_error": _rms(policy.spec, got - wanted)})
    return _with(policy, found, max(MARGIN * largest, test.tolerance["c"]))


def _with(policy: LoadedPolicy, found: Calibration, tolerance: float) -> LoadedPolicy:
    test = policy.spec.self_test
    assert test is not None
    allowed = test.model_copy(update={"tolerance": {**test.tolerance, PORT: tolerance}})
    spec = policy.spec.model_copy(update={"calibration": found, "self_test": allowed})
    return parse_policy(seal(policy.model, spec), policy.origin)


def _rms(spec: PolicySpec, difference: np.ndarray) -> float:
    """Of the actions, as a share of their ranges."""
    span = np.array(spec.action_limit("high")) - np.array(spec.action_limit("low"))
    return float(np.sqrt(np.square(difference[:, : len(span)] / span).mean()))


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
