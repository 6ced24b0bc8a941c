"""Tiles that are background throughout, because nothing was scanned there: written, but counted."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tiler.files import digest
from tiler.geometry import Size
from tiler.protocols import EncodesTiles, Pixels, WSIReader
from tiler.readers.base import FactsReader
from tiler.readers.limits import check_read

_WHITE = (255, 255, 255)


def blank_digest(exporter: object, source: WSIReader, shape: Size) -> str:
    """Return the SHA-256 of the file of a background tile; empty where an exporter writes none.

    Raises
    ------
    LimitError
        If a tile is larger than what is read at once.
    """
    if not hasattr(exporter, "encoded") or not isinstance(exporter, EncodesTiles):
        return ""
    check_read(source.name, shape, 1.0, "a tile")
    background = source.facts.background if isinstance(source, FactsReader) else _WHITE
    return _digest(exporter, shape, background)


@lru_cache(64)
def _digest(exporter: EncodesTiles, shape: Size, background: tuple[int, int, int]) -> str:
    pixels: Pixels = np.full((shape.height, shape.width, 3), background, np.uint8)
    data = exporter.encoded(pixels)
    return digest(data) if data else ""
