"""Does every port of a policy compute the same? The recorded vectors and random ones, through each of them.

The reference on the self-test vectors is what torch gave at export; on random rows it is ONNX Runtime. C
ports of one precision must also agree with each other bit for bit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from robostack.export import self_test
from robostack.export.board import BoardPolicy
from robostack.export.calibration import calibrated
from robostack.export.cycles import step_cost
from robostack.export.firmware import Precision
from robostack.export.host import HostPolicy, ToolMissingError
from robostack.export.network import network
from robostack.export.onnx import LoadedPolicy, load_policy
from robostack.runtime.runner import Runner
from robostack.spec import ContractError, PolicySpec

INT16_PORTS = ("c_int16_host", "c_int16_board")
PORTS = ("onnxruntime", "c_host", "c_board", *INT16_PORTS)
Vectors = Literal["self_test", "random"]
Rows = Callable[[np.ndarray], np.ndarray]
"""(N, observation + action + state) float32 -> (N, action + state) float32."""
COST_PERIODS = 20


@dataclass(frozen=True)
class Recording:
    """What an image gave for the recorded vectors that it carries: (count, action + state) float32."""

    precision: Precision
    outputs: np.ndarray


Recorded = Callable[[], Recording]


@dataclass(frozen=True)
class PortResult:
    """One port on one set of vectors. `error` is a share of each action's range; None where nothing ran.

    `bit_identical` compares with the first C port of the same precision that ran; None for the others. `missing`: a
    tool is not installed; `note` says which. `failed` covers a policy that the port cannot take; `note` names the
    node. `instructions` and modelled `cycles` are a control period's on the emulated board.
    """

    port: str
    vectors: Vectors
    count: int
    error: float | None
    tolerance: float
    bit_identical: bool | None
    status: Literal["passed", "failed", "missing"]
    note: str = ""
    instructions: int | None = None
    cycles: int | None = None

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
    recorded. Of a policy whose network cannot be int16 the int16 ports are left out.

    Raises ContractError when the file is not a sound policy or carries no self-test vectors.
    """
    loaded = policy if isinstance(policy, LoadedPolicy) else load_policy(policy)
    spec, test = loaded.spec, loaded.spec.self_test
    if test is None:
        raise ContractError(f"{loaded.origin}: carries no self-test vectors; export it again")
    runtime = Runner(loaded)
    drawn = self_test.draw(spec, runtime.infer, max(1, random_rows), seed)
    recorded = np.array(test.inputs, np.float32)
    vectors: dict[Vectors, tuple[np.ndarray, np.ndarray]] = {
        "self_test": (recorded, np.array(test.outputs, np.float32)),
        "random": (drawn, self_test.run(spec, runtime.infer, drawn)),
    }
    scaled = cache(lambda: calibrated(loaded))
    results: list[PortResult] = []
    c_bits: dict[tuple[Precision, Vectors], np.ndarray] = {}
    with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
        for port in (*ports, *(extra or {})):
            if port in INT16_PORTS and not network(loaded.model.graph):
                continue
            tolerance = test.tolerance["onnxruntime" if port == "onnxruntime" else "c"]
            try:
                image = (extra or {}).get(port)
                its = scaled() if port in INT16_PORTS else loaded
                opened = _image(image) if image else _open(port, its, runtime, Path(folder) / port)
                if opened.precision == "int16" and (held := scaled().spec.self_test):
                    tolerance = held.tolerance["c_int16"]
                cost = _cost(opened.board, recorded[:1, : spec.observation_size])
                for kind, (inputs, wanted) in vectors.items():
                    if kind == "random" and (image or opened.precision is None):
                        continue  # an image knows only its own vectors; ONNX Runtime is the reference
                    got, bits = opened.rows(inputs), None
                    if opened.precision:
                        bits = _same_bits(got, c_bits.setdefault((opened.precision, kind), got))
                    found = self_test.error(spec, got, wanted)
                    passed = found <= tolerance and bits is not False
                    status: Literal["passed", "failed"] = "passed" if passed else "failed"
                    results.append(PortResult(port, kind, len(inputs), found, tolerance, bits, status, "", *cost))
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


@dataclass(frozen=True)
class _Opened:
    """A port that is ready: `precision` of a C port, `board` of one whose periods can be counted."""

    rows: Rows
    precision: Precision | None
    board: BoardPolicy | None = None


def _open(port: str, policy: LoadedPolicy, runtime: Runner, folder: Path) -> _Opened:
    precision: Precision = "int16" if port in INT16_PORTS else "float32"
    if port == "onnxruntime":
        return _Opened(lambda inputs: _rows(policy.spec, runtime, inputs), None)
    if port in ("c_host", "c_int16_host"):
        return _Opened(HostPolicy(policy, precision).rows, precision)
    if port in ("c_board", "c_int16_board"):
        board = BoardPolicy(policy, folder, precision)
        return _Opened(board.rows, precision, board)
    raise ContractError(f"no port is called {port!r}; there are {', '.join(PORTS)}")


def _cost(board: BoardPolicy | None, observation: np.ndarray) -> tuple[int | None, int | None]:
    """Instructions and modelled cycles of a control period in which the policy sees this."""
    if board is None:
        return None, None
    found = step_cost(board, np.repeat(observation, COST_PERIODS, 0))
    return round(found.instructions), round(found.cycles)


def _image(recorded: Recorded) -> _Opened:
    recording = recorded()
    return _Opened(lambda _: np.asarray(recording.outputs, np.float32), recording.precision)


def _rows(spec: PolicySpec, runtime: Runner, inputs: np.ndarray) -> np.ndarray:
    parts = runtime.infer(*self_test.unpack(spec, inputs))
    return np.concatenate([p for p in parts if p is not None], 1)


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool((a.view(np.uint32) == b.view(np.uint32)).all())
