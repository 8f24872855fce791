"""The very image that flies, asked over its link for the outputs of its self-test vectors.

`c_host` and `c_board` in `verify` prove the generated C; this proves what was built from it: the firmware folder of a
run, compiled as for a flight, with its board's start-up, envelope and link around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from robostack import boards, registry
from robostack.export.host import ToolMissingError
from robostack.export.onnx import LoadedPolicy
from robostack.export.verify import Recording
from robostack.spec import ContractError


def flight_images(policy: LoadedPolicy, firmware: Path) -> Mapping[str, Callable[[], Recording]]:
    """Ports for `robostack.export.verify.verify(..., extra=...)`: one for each emulated board.

    `firmware` is an export's folder, generated from `policy` (robostack.export.firmware.export_firmware).
    """

    def port(board: str) -> Callable[[], Recording]:
        return lambda: recorded(policy, firmware, registry.load("board", board))

    return {f"flight image, {board}": port(board) for board in boards.EMULATED}


def recorded(policy: LoadedPolicy, firmware: Path, board: boards.BoardKind) -> Recording:
    """What the image computes for the policy's self-test inputs, and the precision that it says it has.

    Raises ToolMissingError, or ContractError when the image does not build, does not run, or is of another policy.
    """
    if board.missing():
        raise ToolMissingError(f"needs {', '.join(board.missing())}: {board.remedy()}")
    test = policy.spec.self_test
    wanted = len(test.inputs) if test else 0
    try:
        with board.lockstep(firmware) as session:
            identity = session.check(policy.spec, policy.policy_hash)
            outputs = [session.self_test(vector).outputs for vector in range(wanted)]
    except ConnectionError as error:
        raise ContractError(f"{firmware}: {error}") from error
    found = [o for o in outputs if o is not None]
    if len(found) < wanted:
        raise ContractError(f"{firmware}: the image has {len(found)} of {wanted} self-test vectors; export it again")
    return Recording("int16" if identity.weight_bits == 16 else "float32", np.array(found, np.float32))
