"""Learners: one file an algorithm, and the run around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robostack.learn.shac import SHAC as SHAC

__all__ = ["SHAC"]


def __getattr__(name: str) -> Any:
    if name == "SHAC":  # imported on first use: it needs torch
        from robostack.learn.shac import SHAC

        return SHAC
    raise AttributeError(f"module 'robostack.learn' has no attribute {name!r}")
