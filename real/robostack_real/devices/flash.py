"""`robostack flash`: write a Crazyflie's firmware with a policy in it, built in your own checkout

The usual tools write it.

The image links our objects with GPL-3 firmware, so it is made on the user's machine and never shipped; cfloader,
dfu-util and openocd are called as programs.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from robostack.hosts import Check
from robostack.run_folder import RunFolder
from robostack.spec import ContractError

if TYPE_CHECKING:
    from robostack.export.onnx import LoadedPolicy

FLASH_ORIGIN = "0x08004000"
"""where the firmware of a Crazyflie 2.x begins, behind its bootloader"""
INSTALL = {
    "cfloader": "pip install cfclient",
    "dfu-util": "sudo apt-get install dfu-util",
    "openocd": "sudo apt-get install openocd",
    "make": "sudo apt-get install make",
}


@dataclass(frozen=True)
class Step:
    """A program that is called, or (without one) something to see to."""

    what: str
    command: tuple[str, ...] = ()
    folder: Path | None = None


@dataclass(frozen=True)
class Command:
    """Build the Crazyflie app with a policy in your checkout of the firmware, write it, and verify what is on board.

    First the app is compiled for this machine and asked whether it takes the policy: another interface, or a self-test
    that fails, is refused before anything is written. Every step is shown before it is done; --dry-run only shows.
    With --require-signature the app's C is made afresh from the signed file, whatever lies in the export.

    Example: robostack flash --crazyflie-base ~/crazyflie-firmware --uri radio://0/80/2M
    Example: robostack flash --crazyflie-base ~/crazyflie-firmware --dfu
    """

    run_folder: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """A run folder with an export, or a task (its newest run). Default: the newest run."""
    board: Literal["cf2"] = "cf2"
    """A Crazyflie 2.x."""
    crazyflie_base: Path | None = None
    """Your checkout of crazyflie-firmware, submodules and all. Default: $CRAZYFLIE_BASE."""
    uri: str | None = None
    """Write by radio, with cfloader: radio://0/80/2M."""
    dfu: bool = False
    """Write by USB in DFU mode (hold the button while plugging it in), with dfu-util."""
    openocd: bool = False
    """Write by a debug adapter (ST-Link), with openocd."""
    require_signature: tuple[Path, ...] = ()
    """Refuse a policy that none of these public keys signed (robostack sign)."""
    dry_run: bool = False
    """Show what would be done."""
    root: Path = Path("logs")
    """Folder with the runs."""

    def run(self) -> int:
        if (self.uri is not None) + self.dfu + self.openocd != 1:
            raise ContractError("say how to write it: one of --uri radio://..., --dfu, --openocd")
        if self.uri is not None and not self.uri.startswith(("radio://", "usb://")):
            raise ContractError(f"--uri {self.uri}: cfloader writes over radio://... or usb://...")
        base = self.crazyflie_base or Path(os.environ.get("CRAZYFLIE_BASE", ""))
        if not (base / "tools" / "make" / "oot.mk").is_file():
            raise ContractError(
                f"--crazyflie-base {base}: no checkout of crazyflie-firmware (it has no tools/make/oot.mk); get one: "
                "git clone --recursive https://github.com/bitcraze/crazyflie-firmware"
            )
        run = RunFolder.find(self.run_folder, self.root)
        app = run.exported / "crazyflie" / "crazyflie"
        if not app.is_dir():
            make = f"robostack export {run.path} --target crazyflie"
            raise ContractError(f"{run.path} has no exported Crazyflie app; make it: {make}")
        from robostack.qualify.record import warning
        from robostack.signature import load_signed

        policy = load_signed(run.policy, self.require_signature)
        if (doubt := warning(policy)) is not None:
            print(doubt, file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="robostack-") as name, run.locked():
            if self.require_signature:
                app = _afresh(policy, app.parent, Path(name) / "crazyflie")
            check_fits(app.parent / "generated")
            on_board = Path(name) / "on_board.bin"
            image = app.resolve() / "build" / "cf2.bin"
            build = Step("build the image in your checkout", ("make", "-j2", f"CRAZYFLIE_BASE={base.resolve()}"), app)
            self._do(build)
            size = str(image.stat().st_size) if image.exists() else "SIZE"
            for step in self._writing(image, size, on_board):
                self._do(step)
            if self.dry_run:
                return 0
            if self.dfu:
                _same(image, on_board)
        if self.uri is not None:
            from robostack_real.devices.crazyflie import Crazyflie

            with Crazyflie(self.uri) as crazyflie:
                check_on_board(crazyflie.preflight(policy))
        print(f"policy {policy.policy_hash[:8]} is on board" + ("" if self.uri else "; restart it, rsp.hash shows it"))
        return 0

    def _writing(self, image: Path, size: str, on_board: Path) -> list[Step]:
        if self.uri is not None:
            return [
                Step("write it by radio", ("cfloader", "flash", str(image), "stm32-fw", "-w", self.uri)),
                Step(f"connect to {self.uri} and compare the policy's hash and self-test"),
            ]
        if self.dfu:
            device = ("dfu-util", "-d", "0483:df11", "-a", "0", "-s")
            return [
                Step("write it by USB", (*device, FLASH_ORIGIN, "-D", str(image))),
                Step("read it back and compare", (*device, f"{FLASH_ORIGIN}:{size}", "-U", str(on_board))),
            ]
        program = f"program {image} {FLASH_ORIGIN} verify reset exit"
        config = ("-f", "interface/stlink.cfg", "-f", "target/stm32f4x.cfg")
        return [Step("write it by the adapter and verify", ("openocd", *config, "-c", program))]

    def _do(self, step: Step) -> None:
        """Shows a step, and does it unless this is a dry run."""
        print(step.what, *([f"\n  {shlex.join(step.command)}"] if step.command else []), sep="", flush=True)
        if self.dry_run or not step.command:
            return
        tool = step.command[0]
        if shutil.which(tool) is None:
            raise ContractError(f"{tool} is not installed: {INSTALL[tool]}")
        done = subprocess.run(step.command, cwd=step.folder, check=False)
        if done.returncode:
            raise ContractError(f"{step.what}: {tool} ended with status {done.returncode}; its words are above")


