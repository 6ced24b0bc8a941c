"""Tissue masks: together with the mask resize, the only modules that use OpenCV.

Functions import OpenCV where they use it, so a cached mask does not load it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiler.masks.all_tissue import AllTissue
    from tiler.masks.annotation import AnnotationMask
    from tiler.masks.combine import CombineMask
    from tiler.masks.file import FileMask
    from tiler.masks.hsv import HsvMask
    from tiler.masks.onnx.mask import OnnxMask
    from tiler.masks.otsu import OtsuMask
    from tiler.masks.pen import PenMask
    from tiler.masks.texture import TextureMask

_HOMES = {
    "AllTissue": "tiler.masks.all_tissue",
    "AnnotationMask": "tiler.masks.annotation",
    "CombineMask": "tiler.masks.combine",
    "FileMask": "tiler.masks.file",
    "HsvMask": "tiler.masks.hsv",
    "OnnxMask": "tiler.masks.onnx.mask",
    "OtsuMask": "tiler.masks.otsu",
    "PenMask": "tiler.masks.pen",
    "TextureMask": "tiler.masks.texture",
}

__all__ = [
    "AllTissue",
    "AnnotationMask",
    "CombineMask",
    "FileMask",
    "HsvMask",
    "OnnxMask",
    "OtsuMask",
    "PenMask",
    "TextureMask",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiler.masks' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
