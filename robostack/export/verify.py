"""Does every port of a policy compute the same? The recorded vectors and random ones, through each of them.

The reference on the self-test vectors is what torch gave at export; on random rows it is ONNX Runtime. C
ports must also agree with each other bit for bit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from robostack.export import self_test
from robostack.export.board import BoardPolicy
from robostack.export.host import HostPolicy, ToolMissingError
from robostack.export.onnx import LoadedPolicy, load_policy
from robostack.runtime.runner import Runner
from robostack.spec import ContractError, PolicySpec

PORTS = ("onnxruntime", "c_host", "c_board")
Rows = Callable[[np.ndarray], np.ndarray]
"""(N, observation + action + state) float32 -> (N, action + state) float32."""
Recorded = Callable[[], np.ndarray]
"""Runs the recorded vectors, which an image carries, and returns (count, action + state) float32."""


@dataclass(frozen=True)
class PortResult:
    """One port on one set of vectors. `error` is a share of each action's range; None where nothing ran.

    `bit_identical` compares with the first C port that ran; None for the others. `missing`: a tool is not
    installed; `note` says which. `failed` covers a policy that the port cannot take; `note` names the node.
    """

    port: str
    vectors: Literal["self_test", "random"]
    count: int
    error: float | None
    tolerance: float
    bit_identical: bool | None
    status: Literal["passed", "failed", "missing"]
    note: str = ""

    def __str__(self) -> str:
        error = "" if self.error is None else f"{self.error:.1e} of the range (allowed {self.tolerance:.0e})"
        bits = {None: "", True: ", bit for bit", False: ", NOT bit for bit"}[self.bit_identical]
        return f"{self.port:12s} {self.vectors:9s} {self.count:5d}  {self.status:8s}{error}{bits}{self.note}"


def verify(
    policy: str | Path | LoadedPolicy,
    ports: Sequence[str] = PORTS,
    *,
    extra: Mapping[str, Recorded] | None = None,
    random_rows: int = 1000,
    seed: int = 1,
) -> list[PortResult]:
    """Runs `ports` on both sets of vectors, and `extra` C ports (a flight image on its board, say) on the
    recorded.

    Raises ContractError when the file is not a sound policy or carries no self-test vectors.
    """
    loaded = policy if isinstance(policy, LoadedPolicy) else load_policy(policy)
    spec, test = loaded.spec, loaded.spec.self_test
    if test is None:
        raise ContractError(f"{loaded.origin}: carries no self-test vectors; export it again")
    runtime = Runner(loaded)
    drawn = self_test.draw(spec, runtime.infer, max(1, random_rows), seed)
    vectors: dict[Literal["self_test", "random"], tuple[np.ndarray, np.ndarray]] = {
        "self_test": (np.array(test.inputs, np.float32), np.array(test.outputs, np.float32)),
        "random": (drawn, self_test.run(spec, runtime.infer, drawn)),
    }
    results: list[PortResult] = []
    c_bits: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
        for port in (*ports, *(extra or {})):
            is_c = port != "onnxruntime"
            tolerance = test.tolerance["c" if is_c else "onnxruntime"]
            try:
                recorded = (extra or {}).get(port)
                rows = _image(recorded) if recorded else _open(port, loaded, runtime, Path(folder))
                for kind, (inputs, wanted) in vectors.items():
                    if kind == "random" and (recorded or not is_c):
                        continue  # an image knows only its own vectors; ONNX Runtime is the reference
                    got = rows(inputs)
                    bits = _same_bits(got, c_bits.setdefault(kind, got)) if is_c else None
                    found = self_test.error(spec, got, wanted)
                    passed = found <= tolerance and bits is not False
                    status: Literal["passed", "failed"] = "passed" if passed else "failed"
                    results.append(PortResult(port, kind, len(inputs), found, tolerance, bits, status))
            except ToolMissingError as error:
                results.append(PortResult(port, "self_test", 0, None, tolerance, None, "missing", str(error)))
            except ContractError as error:
                results.append(PortResult(port, "self_test", 0, None, tolerance, None, "failed", str(error)))
    return results


def check(results: Sequence[PortResult], *, missing_is_failure: bool = False) -> None:
    """Raises ContractError that lists every port that failed (or, if asked, could not run)."""
    bad = [r for r in results if r.status == "failed" or (missing_is_failure and r.status == "missing")]
    if bad or not results:
        listed = "\n  ".join(str(r) for r in bad) or "no port was run"
        raise ContractError(
            f"the ports of this policy do not agree:\n  {listed}\n"
            "do not fly it; check that every build uses -ffp-contract=off and the same policy.onnx"
        )


def _open(port: str, policy: LoadedPolicy, runtime: Runner, folder: Path) -> Rows:
    if port == "onnxruntime":
        return lambda inputs: _rows(policy.spec, runtime, inputs)
    if port == "c_host":
        return HostPolicy(policy).rows
    if port == "c_board":
        return BoardPolicy(policy, folder).rows
    raise ContractError(f"no port is called {port!r}; there are {', '.join(PORTS)}")


def _image(recorded: Recorded) -> Rows:
    return lambda _: np.asarray(recorded(), np.float32)


def _rows(spec: PolicySpec, runtime: Runner, inputs: np.ndarray) -> np.ndarray:
    parts = runtime.infer(*self_test.unpack(spec, inputs))
    return np.concatenate([p for p in parts if p is not None], 1)


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool((a.view(np.uint32) == b.view(np.uint32)).all())