def _afresh(policy: LoadedPolicy, exported: Path, folder: Path) -> Path:
    """The app as the policy alone gives it, in the precision that was exported: no signature covers what lies there."""
    from robostack.export.firmware import export_firmware

    report = exported / "report.json"
    known = json.loads(report.read_bytes()) if report.exists() else {}
    export_firmware(policy, folder, "int16" if known.get("precision") == "int16" else "float32", "crazyflie")
    return folder / "crazyflie"


def check_fits(generated: Path) -> None:
    """Asks the app's own C, compiled for this machine, whether it takes the policy. Raises ContractError."""
    from robostack_real.devices.crazyflie_obstacle import Obstacle
    from robostack_real.twins.crazyflie_app import CrazyflieApp

    app = CrazyflieApp(generated)
    obstacle = Obstacle(int(app.logs["rsp.obstacle"].value))
    if obstacle == Obstacle.CONTRACT:
        raise ContractError(
            f"{generated}: this policy is not a Crazyflie's: it takes position, velocity, attitude, body_rate and "
            "setpoint, and commands four rotor speeds at a whole number of milliseconds"
        )
    if obstacle == Obstacle.SELF_TEST:
        raise ContractError(
            f"{generated}: {int(app.logs['rsp.failed'].value)} self-test vectors fail on this machine; export it again"
        )


def check_on_board(checks: Sequence[Check]) -> None:
    """Raises ContractError when the board runs another policy, or computes something else."""
    for check in checks[:2]:
        if not check.ok:
            raise ContractError(f"written, but not right: {check.what}: {check.found}; {check.remedy}")


def _same(image: Path, on_board: Path) -> None:
    wanted = image.read_bytes()
    found = on_board.read_bytes()[: len(wanted)] if on_board.exists() else b""
    if found != wanted:
        first = next((i for i, (a, b) in enumerate(zip(wanted, found, strict=False)) if a != b), len(found))
        raise ContractError(f"what was read back differs from {image} at byte {first}; write it again")
