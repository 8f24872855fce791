"""Runner: a policy.onnx in ONNX Runtime, on one CPU thread.

policy = Runner("policy.onnx")
state = policy.reset()
action, state = policy.infer({"position": p, ...}, applied_action, state)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robostack.export.onnx import LoadedPolicy, load_policy
from robostack.spec import ContractError, PolicySpec


class Runner:
    """Computes actions; holds no state of its own, so one Runner may serve many machines.

    Raises ContractError when the file is not a sound policy or ONNX Runtime cannot load it.
    """

    def __init__(self, policy: str | Path | LoadedPolicy) -> None:
        import onnxruntime

        self.policy = policy if isinstance(policy, LoadedPolicy) else load_policy(policy)
        options = onnxruntime.SessionOptions()
        # small networks lose on more threads, and a control loop must not spin on cores it shares
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                self.policy.data, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions have no common base of their own
            raise ContractError(f"{self.policy.origin}: ONNX Runtime refuses it: {error}") from error

    @property
    def spec(self) -> PolicySpec:
        return self.policy.spec

    @property
    def policy_hash(self) -> str:
        return self.policy.policy_hash

    def reset(self, batch: int | None = None) -> np.ndarray | None:
        """The state at activation: (S,), or (batch, S); None for a policy without memory."""
        if self.spec.state.size == 0:
            return None
        state = np.array(self.spec.state.reset, np.float32)
        return state if batch is None else np.tile(state, (batch, 1))

    def infer(
        self, observation: Mapping[str, Any], applied_action: Any, state: Any = None, /
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Channels by name, each `shape` or (N, *shape) in SI, what the actuators really got last step (A,)
        or (N, A), and the state -> action (A,) or (N, A) in SI, next state. Batched exactly when
        `applied_action` is.

        Raises ContractError naming the input that is missing, unknown or of the wrong shape. NaN passes
        through: the envelope judges it.
        """
        given: dict[str, Any] = {**observation, "applied_action": applied_action}
        if state is not None:
            given["state"] = state
        wanted = self.policy.inputs
        if given.keys() != wanted.keys():
            missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
            raise ContractError(f"inputs missing: {missing}, unknown: {extra}; the contract has {list(wanted)}")
        batched = np.ndim(applied_action) == 2
        batch = (len(applied_action),) if batched else ()
        feed = {}
        for name, shape in wanted.items():
            value = np.asarray(given[name], np.float32, order="C")
            if value.shape != batch + shape:
                raise ContractError(f"input {name} has shape {value.shape}, the contract says {batch + shape}")
            feed[name] = value if batched else value[None]
        outputs = [o if batched else o[0] for o in self._session.run(None, feed)]
        return outputs[0], outputs[1] if len(outputs) > 1 else None


def load(path: str | Path) -> Runner:
    """The policy at `path`, ready to run. Raises ContractError when it is not a sound policy."""
    return Runner(path)
