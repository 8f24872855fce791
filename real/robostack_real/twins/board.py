"""Emulated boards: the firmware that a real one gets, on QEMU's STM32F405 or compiled for this machine."""

from __future__ import annotations

import os
import select
import tempfile
import termios
import tty
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy.typing as npt

from robostack_real.link.client import BoardLink
from robostack_real.link.errors import LinkError, LinkLost
from robostack_real.link.frame import Decoder, encode
from robostack_real.link.protocol import Actuation, Message, Type
from robostack_real.link.session import BoardSession
from robostack_real.twins.build import Board
from robostack_real.twins.process import TwinProcess

HANG_S = 60.0
"""A guard against a twin that hangs, and nothing else: no behaviour depends on it."""
TO_BOARD, FROM_BOARD = "to_board", "from_board"
"""The FIFOs' names in the board's folder; boards/netduinoplus2/lockstep.c opens them."""


class LockstepBoard(BoardSession):
    """A board in virtual time, which stands still while the host thinks: a flight repeats to the byte.

    `with LockstepBoard(elf) as board:` starts it; every `step` is one control period. `elf` is firmware
    built with TRANSPORT=lockstep for that board. Raises LinkError if it does not start, LinkLost if it dies.
    """

    def __init__(self, elf: Path, board: Board = "netduinoplus2") -> None:
        self.where = f"lockstep {board}"
        self._elf = elf.resolve()
        self._board = board
        self._decoder = Decoder()
        self._process: TwinProcess | None = None
        self._to = self._from = -1

    def __enter__(self) -> Self:
        try:
            self._start()
            self.identify()
        except BaseException:  # Ctrl-C too must leave nothing running
            self.close()
            raise
        return self

    def _start(self) -> None:
        """The FIFOs' folder is gone as soon as both ends are open."""
        with tempfile.TemporaryDirectory(prefix="robostack-board-") as folder:
            to_board, from_board = Path(folder) / TO_BOARD, Path(folder) / FROM_BOARD
            os.mkfifo(to_board)
            os.mkfifo(from_board)
            self._from = os.open(from_board, os.O_RDONLY | os.O_NONBLOCK)
            both_ends = os.open(to_board, os.O_RDWR)  # so that nobody has to wait for the other to open
            try:
                self._to = os.open(to_board, os.O_WRONLY)
                self._process = TwinProcess(self._program(to_board, from_board), cwd=Path(folder))
                self._send(Message(Type.HELLO, 0))
                self._receive()  # the board has opened both
            finally:
                os.close(both_ends)

    def _program(self, to_board: Path, from_board: Path) -> list[str]:
        if self._board == "host":
            return [str(_present(self._elf)), str(to_board), str(from_board)]
        return [
            *_qemu(self._elf), "-serial", "none", "-semihosting-config", "enable=on,target=native",
            "-icount", "shift=0,sleep=off",
        ]  # fmt: skip

    def step(
        self,
        values: npt.ArrayLike,
        fresh: Sequence[bool] | None = None,
        age_s: Sequence[float] | None = None,
    ) -> Actuation:
        """One control period in which this observation arrived; see `observe`."""
        return self.observe(values, fresh, age_s)

    def wait(self) -> Actuation:
        """One control period in which nothing arrived."""
        return self._exchange(self._next(Type.WAIT))

    def _pass_time(self) -> None:
        self.wait()

    def deliver(self, data: bytes) -> Message:
        """Hands the board the bytes of one control period as they are, damaged or not; returns its answer.

        Raises ValueError for more than a FIFO takes at once.
        """
        if not 0 < len(data) <= select.PIPE_BUF:
            raise ValueError(f"a delivery of {len(data)} bytes: 1 to {select.PIPE_BUF}")
        self._send_bytes(data)
        return self._receive()

    def kill(self) -> None:
        """Power failure."""
        if self._process:
            self._process.kill()

    def close(self) -> None:
        if self._process:
            self._process.stop()
            self._process = None
        for fd in (self._to, self._from):
            if fd >= 0:
                os.close(fd)
        self._to = self._from = -1

    def _ask(self, request: Message, answer: Type) -> Message:
        self._send(request)
        return self._expect(self._receive(), request, answer)

    def _exchange(self, observe: Message) -> Actuation:
        who = self._known()
        self._send(observe)
        return Actuation.parse(self._receive(), who.action_size, observe.sequence)

    def _send(self, message: Message) -> None:
        self._send_bytes(encode(bytes(message)))

    def _send_bytes(self, data: bytes) -> None:
        try:
            os.write(self._to, data)
        except OSError as error:
            raise self._lost() from error

    def _receive(self) -> Message:
        while not (messages := self._arrived()):
            pass
        return messages[0]

    def _arrived(self) -> list[Message]:
        """Waits for bytes from the board; the messages that they complete, if any."""
        ready, _, _ = select.select([self._from, self._running().pidfd], [], [], HANG_S)
        if not ready:
            raise LinkLost(
                f"{self._name()} has not answered for {HANG_S:g} s: it hangs, or {self._elf} was built "
                "without TRANSPORT=lockstep"
            )
        data = os.read(self._from, 65536) if self._from in ready else b""
        if not data:
            raise self._lost()
        return [Message.parse(m) for m in self._decoder.feed(data)]

    def _running(self) -> TwinProcess:
        if self._process is None:
            raise LinkLost(f"{self._name()} is not running: use `with LockstepBoard(elf) as board:`")
        return self._process

    def _lost(self) -> LinkLost:
        return LinkLost(f"{self._name()} ended, {self._running().epitaph()}")


