"""Readers: the only modules that use OpenSlide, Pillow or a file format."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiler.readers.auto import open_slide
    from tiler.readers.image import ImageReader
    from tiler.readers.openslide.reader import OpenSlideReader
    from tiler.readers.tiff.reader import TiffReader

_HOMES = {
    "open_slide": "tiler.readers.auto",
    "ImageReader": "tiler.readers.image",
    "OpenSlideReader": "tiler.readers.openslide.reader",
    "TiffReader": "tiler.readers.tiff.reader",
}

__all__ = ["ImageReader", "OpenSlideReader", "TiffReader", "open_slide"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiler.readers' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
