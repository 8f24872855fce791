"""BoardPolicy: the generated C on an emulated STM32F405 (QEMU's netduinoplus2), fed from a file.

Not a flight: there is no link and no clock, rows go in and rows come out, so that a thousand vectors take a
second and every instruction counted belongs to the policy or its envelope.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np

from robostack.export.firmware import Precision, firmware_source, generate_firmware
from robostack.export.host import WARNINGS, ToolMissingError, compile_c
from robostack.export.onnx import LoadedPolicy, load_policy
from robostack.spec import ContractError

INSTALL = "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
CORE = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
FLAGS = (*WARNINGS, "-ffp-contract=off", "-ffunction-sections", "-fdata-sections")
LINK = ("-nostartfiles", "-specs=nano.specs", "-specs=nosys.specs", "-Wl,--gc-sections")
TIMEOUT_S = 120
"""A thousand rows take about a second; an emulator that hangs is ended."""


class BoardPolicy:
    """A policy compiled for a Cortex-M4F, in `folder`, which keeps `replay.elf`.

    Raises ToolMissingError without cross compiler or emulator, ContractError when the policy cannot become C.
    """

    def __init__(self, policy: str | Path | LoadedPolicy, folder: str | Path, precision: Precision = "float32") -> None:
        for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
            if shutil.which(tool) is None:
                raise ToolMissingError(f"{tool} is not installed: {INSTALL}")
        loaded = policy if isinstance(policy, LoadedPolicy) else load_policy(policy)
        self.spec, self.folder = loaded.spec, Path(folder).resolve()
        generate_firmware(loaded, self.folder / "generated", precision)
        source = firmware_source()
        board = source / "boards" / "netduinoplus2"
        self.elf = self.folder / "replay.elf"
        rooms = [source / "policy", self.folder / "generated", source / "envelope"]
        kernels, *others = (sorted(room.glob("*.c")) for room in rooms)
        compiler: list[str | Path] = ["arm-none-eabi-gcc", *CORE, *FLAGS, *(f"-I{room}" for room in [*rooms, board])]
        script: list[str | Path] = ["-T", board / "stm32f405.ld"]
        what = f"the policy of {loaded.origin} for a Cortex-M4F"
        fast = self.folder / "kernels.o"  # optimised as firmware/Makefile does it
        compile_c([*compiler, "-O3", *kernels, "-r", "-nostdlib", "-o", fast], what)
        rest = [*(c for room in others for c in room), board / "startup.c", board / "replay.c"]
        compile_c([*compiler, "-Os", *rest, fast, *script, *LINK, "-o", self.elf], what)

    def rows(self, inputs: np.ndarray) -> np.ndarray:
        """(N, observation + action + state) -> (N, action + state), through the policy alone."""
        spec = self.spec
        sizes = spec.observation_size + spec.action_size + spec.state.size, spec.action_size + spec.state.size
        return self._replay(0, inputs, *sizes)

    def ticks(self, observations: np.ndarray, plugin: str | None = None) -> np.ndarray:
        """(N, observation) -> (N, action): N control periods of the armed controller, every channel fresh.

        `plugin` is QEMU's argument of that name.
        """
        return self._replay(1, observations, self.spec.observation_size, self.spec.action_size, plugin)

    def _replay(self, mode: int, rows: np.ndarray, width: int, out_width: int, plugin: str | None = None) -> np.ndarray:
        if rows.ndim != 2 or rows.shape[1] != width:
            raise ContractError(f"rows of shape {rows.shape}; the contract's are (N, {width})")
        data = np.uint32(mode).tobytes() + np.ascontiguousarray(rows, "<f4").tobytes()
        (self.folder / "replay_in").write_bytes(data)
        answer = self.folder / "replay_out"
        answer.unlink(missing_ok=True)
        command = ["qemu-system-arm", "-M", "netduinoplus2", "-kernel", str(self.elf), "-nographic"]
        command += ["-monitor", "none", "-serial", "none", "-semihosting-config", "enable=on,target=native"]
        command += ["-plugin", plugin] if plugin else []
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ContractError(f"the emulated board did not answer {len(rows)} rows in {TIMEOUT_S} s") from error
        found = np.frombuffer(answer.read_bytes(), "<f4") if answer.exists() else np.empty(0, "<f4")
        if done.returncode or found.size != len(rows) * out_width:
            raise ContractError(
                f"the emulated board answered {found.size // out_width} of {len(rows)} rows "
                f"(exit status {done.returncode}): {done.stderr.strip()[:500]}"
            )
        return found.reshape(len(rows), out_width)
