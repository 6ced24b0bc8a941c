"""Tiles that are background throughout, because nothing was scanned there: written, but counted."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

import numpy as np

from tiler.files import digest
from tiler.geometry import Size
from tiler.protocols import EncodesTiles, Pixels, WSIReader
from tiler.readers.base import FactsReader
from tiler.readers.deferred import Known
from tiler.readers.limits import check_read
from tiler.regions import Regions
from tiler.resolution import plan_read
from tiler.written import WrittenFiles

_WHITE = (255, 255, 255)


def blank_native_tiles(known: Known, slide: str, regions: Regions, downsample: float) -> int | None:
    """How many native tiles under some regions the file leaves out; None where it does not say.

    Counted are those of the level that the regions are read from.
    """
    sparse, levels = known.facts.sparse, known.facts.level_downsamples
    if sparse is None:
        return None
    plan = plan_read(downsample, levels, slide=slide, allow_upsampling=True)
    return sparse[plan.level].under(regions, plan.scale) if plan.level < len(sparse) else 0


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


def blank_tiles(files: WrittenFiles, digests: Collection[str]) -> int:
    """How many files have one of some digests, as ``blank_digest`` gives them."""
    wanted = [bytes.fromhex(digest) for digest in set(digests) if digest]
    alike = [(files.digests == np.frombuffer(one, np.uint8)).all(axis=1) for one in wanted]
    return int(np.count_nonzero(np.any(alike, axis=0))) if alike else 0