class SerialBoard:
    """A board in real time on a pseudo-terminal: open `port` with BoardLink, or `connect`.

    `elf` is firmware built with TRANSPORT=usart for that board. Raises LinkError if it does not start. Its
    timing is the emulator's.
    """

    def __init__(self, elf: Path, board: Board = "netduinoplus2") -> None:
        self._elf = elf.resolve()
        self._board = board
        self._process: TwinProcess | None = None
        self._line = -1
        self.port = ""

    def __enter__(self) -> Self:
        master, self._line = os.openpty()  # our copy of the line keeps it up while no client has it open
        try:
            _make_raw(self._line)
            self.port = os.ttyname(self._line)
            self._process = TwinProcess(self._program(), stdio=master)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(master)  # the process has its own: when it ends, the line goes dead
        return self

    def _program(self) -> list[str]:
        if self._board == "host":
            return [str(_present(self._elf))]
        return [*_qemu(self._elf), "-chardev", "stdio,id=line,signal=off", "-serial", "chardev:line"]

    def connect(self) -> BoardLink:
        """A link with the patience that an emulator on a busy machine needs."""
        return BoardLink(self.port, attempts=240)

    def kill(self) -> None:
        """The cable is pulled, or power fails."""
        if self._process:
            self._process.kill()

    def close(self) -> None:
        if self._process:
            self._process.stop()
            self._process = None
        if self._line >= 0:
            os.close(self._line)
            self._line = -1

    def __exit__(self, *exc: object) -> None:
        self.close()


def _present(elf: Path) -> Path:
    if not elf.is_file():
        raise LinkError(f"{elf}: there is no such firmware; build it first")
    return elf


def _qemu(elf: Path) -> list[str]:
    machine = ["-M", "netduinoplus2", "-display", "none", "-monitor", "none"]
    return ["qemu-system-arm", *machine, "-kernel", str(_present(elf))]


def _make_raw(line: int) -> None:
    """No echo, no translation. QEMU sets OPOST again on what it takes for a terminal, so ONLCR goes too."""
    tty.setraw(line)
    mode = termios.tcgetattr(line)
    mode[1] &= ~(termios.OPOST | termios.ONLCR)
    termios.tcsetattr(line, termios.TCSANOW, mode)
