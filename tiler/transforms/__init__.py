"""Transforms: pixels of tiles to pixels, fitted to each slide before its first tile is read."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiler.transforms.icc import Icc
    from tiler.transforms.macenko import Macenko
    from tiler.transforms.reinhard import Reinhard

_HOMES = {
    "Icc": "tiler.transforms.icc",
    "Macenko": "tiler.transforms.macenko",
    "Reinhard": "tiler.transforms.reinhard",
}

__all__ = ["Icc", "Macenko", "Reinhard"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiler.transforms' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
