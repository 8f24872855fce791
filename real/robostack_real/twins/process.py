"""A twin's process: started apart from the terminal's Ctrl-C, ended for certain, explained when it dies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from robostack_real.link.errors import LinkError


class TwinProcess:
    """Runs until `stop`, and no longer than its parent, however that ends. `pidfd` becomes readable when the process
    ends: one wait watches it and its output.

    Raises LinkError when the program cannot be started.
    """

    def __init__(self, command: Sequence[str], *, cwd: Path | None = None, stdio: int | None = None) -> None:
        if shutil.which(command[0]) is None:
            raise LinkError(f"cannot start {command[0]}: it is not installed, or is no program")
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        line = subprocess.DEVNULL if stdio is None else stdio
        try:
            self._process = subprocess.Popen(
                [*_tied(), *command], cwd=cwd, stdin=line, stdout=line, stderr=self._errors,
                start_new_session=True,  # the parent decides what Ctrl-C means for its twins
            )  # fmt: skip
        except OSError as error:
            self._errors.close()
            raise LinkError(f"cannot start {command[0]}: {error}") from error
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)

    def kill(self) -> None:
        """As if power failed: no clean-up, the parent is not told."""
        self._process.send_signal(signal.SIGKILL)

    def stop(self) -> None:
        """Ends and reaps the process; may be called twice."""
        if self.pidfd < 0:
            return
        self._process.kill()
        self._process.wait()
        os.close(self.pidfd)
        self._errors.close()
        self.pidfd = -1

    def epitaph(self) -> str:
        """How it ended, with the end of what it wrote to its standard error."""
        try:
            status = self._process.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            return "which closed its end and runs on"
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip()[-400:]
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"{how}{': ' + words if words else ''}"


def _tied() -> list[str]:
    """Words before a command that make the kernel end it when this process dies, even by SIGKILL.

    util-linux's setpriv asks for it (PR_SET_PDEATHSIG); the shell sees whether we died before that, and becomes the
    command. Safer than to run Python between fork and exec. The kernel watches the thread that forks, so only the main
    one, which lasts, may ask. Without it a twin ends when it notices that its line is dead, which an emulator with a
    serial port never does.
    """
    tool = shutil.which("setpriv")
    if tool is None or threading.current_thread() is not threading.main_thread():
        return []
    return [tool, "--pdeathsig", "KILL", "--", "/bin/sh", "-c", 'test $PPID = "$0" && exec "$@"', str(os.getpid())]
