"""Real-time manners, each an option that degrades with a warning: SCHED_FIFO, locked memory, a still collector.

Threads of DDS inherit the scheduler of the thread that starts them, so `schedule` comes before rclpy.init. A full
collection of Python's garbage costs some 9 ms: once everything is set up, what lives is frozen and the collector is
switched off. Reference counts go on freeing; only cycles would pile up, and the loops make none.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
from typing import Any

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4


def schedule(fifo_priority: int) -> str:
    """Puts this thread, and all that it starts, under SCHED_FIFO and locks its memory; 0 leaves both. Returns what
    could not be had, with the remedy; empty when all of it could."""
    if fifo_priority == 0:
        return ""
    lacking = []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(fifo_priority))
    except (PermissionError, ValueError, OSError) as error:
        lacking.append(f"SCHED_FIFO {fifo_priority} ({error}; /etc/security/limits.d: `@realtime - rtprio 98`)")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:  # what is touched stays; not all that is mapped
        why = os.strerror(ctypes.get_errno())
        lacking.append(f"locked memory ({why}; /etc/security/limits.d: `@realtime - memlock unlimited`)")
    return "going on without " + " and ".join(lacking) if lacking else ""


def end_with_parent() -> None:
    """The kernel sends SIGINT when the thread that started this process is gone, however it went: no node outlives the
    program that can end it in order."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGINT)


class RealTime:
    """The part of it that a node does when it becomes active."""

    def __init__(self, node: Any) -> None:
        node.declare("still_collector", True, "no garbage collection while active")
        self._node = node

    def settle(self) -> None:
        if self._node.value("still_collector"):
            gc.collect()
            gc.freeze()
            gc.disable()
