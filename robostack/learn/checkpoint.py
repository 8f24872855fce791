"""Checkpoint files: plain tensors and numbers, written in one step, read without executing anything."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robostack.run_folder import write_atomic
from robostack.spec import ContractError

VERSION = 1


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes all or nothing: after a RunFolderError (a full disk, say) the checkpoint from before stays."""
    write_atomic(path, _bytes({"version": VERSION, **content}))


def packed(content: dict[str, Any]) -> Tensor:
    """What a process of a team adds to the checkpoint of all, as bytes that say nothing of devices: (n,) uint8."""
    return torch.frombuffer(bytearray(_bytes(content)), dtype=torch.uint8)


def unpacked(part: Tensor) -> dict[str, Any]:
    """What `packed` took, on the CPU."""
    content: dict[str, Any] = torch.load(io.BytesIO(part.numpy().tobytes()), map_location="cpu", weights_only=True)
    return content


def load(path: Path, device: str | None = None) -> dict[str, Any]:
    """What `save` wrote, its tensors on `device` (None: where they were).

    Raises ContractError when it is missing, damaged or of another version.
    """
    try:
        kept: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        version = kept.get("version")
    except FileNotFoundError as error:
        raise ContractError(f"{path}: no checkpoint yet; train first, without --resume") from error
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ContractError(
            f"{path}: damaged, or not a checkpoint ({type(error).__name__}); restore it, or train again"
        ) from error
    if version != VERSION:
        raise ContractError(
            f"{path}: checkpoint version {version}, this robostack reads {VERSION}: install the robostack "
            "that wrote it, or train again"
        )
    return kept


def _bytes(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
