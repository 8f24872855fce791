"""Ten million inputs to everything on a board that parses bytes from outside, under the sanitisers.

    python benchmarks/fuzz_parsers.py [--quick] [--keep]

libFuzzer mutates what is in tests/link/corpus, and what real frames make, by what each input reaches in the code;
tests/link/fuzz_link.c says what a board has to do besides not crashing. The firmware is one for hot swap, and a
Crazyflie's radio is beside it. --keep leaves the smallest corpus that reaches
as much in tests/link/corpus.
"""

from __future__ import annotations

import argparse
import re
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from _results import row, write

from robostack.export.blob import blob
from robostack.export.firmware import export_firmware, firmware_source
from robostack.export.host import WARNINGS, compile_c
from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack_real.link.frame import encode
from robostack_real.link.protocol import Message, Type

from firmware_step import SPEC, RandomActor  # isort: skip

LINK = Path(__file__).resolve().parents[1] / "tests" / "link"
CORPUS = LINK / "corpus"
INPUTS, LONGEST = 10_000_000, 256
RAW, MESSAGE, NEW, DAMAGED, ARM, OBSERVE, TICK, DECODER, BEGIN, DATA, COMMIT, FLY, RADIO = range(13)
"""steps of an input: `step_t` in fuzz_link.c"""
SANITISERS = "-fsanitize=fuzzer,address,undefined"


def small_policy(seed: int, path: Path) -> LoadedPolicy:
    """Of one topology, and as quick as a policy with a whole contract can be: it parses nothing."""
    actor = RandomActor(seed)
    actor.layers = [(weights[:4], bias[:4]) for weights, bias in actor.layers[:1]]
    return export_onnx(actor, SPEC, path, reference=actor, self_test_rows=2)


def write_firmware(folder: Path) -> Path:
    """A small policy's firmware for hot swap, and in generated/blob.h the blob of another one."""
    firmware = folder / "firmware"
    export_firmware(small_policy(0, folder / "policy.onnx"), firmware, hot_swap=True)
    other = blob(small_policy(1, folder / "other.onnx"))
    arrays = {"BLOB_HEADER": other.header, "BLOB_IMAGE": other.image}
    lines = [f"static const uint8_t {name}[] = {{{', '.join(map(str, data))}}};" for name, data in arrays.items()]
    (firmware / "generated" / "blob.h").write_text("\n".join(["#include <stdint.h>", *lines, ""]))
    return firmware


def sources(firmware: Path) -> tuple[list[str], list[Path], list[Path]]:
    """Of `write_firmware`: the compiler's options, what infers, and what parses."""
    rooms = [firmware / room for room in ("generated", "policy", "envelope", "link")]
    radio = firmware_source() / "crazyflie"
    infer = [c for room in rooms[:2] for c in sorted(room.glob("*.c"))]
    parsers = [LINK / "fuzz_link.c", radio / "radio.c", *(c for room in rooms[2:] for c in sorted(room.glob("*.c")))]
    return ["-DRS_CF_INTERFACE", *(f"-I{room}" for room in [*rooms, radio])], infer, parsers


def build(firmware: Path, program: Path) -> Path:
    """The fuzzer over `write_firmware`. Raises ToolMissingError without clang, ContractError without libFuzzer."""
    options, infer, parsers = sources(firmware)
    plain = [*WARNINGS, "-g", "-O2", "-ffp-contract=off", *options]
    objects = [program.with_name(f"{c.stem}.o") for c in infer]
    for source, target in zip(infer, objects, strict=True):  # parses nothing: at full speed
        compile_c(["clang", *plain, "-c", source, "-o", target], "the policy")
    # comparisons are not watched: the steps get past CRC and digest by themselves, and it is four times as fast
    watched: list[str | Path] = [
        SANITISERS,
        "-fno-sanitize-coverage=trace-cmp",
        "-fno-sanitize-recover=all",
        *parsers,
        *objects,
        "-o",
        program,
    ]
    compile_c(["clang", *plain, *watched], "the fuzzer (it needs libclang-rt-dev)")
    return program


