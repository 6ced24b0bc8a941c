"""The native tiles, or the strips, of one page of a TIFF, and signs of damage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tiler.geometry import Size
from tiler.readers.sparse import SparseTiles
from tiler.readers.tiff.file import TileFile
from tiler.readers.tiff.pixels import number_of
from tiler.readers.tiff.tile_table import (
    STRIP_ROWS,
    TILE_HEIGHT,
    TILE_WIDTH,
    StripTable,
    TileTable,
    is_tiled,
    page_size,
    strip_lists,
    tile_lists,
)
from tiler.readers.tiff_directories import Tags
from tiler.readers.tile_checks import PLANES, SAMPLES, plain_bytes


class NativeTileError(Exception):
    """A native tile or a strip is damaged: which one, and how."""


@dataclass(frozen=True, eq=False)
class PageTiles:
    """The native tiles of one page.

    Attributes
    ----------
    planes
        Their tables: one, or one for each sample where the samples are stored apart.
    plain_bytes
        int64 (tiles,): the bytes of each uncompressed tile; None for compressed ones.
    check
        What to check in a tile's bytes, if anything.
    """

    planes: tuple[TileTable, ...]
    plain_bytes: npt.NDArray[np.int64] | None
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

    def sparse_tiles(self) -> SparseTiles:
        """Pack which tiles are left out in all planes."""
        table = self.planes[0]
        sparse = np.all([plane.sparse for plane in self.planes], axis=0)
        return SparseTiles.of(table.tile, table.columns, sparse)

    def problem(self, tile: int) -> str:
        """Return the sign of damage of a tile, and its place."""
        for plane in self.planes:
            if reason := plane.wrong_entry(tile):
                return f"{plane.name(tile)}: {reason}"
        table, count = self.planes[0], int(self.planes[0].byte_counts[tile])
        reason = "only some of its planes are there"
        if self.plain_bytes is not None and 0 < count < self.plain_bytes[tile]:
            reason = f"{count:,} bytes of pixels instead of {self.plain_bytes[tile]:,}"
        return f"{table.name(tile)}: {reason}; copy the slide again"

    def check_bytes(self, file: TileFile, tile: int) -> None:
        """Check the bytes of a tile whose entries are not wrong.

        Raises
        ------
        NativeTileError
            If they are damaged.
        """
        for plane in self.planes:
            if self.check is None or plane.sparse[tile]:
                continue
            try:
                self.check(file.read(int(plane.offsets[tile]), int(plane.byte_counts[tile])))
            except ValueError as error:
                raise NativeTileError(f"{plane.name(tile)}: {error}") from error


def page_tiles(tags: Tags, check: Callable[[bytes], None] | None) -> PageTiles | None:
    """The native tiles of a page; None where its lists are not those of its tiles."""
    size, table = page_size(tags), TileTable if is_tiled(tags) else StripTable
    tile = Size(number_of(tags, TILE_WIDTH), number_of(tags, TILE_HEIGHT))
    if table is StripTable:
        rows = number_of(tags, STRIP_ROWS) if STRIP_ROWS in tags else size.height
        tile = Size(size.width, min(rows, size.height))
    if min(*size, *tile) < 1:
        return None
    try:
        offsets, counts = (tile_lists if is_tiled(tags) else strip_lists)(tags)
    except ValueError:
        return None
    columns, rows = -(-size.width // tile.width), -(-size.height // tile.height)
    count, planes = columns * rows, number_of(tags, SAMPLES) if tags.get(PLANES, 1) == 2 else 1
    if not 0 < planes * count <= min(len(offsets), len(counts)):
        return None
    tables = tuple(
        table(size, tile, columns, *(part[start : start + count] for part in (offsets, counts)))
        for start in range(0, planes * count, count)
    )
    return PageTiles(tables, _plain_bytes(tags, size, tile, count), check)


def _plain_bytes(tags: Tags, size: Size, tile: Size, count: int) -> npt.NDArray[np.int64] | None:
    each = plain_bytes(tags, tile)
    if each is None:
        return None
    sizes = np.full(count, each, np.int64)
    if not is_tiled(tags):  # the last strip ends with the image
        last = plain_bytes(tags, Size(size.width, size.height - (count - 1) * tile.height))
        sizes[-1] = each if last is None else last
    return sizes
