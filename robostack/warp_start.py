"""Starts Warp without its native library's complaint about a missing GPU, which on a CPU machine is no news."""

from __future__ import annotations

import os
import tempfile

import warp as wp

NO_GPU = b"Could not find or load the NVIDIA CUDA driver"
"""Written to standard error by native code at wp.init(), whatever wp.config.log_level is (Warp 1.19)."""


def start() -> None:
    """wp.init() with errors only; what else the native code has to say is passed on."""
    wp.config.log_level = wp.LOG_ERROR
    try:
        stderr = os.dup(2)
    except OSError:  # a daemon without one
        wp.init()
        return
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            wp.init()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            said.seek(0)
            for line in said:
                if NO_GPU not in line:
                    os.write(2, line)
