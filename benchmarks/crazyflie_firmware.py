"""The Crazyflie app inside the real crazyflie-firmware: what it adds to the stock image.

    CRAZYFLIE_BASE=path/to/crazyflie-firmware python benchmarks/crazyflie_firmware.py

Builds the checkout with its own Makefile and default configuration: as it is, and with the app around the quadrotor's
default policy (with random weights: neither size nor time depends on them), once as it is exported and once for hot
swap. Nothing is kept. Two banks of float weights do not fit: how much RAM they lack is the linker's word. The control
period is counted on the emulated board, with the same optimisation. Without CRAZYFLIE_BASE nothing is measured, and the
recorded result stays.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from _results import row, write

from robostack.export.board import BoardPolicy
from robostack.export.calibration import calibrated
from robostack.export.cycles import step_cost
from robostack.export.firmware import export_firmware, generate_firmware
from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack.learn.trained import as_reference, policy_spec
from robostack.nets.actor import Actor, ActorConfig
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.task import Quadrotor

CORE_HZ = 168e6
RAM_BYTES = 128 * 1024


def untrained(folder: Path) -> LoadedPolicy:
    torch.manual_seed(0)
    task = Quadrotor(QuadrotorConfig(num_envs=1))
    actor = Actor(task, ActorConfig()).eval()
    spec = policy_spec(task, actor, {})
    return export_onnx(actor, spec, folder / "policy.onnx", reference=as_reference(actor))


def period_us(policy: LoadedPolicy, folder: Path) -> float:
    """Envelope, policy, envelope: modelled cycles of a Cortex-M4F at 168 MHz."""
    rows = np.zeros((50, policy.spec.observation_size), np.float32)
    rows[:, 6] = 1.0  # level
    rows[:, :6] = 0.1 * np.random.default_rng(0).standard_normal((50, 6))
    return 1e6 * step_cost(BoardPolicy(policy, folder), rows).cycles / CORE_HZ


def make(folder: Path, *arguments: str, fails: str = "") -> str:
    """Returns what it complained of. `fails` is the complaint of a build that must not succeed."""
    done = subprocess.run(["make", "-C", folder, *arguments], capture_output=True, text=True, check=False)
    if bool(done.returncode) != bool(fails) or fails not in done.stderr:
        raise SystemExit(f"crazyflie_firmware: make {' '.join(arguments)} in {folder}:\n{done.stderr.strip()[-2000:]}")
    return done.stderr


def sizes(elf: Path) -> dict[str, int]:
    """Bytes of flash, RAM and core-coupled memory, as the firmware's own build counts them."""
    listing = subprocess.run(["arm-none-eabi-size", "-A", elf], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in listing.splitlines()]
    found = {words[0]: int(words[1]) for words in lines if len(words) == 3 and words[0].startswith(".")}
    return {
        "flash": found[".text"] + found[".data"],
        "RAM": found[".data"] + found[".bss"],
        "core-coupled memory": found[".ccmbss"],
    }


def object_bytes(*objects: Path) -> int:
    """Code, constants and initial values."""
    listing = subprocess.run(["arm-none-eabi-size", *objects], capture_output=True, text=True, check=True).stdout
    return sum(int(line.split()[0]) + int(line.split()[1]) for line in listing.splitlines()[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="no difference: a build is a build")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    if "CRAZYFLIE_BASE" not in os.environ:
        print("crazyflie_firmware: CRAZYFLIE_BASE names no checkout of crazyflie-firmware; nothing measured")
        return
    base = Path(os.environ["CRAZYFLIE_BASE"]).resolve()
    asked = subprocess.run(["git", "-C", base, "describe", "--tags"], capture_output=True, text=True, check=True)
    tag = asked.stdout.strip()
    with tempfile.TemporaryDirectory(prefix="robostack-") as name:
        folder = Path(name)
        make(base, f"KBUILD_OUTPUT={folder / 'stock'}", "alldefconfig")
        make(base, f"KBUILD_OUTPUT={folder / 'stock'}")
        policy = untrained(folder)
        export_firmware(policy, folder / "firmware", target="crazyflie")
        app = folder / "firmware" / "crazyflie"
        make(app, f"CRAZYFLIE_BASE={base}")
        make(app, f"CRAZYFLIE_BASE={base}", "check")
        swap = folder / "hot_swap" / "crazyflie"
        export_firmware(calibrated(policy), swap.parent, "int16", "crazyflie", hot_swap=True)
        make(swap, f"CRAZYFLIE_BASE={base}")
        swappable = sizes(swap / "build" / "cf2.elf")
        generate_firmware(policy, swap.parent / "generated", hot_swap=True)
        said = make(swap, f"CRAZYFLIE_BASE={base}", fails="region `RAM' overflowed")
        lacking = re.findall(r"region `RAM' overflowed by (\d+) bytes", said)[0]
        stock, ours = sizes(folder / "stock" / "cf2.elf"), sizes(app / "build" / "cf2.elf")
        rooms = {room: sorted((app.parent / room).glob("*.o")) for room in ("generated", "policy", "envelope")}
        rooms["crazyflie"] = [o for o in sorted(app.glob("*.o")) if o.name not in ("built-in.o", "layout.o")]
        parts = {room: object_bytes(*objects) for room, objects in rooms.items()}
        period = period_us(policy, folder / "board")
    to = f" to the image of crazyflie-firmware {tag}"
    rows = [row(f"{what} added{to if what == 'flash' else ''}", ours[what] - stock[what], "bytes") for what in stock]
    rows += [
        row("of the flash: weights, contract, self-test vectors (`generated/`)", parts["generated"], "bytes"),
        row("of the flash: kernels and envelope", parts["policy"] + parts["envelope"], "bytes"),
        row("of the flash: the app itself", parts["crazyflie"], "bytes"),
        row("a call that runs the policy, without the app and the PID, modelled", period, "us"),
        row("for hot swap, int16: flash added", swappable["flash"] - stock["flash"], "bytes"),
        row("for hot swap, int16: RAM added", swappable["RAM"] - stock["RAM"], "bytes"),
        row("for hot swap, int16: RAM left", RAM_BYTES - swappable["RAM"], "bytes", 0, better="higher"),
        row("for hot swap, float32: RAM that is lacking", float(lacking), "bytes"),
    ]
    write("crazyflie_firmware", rows, options.out)


if __name__ == "__main__":
    main()
