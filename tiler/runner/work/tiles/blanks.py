"""Tiles that are background throughout, because nothing was scanned there: written, but counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiler.checks.pixels import transformed
from tiler.files import digest
from tiler.geometry import Size
from tiler.protocols import FittedTransform, Pixels, TileExporter, WSIReader
from tiler.readers.base import FactsReader
from tiler.readers.limits import check_read
from tiler.runner.components import encode
from tiler.runner.work.tiles.pipeline import context_of, is_native

_WHITE = (255, 255, 255)


def blank_digest(
    exporter: TileExporter, source: WSIReader, shape: Size, transforms: Sequence[FittedTransform]
) -> str:
    """Return the SHA-256 of a background tile's bytes; empty for native and context tiles.

    Raises
    ------
    LimitError
        If a tile has more pixels than may be read at once.
    """
    if is_native(exporter) or context_of(exporter):
        return ""
    check_read(source.name, shape, 1.0, "a tile")
    background = source.facts.background if isinstance(source, FactsReader) else _WHITE
    pixels: Pixels = np.full((shape.height, shape.width, 3), background, np.uint8)
    return digest(encode(exporter, source, transformed(source, pixels, transforms)))
