"""Damaged native tiles that OpenSlide reads without an error.

OpenSlide shows a tile of 0 bytes as transparent for any offset, and does not report all damage
inside a tile. These checks read the lists and the bytes in the TIFF itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import openslide

from tiler.errors import OpenError
from tiler.geometry import Size
from tiler.readers.sparse import SparseTiles
from tiler.readers.tiff.file import TileFile
from tiler.readers.tiff.layout import PLAIN_VENDORS, are_levels, level_pages
from tiler.readers.tiff.page_tiles import NativeTileError, PageTiles, page_tiles
from tiler.readers.tiff.tile_table import is_tiled, page_size
from tiler.readers.tiff_directories import Tags
from tiler.readers.tile_checks import openslide_check


class CheckedTiles:
    """The native tiles of an open OpenSlide slide, checked before OpenSlide reads them.

    Safe to use from several threads.

    Parameters
    ----------
    path
        The slide's file.
    levels
        The levels with something to check, by OpenSlide's level number.
    downsamples
        OpenSlide's downsamples of all levels.
    sparse
        The native tiles that the file omits, by the same number.
    """

    def __init__(
        self,
        path: Path,
        levels: Mapping[int, PageTiles],
        downsamples: Sequence[float],
        sparse: Mapping[int, SparseTiles],
    ) -> None:
        self._levels, self._downsamples = levels, downsamples
        self._sparse = sparse
        self._checked = {
            number: bytearray(level.planes[0].offsets.size) for number, level in levels.items()
        }
        self._file = TileFile(path) if levels else None

    def check(self, location: tuple[int, int], level: int, size: Size) -> None:
        """Check the tiles that OpenSlide reads for a region.

        Parameters
        ----------
        location, level, size
            OpenSlide's arguments: the location is in level-0 pixels.

        Raises
        ------
        NativeTileError
            If a tile is damaged; the error names the first one.
        """
        if level not in self._levels:
            return
        tiles, checked = self._levels[level], self._checked[level]
        left, top = (start / self._downsamples[level] for start in location)
        table = tiles.planes[0]
        for tile in table.within(left, top, left + size.width, top + size.height):
            if tiles.wrong[tile]:
                raise NativeTileError(tiles.problem(tile))
            if tiles.check is not None and not checked[tile]:
                assert self._file is not None
                tiles.check_bytes(self._file, tile)
                checked[tile] = True

    def sparse_in(self, levels: Sequence[int]) -> tuple[SparseTiles, ...] | None:
        """Return the native tiles that the file omits from some levels; None if unknown."""
        if not self._sparse.keys() >= set(levels):
            return None
        return tuple(self._sparse[level] for level in levels)

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._file is not None:
            self._file.close()


def native_tiles(
    path: Path, name: str, pages: Sequence[Tags], vendor: str, slide: openslide.OpenSlide
) -> CheckedTiles:
    """Return the native tiles of the levels that OpenSlide finds.

    Parameters
    ----------
    path, name
        The slide's file and name.
    pages
        The pages of the TIFF; empty for other formats.
    vendor
        OpenSlide's name of the format.
    slide
        OpenSlide's handle.

    Raises
    ------
    OpenError
        If a tile is damaged and its level is unknown.
    """
    levels = level_pages(pages, vendor) if vendor in PLAIN_VENDORS else []
    sizes, downsamples = [Size(*size) for size in slide.level_dimensions], slide.level_downsamples
    told_apart = len({size.width for size in sizes}) == len(sizes)  # OpenSlide sorts by width
    if told_apart and are_levels([page_size(tags) for tags in levels], sizes, vendor):
        listed = (page_tiles(tags, openslide_check(tags)) for tags in levels)
        found = {number: tiles for number, tiles in enumerate(listed) if tiles is not None}
        checked = {n: t for n, t in found.items() if t.check is not None or t.wrong.any()}
        sparse = {number: tiles.sparse_tiles() for number, tiles in found.items()}
        return CheckedTiles(path, checked, downsamples, sparse)
    for number, tags in enumerate(pages):
        tiles = page_tiles(tags, None) if is_tiled(tags) else None
        if tiles is not None and tiles.wrong.any():
            what = tiles.problem(int(np.flatnonzero(tiles.wrong)[0]))
            raise OpenError(name, f"{path.name}: page {number}: {what}")
    return CheckedTiles(path, {}, downsamples, {})
