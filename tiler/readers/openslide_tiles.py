"""Native tiles that OpenSlide reads without an error although they are damaged.

It shows a tile of 0 bytes as transparent wherever its offset points, and does not report all damage
inside a tile. These checks read the lists and the bytes in the TIFF itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openslide

from tiler.errors import OpenError
from tiler.geometry import Size
from tiler.readers.tiff_directories import Tags
from tiler.readers.tiff_file import TileFile
from tiler.readers.tiff_layout import are_levels, level_pages
from tiler.readers.tile_checks import PLANES, SAMPLES, openslide_check, plain_bytes
from tiler.readers.tile_table import (
    TILE_HEIGHT,
    TILE_WIDTH,
    TileTable,
    is_tiled,
    page_size,
    tile_lists,
)

_PLAIN_VENDORS = ("aperio", "generic-tiff", "philips")
"""OpenSlide's formats whose levels are each one page, its tiles side by side."""


@dataclass(frozen=True, eq=False)
class PageTiles:
    """The native tiles of one page.

    Attributes
    ----------
    planes
        Their tables: one, or one for each sample where the samples are stored apart.
    plain_bytes
        The bytes of an uncompressed tile; None for compressed ones.
    check
        What to check in a tile's bytes, if anything.
    """

    planes: tuple[TileTable, ...]
    plain_bytes: int | None
    check: Callable[[bytes], None] | None

    @cached_property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """Tiles whose entries in the lists show that they are damaged: bool (tiles,)."""
        sparse = np.stack([plane.sparse for plane in self.planes])
        wrong: npt.NDArray[np.bool_] = np.any([plane.damaged for plane in self.planes], axis=0)
        wrong |= sparse.any(axis=0) & ~sparse.all(axis=0)
        if self.plain_bytes is not None:
            counts = np.stack([plane.byte_counts for plane in self.planes])
            wrong |= ((counts > 0) & (counts < self.plain_bytes)).any(axis=0)
        return wrong

    def problem(self, tile: int) -> str:
        """What shows that a tile is wrong, and where it is."""
        for plane in self.planes:
            if reason := plane.wrong_entry(tile):
                return f"{plane.name(tile)}: {reason}"
        table, count = self.planes[0], int(self.planes[0].byte_counts[tile])
        if self.plain_bytes is not None and 0 < count < self.plain_bytes:
            reason = f"{count:,} bytes of pixels instead of {self.plain_bytes:,}"
        else:
            reason = "only some of its planes are there"
        return f"{table.name(tile)}: {reason}; copy the slide again"


class NativeTileError(Exception):
    """A native tile is damaged: which one, and how."""


class NativeTiles:
    """The native tiles of a slide that OpenSlide has open, checked before it reads them.

    Safe to use from several threads.

    Parameters
    ----------
    path
        The slide's file.
    levels
        By OpenSlide's number of the level, those that have something to check.
    downsamples
        OpenSlide's own, of all levels.
    """

    def __init__(
        self, path: Path, levels: Mapping[int, PageTiles], downsamples: Sequence[float]
    ) -> None:
        self._levels, self._downsamples = levels, downsamples
        self._checked = {
            number: bytearray(level.planes[0].offsets.size) for number, level in levels.items()
        }
        self._file = TileFile(path) if levels else None

    def check(self, location: tuple[int, int], level: int, size: Size) -> None:
        """Check the tiles that OpenSlide reads for a region.

        Parameters
        ----------
        location, level, size
            As OpenSlide takes them: the location in level-0 pixels.

        Raises
        ------
        NativeTileError
            Naming the first tile that is damaged.
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
                for plane in tiles.planes:
                    self._check_bytes(plane, tile, tiles.check)
                checked[tile] = True

    def _check_bytes(self, table: TileTable, tile: int, check: Callable[[bytes], None]) -> None:
        assert self._file is not None
        if table.sparse[tile]:
            return
        try:
            check(self._file.read(int(table.offsets[tile]), int(table.byte_counts[tile])))
        except ValueError as error:
            raise NativeTileError(f"{table.name(tile)}: {error}") from error

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._file is not None:
            self._file.close()


def native_tiles(
    path: Path, name: str, pages: Sequence[Tags], vendor: str, slide: openslide.OpenSlide
) -> NativeTiles:
    """The native tiles behind the levels that OpenSlide sees.

    Parameters
    ----------
    path, name
        The slide's file and name.
    pages
        Of the TIFF; none for other formats.
    vendor
        As OpenSlide calls it.
    slide
        OpenSlide's handle.

    Raises
    ------
    OpenError
        When a tile is damaged and it is not known in which level it is shown.
    """
    levels = level_pages(pages, vendor) if vendor in _PLAIN_VENDORS else []
    sizes, downsamples = [Size(*size) for size in slide.level_dimensions], slide.level_downsamples
    told_apart = len({size.width for size in sizes}) == len(sizes)  # OpenSlide sorts by width
    if told_apart and are_levels([page_size(tags) for tags in levels], sizes, vendor):
        found = {number: page_tiles(tags) for number, tags in enumerate(levels)}
        return NativeTiles(
            path,
            {
                number: tiles
                for number, tiles in found.items()
                if tiles is not None and (tiles.check is not None or tiles.wrong.any())
            },
            downsamples,
        )
    for number, tags in enumerate(pages):
        tiles = page_tiles(tags) if is_tiled(tags) else None
        if tiles is not None and tiles.wrong.any():
            what = tiles.problem(int(np.flatnonzero(tiles.wrong)[0]))
            raise OpenError(name, f"{path.name}: page {number}: {what}")
    return NativeTiles(path, {}, downsamples)


def page_tiles(tags: Tags) -> PageTiles | None:
    """The native tiles of a page; None where its lists are not those of its tiles."""
    size = page_size(tags)
    match tags.get(TILE_WIDTH), tags.get(TILE_HEIGHT):
        case int(across), int(down) if across > 0 and down > 0:
            tile = Size(across, down)
        case _:
            return None
    try:
        offsets, counts = tile_lists(tags)
    except ValueError:
        return None
    columns, rows = -(-size.width // tile.width), -(-size.height // tile.height)
    count, planes = columns * rows, tags.get(SAMPLES, 1) if tags.get(PLANES, 1) == 2 else 1
    if not (count and isinstance(planes, int) and planes * count <= min(len(offsets), len(counts))):
        return None
    tables = tuple(
        TileTable(
            size, tile, columns, offsets[start : start + count], counts[start : start + count]
        )
        for start in range(0, planes * count, count)
    )
    return PageTiles(tables, plain_bytes(tags, tile), openslide_check(tags))
