"""Scores: numbers measured on the pixels of grid cells, before any tile is exported.

Functions import OpenCV where they use it, so cached scores do not load it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiler.scores.blur import Blur
    from tiler.scores.colours import Black, Grey, Pen, Saturation, Stain, White
    from tiler.scores.entropy import Entropy

_COLOURS = ("Black", "Grey", "Pen", "Saturation", "Stain", "White")
_HOMES = {
    "Blur": "tiler.scores.blur",
    "Entropy": "tiler.scores.entropy",
    **dict.fromkeys(_COLOURS, "tiler.scores.colours"),
}

__all__ = ["Black", "Blur", "Entropy", "Grey", "Pen", "Saturation", "Stain", "White"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiler.scores' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
