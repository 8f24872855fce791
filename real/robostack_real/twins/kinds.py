"""The emulated boards by name: entry points of `robostack.boards`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from robostack_real.link.client import BoardLink
from robostack_real.twins.board import LockstepBoard, SerialBoard
from robostack_real.twins.build import Board, build_firmware, install_line, missing_tools


@dataclass(frozen=True)
class EmulatedBoard:
    """Builds a run's `exported/firmware` for one board and starts it."""

    name: Board

    def missing(self) -> list[str]:
        """Tools that are not on this machine."""
        return missing_tools(self.name)

    def remedy(self) -> str:
        """The line that installs them."""
        return install_line(self.missing())

    def image(self, firmware: Path) -> Path:
        """Builds the image whose serial line is a wire. Raises BuildError."""
        build = firmware / f"build-{self.name}-usart"
        return build_firmware(firmware, firmware / "generated", build, board=self.name, transport="usart")

    def lockstep(self, firmware: Path) -> LockstepBoard:
        """The board in virtual time; enter it to start it. Raises BuildError."""
        build = firmware / f"build-{self.name}-lockstep"
        elf = build_firmware(firmware, firmware / "generated", build, board=self.name, transport="lockstep")
        return LockstepBoard(elf, self.name)

    @contextmanager
    def serial(self, firmware: Path) -> Iterator[BoardLink]:
        """The board behind a serial port, opened. Raises BuildError, LinkError."""
        with SerialBoard(self.image(firmware), self.name) as board, board.connect() as link:
            yield link


netduinoplus2 = EmulatedBoard("netduinoplus2")
host = EmulatedBoard("host")
