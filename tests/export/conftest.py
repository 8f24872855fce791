"""What the export tests share."""

from collections.abc import Callable

import pytest


@pytest.fixture
def board_tools(need_tool: Callable[..., str]) -> None:
    """Cross compiler and emulator."""
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        need_tool(tool)
