"""`taxim` (PyPI) without what it needs for shadows alone, or once: torch-scatter, which is built from source, and
torchvision, whose wheels do not load beside a torch for CPUs. `pip install --no-deps taxim` is enough."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from torch import Tensor
from torch.nn import functional


def resize(image: Tensor, size: list[int], interpolation: Any = None) -> Tensor:
    """torchvision's, for (channels, height, width)."""
    return functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]


def simulator() -> Any:
    """A GelSight Mini on the CPU. Raises ImportError where taxim is not installed."""
    stand_ins: dict[str, dict[str, Any]] = {
        "torch_scatter": {},
        "torchvision": {},
        "torchvision.transforms": {"InterpolationMode": type("InterpolationMode", (), {"BILINEAR": "bilinear"})},
        "torchvision.transforms.functional": {"resize": resize},
    }
    for name, content in stand_ins.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(content)
    taxim = importlib.import_module("taxim")
    return taxim.Taxim(backend="torch", calib_folder=taxim.CALIB_GELSIGHT_MINI, device="cpu")
