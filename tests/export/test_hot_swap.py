"""Claims: a build for hot swap computes the same bits, and a blob has the bytes that its C lays out."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_policy import SPEC, SmallActor, random_policy, small_policy
from test_int16 import RECURRENT, GruActor

from robostack.export.blob import HEADER, VERSION, blob
from robostack.export.calibration import calibrated
from robostack.export.firmware import Precision, export_firmware, generate_firmware, program_of
from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack.export.target import measure
from robostack.spec import ContractError, SelfTest


def gru(folder: Path, seed: int) -> LoadedPolicy:
    actor = GruActor(seed)
    return calibrated(export_onnx(actor, RECURRENT, folder / f"gru{seed}.onnx", reference=actor))


@pytest.mark.parametrize("precision", ["float32", "int16"])
def test_an_image_holds_the_numbers_of_the_c_in_its_order(tmp_path: Path, precision: Precision) -> None:
    policy = gru(tmp_path, 0)
    program = program_of(policy, precision, hot_swap=True)
    source, image, at = program.source(), program.image(), 0
    struct = source[source.index("typedef struct {") : source.index("} numbers_t;")]
    types = {"float": "<f4", "int32_t": "<i4", "uint32_t": "<u4", "uint8_t": "u1"}
    for kind, name, size in re.findall(r"  (\w+) (\w+)\[(\d+)\];", struct):
        found = np.frombuffer(image, types[kind], int(size), at)
        at += found.nbytes
        if name != "padding":
            assert found.tobytes() == program.numbers[name].tobytes()
            assert f".{name} = {{" in source
    assert at % 4 == 0
    assert policy.spec.self_test
    tests = np.frombuffer(image, "<f4", offset=at)
    vectors = [v for rows in (policy.spec.self_test.inputs, policy.spec.self_test.outputs) for row in rows for v in row]
    assert tests[:-1].tolist() == np.float32(vectors).tolist()
    assert tests[-1] == np.float32(policy.spec.self_test.tolerance[program.port])


def test_a_blob_is_header_image_and_crc_and_the_same_twice(tmp_path: Path) -> None:
    policy = small_policy(tmp_path / "policy.onnx")
    data = bytes(blob(policy))
    magic, version, size, topology, interface, digest = HEADER.unpack_from(data)
    assert (magic, version, size) == (b"RSWB", VERSION, len(data) - HEADER.size - 4)
    assert (interface.hex(), digest.hex()) == (policy.spec.interface_hash, policy.policy_hash)
    assert topology.hex() in {program_of(policy, "float32", hot_swap=True).topology}
    assert int.from_bytes(data[-4:], "little") == zlib.crc32(data[:-4])
    assert bytes(blob(policy)) == data


def test_the_topology_is_shared_by_weights_and_by_nothing_else(tmp_path: Path) -> None:
    def topology(policy: LoadedPolicy, precision: Precision = "float32") -> str:
        return blob(policy, precision).topology

    def small(seed: int = 0, hidden: int = 13, rows: int = 16, task: str = "small") -> LoadedPolicy:
        actor, spec = SmallActor(seed, hidden), SPEC.model_copy(update={"task": task})
        return export_onnx(actor, spec, tmp_path / "policy.onnx", reference=actor, self_test_rows=rows)

    first = small()
    assert topology(first) == topology(small(seed=1))
    others = [small(hidden=14), small(rows=8), gru(tmp_path, 0)]
    assert len({topology(p) for p in [first, *others]}) == 4
    assert topology(gru(tmp_path, 0)) == topology(gru(tmp_path, 1))
    assert topology(gru(tmp_path, 0), "int16") != topology(gru(tmp_path, 0))


def test_without_hot_swap_nothing_of_it_is_generated(tmp_path: Path) -> None:
    report = generate_firmware(small_policy(tmp_path / "policy.onnx"), tmp_path / "generated")
    assert report.bank_bytes == 0
    text = (tmp_path / "generated" / "policy.c").read_text()
    assert "numbers" not in text and "bank" not in text
    assert "#define RS_SWAP_SIZE 0u" in (tmp_path / "generated" / "policy_sizes.h").read_text()


def test_what_no_board_could_judge_or_swap_is_refused(tmp_path: Path) -> None:
    policy = small_policy(tmp_path / "policy.onnx")
    assert policy.spec.self_test

    def with_test(test: SelfTest | None) -> LoadedPolicy:
        spec = policy.spec.model_copy(update={"self_test": test})
        return replace(policy, spec=spec)

    with pytest.raises(ContractError, match="no self-test vectors"):
        blob(with_test(None))
    with pytest.raises(ContractError, match=r"lets 0\.1 of the action range pass"):
        blob(with_test(policy.spec.self_test.model_copy(update={"tolerance": {"c": 0.1}})))
    with pytest.raises(ContractError, match="no constant that another policy's could replace"):
        blob(random_policy(["Tanh"], 0, tmp_path))
    with pytest.raises(ContractError, match="generic-c has none"):
        export_firmware(policy, tmp_path / "out", target="generic-c", hot_swap=True)


def test_banks_that_a_crazyflie_has_no_room_for_are_refused_and_the_older_export_stays(tmp_path: Path) -> None:
    """And those that it has room for come with the link that brings them."""
    export_firmware(small_policy(tmp_path / "policy.onnx"), tmp_path / "out", target="crazyflie", hot_swap=True)
    assert (tmp_path / "out" / "link" / "swap.c").is_file()
    actor = SmallActor(0, hidden=400)
    wide = export_onnx(actor, SPEC, tmp_path / "wide.onnx", reference=actor)
    with pytest.raises(ContractError, match=r"two banks of \d\d,\d+ bytes.* --precision int16"):
        export_firmware(wide, tmp_path / "out", target="crazyflie", hot_swap=True)
    assert (tmp_path / "out" / "link" / "swap.c").is_file()


def test_the_report_says_what_the_two_banks_take(tmp_path: Path, board_tools: None) -> None:
    policy = small_policy(tmp_path / "policy.onnx")
    without, report = (measure(policy, "stm32f405", "float32", hot_swap=swap) for swap in (False, True))
    assert report.bank_bytes == 2 * len(blob(policy).image)
    assert without.ram_bytes is not None and report.ram_bytes == without.ram_bytes + report.bank_bytes
    assert f"({report.bank_bytes:,} are the two banks of hot swap)" in report.lines()[0]