def seeds() -> list[bytes]:
    """A flight with everything that a host says, and each of it alone, as steps."""
    floats = np.random.default_rng(0).normal(0, 0.3, SPEC.observation_size).astype("<f4").tobytes()
    ages = bytes(2 * len(SPEC.observations))
    observe = bytes([OBSERVE, 0x1F, len(ages + floats)]) + ages + floats
    short = bytes([OBSERVE, 0x1F, 0])
    new = [Message(t, 0) for t in (Type.HELLO, Type.DISARM, Type.RESET, Type.WAIT)]
    new += [Message(Type.SELF_TEST, 0, b"\1\0"), *(Message(Type.PING, 0, struct.pack("<H", n)) for n in (40, 512))]
    alone = [bytes([NEW, len(bytes(m))]) + bytes(m) for m in new]
    alone += [bytes([MESSAGE, len(bytes(m))]) + bytes(m) for m in new]
    alone += [bytes([NEW, 140]) + bytes(Message(Type.PING, 0, struct.pack("<H", 512))) + b"\1" * 135]
    wire = encode(bytes(Message(Type.HELLO, 0)))
    alone += [bytes([RAW, len(wire)]) + wire, bytes([DECODER, 9, len(wire)]) + wire]
    alone += [bytes([DAMAGED, 35]) + bytes(Message(Type.ARM, 0, bytes(32))) + b"\5\1"]
    flight = observe + bytes([TICK, 0, ARM]) + 4 * (short + bytes([TICK, 0])) + 10 * bytes([TICK, 3])
    return [*alone, flight, flight + b"".join(alone[:5]) + flight[-60:], *swap_seeds(observe)]


def swap_seeds(observe: bytes) -> list[bytes]:
    """Swaps that succeed, disarmed, in flight and by radio, and ones that do not."""
    none = b"\0\0\0"
    begin, data, commit = bytes([BEGIN]) + none, bytes([DATA, 0]) + none, bytes([COMMIT]) + none
    tick, armed = bytes([TICK, 0]), bytes([TICK, 4])
    swap, by_radio = begin + 3 * data + commit, bytes([RADIO]) + begin + 12 * data + commit
    arm = observe + tick + bytes([ARM]) + tick
    return [
        swap + 3 * tick,
        2 * (swap + 3 * tick),
        arm + swap + bytes([FLY, 58]),
        begin + data + bytes([DATA, 7]) + none + 2 * data + commit + 3 * tick,
        begin[:-1] + b"\1",
        begin + data[:-1] + b"\1" + 2 * data + commit + 3 * tick,
        swap[:-1] + b"\1" + tick,
        by_radio + 3 * tick,
        by_radio + 3 * tick + by_radio[1:] + 3 * tick,
        by_radio + armed + 3 * tick,
        by_radio[:40] + armed + data + tick + by_radio[1:],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a hundredth of the inputs")
    parser.add_argument("--keep", action="store_true", help="leave the corpus in tests/link/corpus")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    count = INPUTS // 100 if options.quick else INPUTS
    with tempfile.TemporaryDirectory(prefix="robostack-") as name:
        folder = Path(name)
        fuzzer = build(write_firmware(folder), folder / "fuzz")
        grown = folder / "corpus"
        grown.mkdir()
        for i, seed in enumerate(seeds()):
            (grown / f"seed_{i}").write_bytes(seed)
        if CORPUS.is_dir():
            shutil.copytree(CORPUS, grown, dirs_exist_ok=True)
        command = [fuzzer, f"-runs={count}", f"-max_len={LONGEST}", "-seed=1", "-print_final_stats=1", "-timeout=10"]
        done = subprocess.run([*map(str, command), str(grown)], capture_output=True, text=True, check=False, cwd=folder)
        said = done.stderr
        if done.returncode:
            print(said[-4000:])
        inputs, speed = (int(re.findall(rf"stat::{s}:\s+(\d+)", said)[-1])
                         for s in ("number_of_executed_units", "average_exec_per_sec"))  # fmt: skip
        edges = int(re.findall(r"cov: (\d+)", said)[-1])
        if options.keep and not done.returncode:
            kept = folder / "kept"
            kept.mkdir()
            subprocess.run(
                [str(fuzzer), "-merge=1", "-use_counters=0", f"-max_len={LONGEST}", str(kept), str(grown)],
                check=True,
                cwd=folder,
            )
            shutil.rmtree(CORPUS, ignore_errors=True)
            shutil.copytree(kept, CORPUS)
    bar = None if options.quick else INPUTS
    rows = [
        row("fuzzed inputs to the board's parsers", inputs, "inputs", bar, better="higher"),
        row("crashes, reports of a sanitiser, broken promises", float(done.returncode != 0), "of 1 run", 0.0),
        row("edges of the code reached", edges, "edges"),
        row("inputs a second, one core", speed, "1/s"),
    ]
    write("fuzz_parsers", rows, options.out)


if __name__ == "__main__":
    main()
