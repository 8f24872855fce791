from pathlib import Path

import numpy as np
import pytest
from small_policy import SPEC, small_policy

from robostack.export.board import BoardPolicy
from robostack.export.cycles import REFILL, Count, Instruction, disassemble, model_cycles, step_cost
from robostack.spec import ContractError


def priced(*lines: str, executed: int = 1, taken: dict[int, int] | None = None) -> int:
    program = [Instruction("f", 4 * i, *line.split(" ", 1)) for i, line in enumerate(lines)]
    counts = {i.address: Count(executed, (taken or {}).get(i.address, 0)) for i in program}
    return model_cycles(program, counts)["f"][1]


@pytest.mark.parametrize(
    ("lines", "cycles"),
    [
        (("add r0, r1",), 1),
        (("ldr r0, [r1]",), 2),
        (("vldr s0, [r1]", "vldr s1, [r1, #4]", "vldr s2, [r1, #8]"), 2 + 1 + 1),
        (("add r0, r1", "ldr r2, [r0, #4]"), 1 + 2 + 1),
        (("add r0, r1", "ldr r2, [r1, #4]"), 1 + 2),
        (("vldmia r0!, {s0-s7}",), 1 + 8),
        (("vpush {d8-d9}",), 1 + 4),
        (("stmdb sp!, {r4, r5, lr}",), 1 + 3),
        (("vmul.f32 s0, s1, s2", "vadd.f32 s3, s4, s5"), 1 + 1),
        (("vmul.f32 s0, s1, s2", "vadd.f32 s3, s0, s5"), 1 + 1 + 1),
        (("vmul.f32 s0, s1, s2", "vadd.f32 s0, s4, s5"), 1 + 1),
        (("vfma.f32 s0, s1, s2", "vfma.f32 s0, s3, s4"), 3 + 1 + 3),
        (("vdiv.f32 s0, s1, s2", "vstr s0, [r1]"), 14 + 1 + 2),
        (("vmov r0, r1, s0, s1",), 2),
        (("smlad r4, r8, r6, r4", "smlad r5, r9, r6, r5"), 1 + 1),
        (("ldmia r0!, {r8, r9, sl, fp}",), 1 + 4),
        (("ldrd r0, r1, [r2]",), 1 + 2),
        (("ubfx r4, r4, #0, #12", "sxth r5, r4", "pkhbt r6, r4, r5, lsl #16", "ssat r7, #16, r6"), 4),
        (("mla r4, r5, r6, r7", "smlald r0, r1, r2, r3"), 1 + 1),
        (("bne 0",), 1),
    ],
)
def test_an_instruction_costs_what_the_table_says(lines: tuple[str, ...], cycles: int) -> None:
    assert priced(*lines) == cycles


def test_a_taken_branch_refills_the_pipeline_and_one_not_taken_does_not() -> None:
    assert priced("bne 0", executed=10, taken={0: 9}) == 10 + 9 * REFILL


def test_a_period_is_counted_exactly_and_repeatably(tmp_path: Path, board_tools: None) -> None:
    board = BoardPolicy(small_policy(tmp_path / "policy.onnx"), tmp_path)
    still = np.zeros((20, SPEC.observation_size), np.float32)
    cost = step_cost(board, still)
    assert cost == step_cost(board, still)
    functions = {f.name: f for f in cost.functions}
    # a multiply-add is a load, a product and a sum at least; nothing in the loop is executed twice
    multiply_adds = 12 * 13 + 13 * 2
    assert 3 * multiply_adds < functions["rs_dense"].instructions < 8 * multiply_adds
    assert functions["rs_envelope_observe"].instructions > 0
    assert cost.cycles > cost.instructions


def test_rows_that_trip_the_envelope_are_not_taken_for_a_period(tmp_path: Path, board_tools: None) -> None:
    board = BoardPolicy(small_policy(tmp_path / "policy.onnx"), tmp_path)
    with pytest.raises(ContractError, match="tripped"):
        step_cost(board, np.full((20, SPEC.observation_size), np.nan, np.float32))


def test_a_file_that_is_no_program_is_refused(tmp_path: Path, board_tools: None) -> None:
    path = tmp_path / "text.elf"
    path.write_text("not an ELF file")
    with pytest.raises(ContractError, match=r"text\.elf"):
        disassemble(path)
