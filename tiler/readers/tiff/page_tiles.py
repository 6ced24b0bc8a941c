"""The native tiles or strips of one TIFF page, and signs of damage."""

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
    """A native tile or strip is damaged; the text names it and the damage."""


@dataclass(frozen=True, eq=False)
class PageTiles:
    """The native tiles of one page.

    Attributes
    ----------
    planes
        The tables of the tiles: one, or one per sample if the samples are stored separately.
    plain_bytes
        int64 (tiles,): the bytes of each uncompressed tile; None for compressed ones.
    check
        The check of a tile's bytes; None for no check.
    """

    planes: tuple[TileTable, ...]
    plain_bytes: npt.NDArray[np.int64] | None
    check: Callable[[bytes], None] | None

    @cached_property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """Tiles whose list entries show damage: bool (tiles,)."""
        sparse = np.stack([plane.sparse for plane in self.planes])
        wrong: npt.NDArray[np.bool_] = np.any([plane.damaged for plane in self.planes], axis=0)
        wrong |= sparse.any(axis=0) & ~sparse.all(axis=0)
        if self.plain_bytes is not None:
            counts = np.stack([plane.byte_counts for plane in self.planes])
            wrong |= ((counts > 0) & (counts < self.plain_bytes)).any(axis=0)
        return wrong

    def sparse_tiles(self) -> SparseTiles:
        """Return the packed bits of the tiles that all planes omit."""
        table = self.planes[0]
        sparse = np.all([plane.sparse for plane in self.planes], axis=0)
        return SparseTiles.of(table.tile, table.columns, sparse)

    def problem(self, tile: int) -> str:
        """Return the sign of damage of a tile, and its place."""
        for plane in self.planes:
            if reason := plane.wrong_entry(tile):
                return f"{plane.name(tile)}: {reason}"
        table, count = self.planes[0], int(self.planes[0].byte_counts[tile])
        reason = "some of its planes are missing"
        if self.plain_bytes is not None and 0 < count < self.plain_bytes[tile]:
            reason = f"{count:,} bytes of pixels instead of {self.plain_bytes[tile]:,}"
        return f"{table.name(tile)}: {reason}; copy the slide again"

    def check_bytes(self, file: TileFile, tile: int) -> None:
        """Check the bytes of a tile whose list entries are valid.

        Raises
        ------
        NativeTileError
            If the bytes are damaged.
        """
        for plane in self.planes:
            if self.check is None or plane.sparse[tile]:
                continue
            try:
                self.check(file.read(int(plane.offsets[tile]), int(plane.byte_counts[tile])))
            except ValueError as error:
                raise NativeTileError(f"{plane.name(tile)}: {error}") from error


def page_tiles(tags: Tags, check: Callable[[bytes], None] | None) -> PageTiles | None:
    """Return the native tiles of a page; None if its lists do not match its tiles."""
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
