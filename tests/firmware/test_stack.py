"""The stack has a bound, the board keeps to it, and what has none is refused."""

import re
import subprocess

import pytest
import tiny

from robostack.export.stack import EXCEPTION_FRAME, stack_depth
from robostack.spec import ContractError
from robostack_real.twins.board import LockstepBoard
from robostack_real.twins.build import build_firmware

REACHED = {
    "usart": {"rs_clock_now_us"}, "lockstep": {"now_us"},
    "lockstep, hot swap": {"now_us", "infer_bank_0", "infer_bank_1"},
}  # fmt: skip


@pytest.fixture(scope="module", params=["usart", "lockstep", "lockstep, hot swap"])
def image(request, source, policy, swappable, need_tool, tmp_path_factory):
    """The transport, and the folder its firmware was built in, with a quadrotor's policy."""
    need_tool("arm-none-eabi-gcc")
    build, (transport, *swap) = tmp_path_factory.mktemp("build"), request.param.split(", ")
    build_firmware(source, swappable if swap else policy, build, board="netduinoplus2", transport=transport)
    return request.param, build


def test_the_stack_has_a_bound_far_below_what_the_linker_leaves(image):
    report = stack_depth(image[1])
    assert report.deepest_path[:2] == ("Reset_Handler", "main")
    assert "policy_infer" in report.deepest_path
    assert set(report.handlers) == {"SysTick_Handler", "USART1_Handler", "Halt_Handler"}
    assert all(size >= EXCEPTION_FRAME for size in report.handlers.values())
    assert report.main_bytes < report.worst_bytes < 1024  # the linker script wants 8 KiB


def test_only_the_policy_and_the_boards_clocks_are_called_through_pointers(image):
    kind, build = image
    known = {"policy_infer", "rs_clock_periods", "rs_clock_stopwatch"}
    assert set(stack_depth(build).reached_by_pointer) == known | REACHED[kind]


def test_the_image_has_no_heap(image):
    listed = subprocess.run(["arm-none-eabi-nm", image[1] / "firmware.elf"], capture_output=True, text=True, check=True)
    assert "policy_infer" in listed.stdout
    assert re.findall(r"\S*(?:alloc|sbrk|\bfree\b)\S*", listed.stdout) == []


def with_policy(folder, before, inside):
    """Generated sources of the tiny policy, with C before its inference and at the start of it."""
    generated = tiny.write_generated(folder / "generated")
    text = (generated / "infer.c").read_text()
    body = text.rindex("float *next_state) {") + len("float *next_state) {")
    (generated / "infer.c").write_text(f"#include <stdint.h>\n{before}\n{text[:body]}\n{inside}\n{text[body:]}")
    return generated


def test_the_emulated_board_goes_nearly_as_deep_as_the_bound_and_no_deeper(source, need_tool, tmp_path):
    """Its policy says how much of the stack was ever touched: what never was is zero in the emulator."""
    need_tool("qemu-system-arm")
    look = """
      for (volatile uint32_t work = 3000000u; work > 0u; work--) { /* interrupts come meanwhile */
      }
      const volatile uint32_t *word = &rs_bss_end;
      while (*word == 0u) {
        word++;
      }
      action[0] = (float)(uint32_t)((uintptr_t)&rs_stack_top - (uintptr_t)word);
      return;
    """
    generated = with_policy(tmp_path, "extern uint32_t rs_bss_end, rs_stack_top;", look)
    elf = build_firmware(source, generated, tmp_path / "build", board="netduinoplus2", transport="lockstep")
    report = stack_depth(elf.parent)
    with LockstepBoard(elf) as board:
        deepest = board.self_test(0).outputs[0]
    assert report.main_bytes - 32 <= deepest <= report.worst_bytes


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("static float deep(int n, float *x) { float y[4] = {*x}; return n > 0 ? y[0] + deep(n - 1, y) : *x; }",
         r"no bound: .*deep.* calls .*deep"),
        ("static float deep(int n, volatile float *x) { volatile float y[n + 1]; y[0] = *x; return y[0]; }",
         "known at run time only"),
    ],
)  # fmt: skip
def test_recursion_and_frames_of_no_constant_size_are_refused(code, said, source, need_tool, tmp_path):
    need_tool("arm-none-eabi-gcc")
    call = "float first = observation[0]; volatile float seen = deep((int)observation[1], &first); (void)seen;"
    generated = with_policy(tmp_path, code, call)
    build = build_firmware(source, generated, tmp_path / "build", board="netduinoplus2", transport="usart").parent
    with pytest.raises(ContractError, match=said):
        stack_depth(build)


def test_an_image_of_a_process_has_no_vector_table(firmware):
    with pytest.raises(ContractError):
        stack_depth(firmware("host", "usart").parent)
