"""HostPolicy: the generated C, compiled for this machine and called through ctypes."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from robostack.export.firmware import Precision, firmware_source, generate_firmware
from robostack.export.onnx import LoadedPolicy, load_policy
from robostack.spec import ContractError, PolicySpec

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion", "-Werror")
_FLOATS = ctypes.POINTER(ctypes.c_float)


class ToolMissingError(ContractError):
    """A compiler or an emulator is not installed; the message says how to get it."""


def compile_c(command: Sequence[str | Path], what: str) -> None:
    """Runs a compiler. Raises ToolMissingError without it, ContractError with its message when it fails."""
    if shutil.which(command[0]) is None:
        raise ToolMissingError(f"{command[0]} is not installed; it is needed to compile {what}")
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ContractError(f"{command[0]} cannot compile {what}:\n{done.stderr.strip()[:2000]}")


class HostPolicy:
    """A policy as C on this machine; computes the same bits as on a board.

    Generates and compiles in a folder of its own. Raises ContractError when the policy cannot become C or the
    compiler fails, ToolMissingError without a compiler.
    """

    spec: PolicySpec

    def __init__(
        self,
        policy: str | Path | LoadedPolicy,
        precision: Precision = "float32",
        *,
        compiler: str = "cc",
        flags: tuple[str, ...] = ("-O2",),
    ) -> None:
        loaded = policy if isinstance(policy, LoadedPolicy) else load_policy(policy)
        self.spec = loaded.spec
        source = firmware_source()
        with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
            generate_firmware(loaded, folder, precision)
            library = Path(folder) / "policy.so"
            command = [compiler, *WARNINGS, *flags, "-ffp-contract=off", "-shared", "-fPIC"]
            includes = [f"-I{source / room}" for room in ("policy", "envelope")]
            sources = [Path(folder) / "policy.c", *sorted((source / "policy").glob("*.c"))]
            compile_c([*command, *includes, *sources, "-o", library], f"the policy of {loaded.origin}")
            self._infer = ctypes.CDLL(str(library)).policy_infer
        self._infer.argtypes, self._infer.restype = [_FLOATS] * 5, None

    def rows(self, inputs: np.ndarray) -> np.ndarray:
        """(N, observation + action + state) float32, packed -> (N, action + state) float32."""
        spec = self.spec
        inputs = np.ascontiguousarray(inputs, np.float32)
        width = spec.observation_size + spec.action_size + spec.state.size
        if inputs.ndim != 2 or inputs.shape[1] != width:
            raise ContractError(f"rows of shape {inputs.shape}; the contract's are (N, {width})")
        outputs = np.empty((len(inputs), spec.action_size + spec.state.size), np.float32)
        for row, out in zip(inputs, outputs, strict=True):
            action, next_state = out[: spec.action_size], out[spec.action_size :]
            self._infer(
                _pointer(row),
                _pointer(row[spec.observation_size :]),
                _pointer(row[spec.observation_size + spec.action_size :]),
                _pointer(action),
                _pointer(next_state),
            )
        return outputs

    def infer(
        self,
        observation: Mapping[str, np.ndarray],
        applied_action: np.ndarray,
        state: np.ndarray | None = None,
        /,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Batched, as `Runner.infer`."""
        count = len(applied_action)
        parts = [np.reshape(observation[c.name], (count, c.size)) for c in self.spec.observations]
        parts += [applied_action] + ([state] if state is not None else [])
        outputs = self.rows(np.concatenate(parts, 1))
        action, next_state = outputs[:, : self.spec.action_size], outputs[:, self.spec.action_size :]
        return action, next_state if self.spec.state.size else None


def _pointer(values: np.ndarray) -> ctypes._Pointer[ctypes.c_float] | None:
    return values.ctypes.data_as(_FLOATS) if values.size else None
