"""Frees what killed nodes leave in shared memory.

Fast DDS keeps a participant's messages in /dev/shm/fastrtps_ID and holds a lock on fastrtps_ID_el while it lives; the
kernel lets go of the lock when the process dies, however it does. The next participant frees the segments it finds
without an owner, so the last one killed would leave its own for good. Its ports are left to it: they are small, belong
to a number and not to a process, and are used again.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

FOLDER = Path("/dev/shm")


def segments_locks(folder: Path = FOLDER) -> list[Path]:
    """Of all participants, dead ones too."""
    return [lock for lock in folder.glob("fastrtps_*_el") if not lock.name.startswith("fastrtps_port")]


def free_ownerless(folder: Path = FOLDER) -> int:
    """Removes the segments that nobody holds; returns how many. Those of other users stay."""
    freed = 0
    for lock in segments_locks(folder):
        try:
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock.with_name(lock.name.removesuffix("_el")).unlink(missing_ok=True)
                lock.unlink()
        except OSError:  # held, gone meanwhile, or not ours
            continue
        freed += 1
    return freed
