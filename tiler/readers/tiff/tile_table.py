"""The positions of one image's native tiles in a TIFF; damaged and sparse tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tiler.geometry import Box, Size
from tiler.readers.sparse import SparseTiles
from tiler.readers.tiff_directories import Tags

# Tags of TIFF 6.0
SUBFILE_TYPE, WIDTH, HEIGHT = 254, 256, 257
TILE_WIDTH, TILE_HEIGHT, OFFSETS, BYTE_COUNTS = 322, 323, 324, 325
STRIP_OFFSETS, STRIP_ROWS, STRIP_BYTE_COUNTS = 273, 278, 279

_HEADER_BYTES = 8
"""Bytes of a classic TIFF's header, where no tile can begin; a BigTIFF has 16."""

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, eq=False)
class TileTable:
    """The native tiles of one image, row by row.

    Attributes
    ----------
    size
        The image's size in pixels, without padding of its tiles.
    tile
        The size of a tile in pixels.
    columns
        Tiles per row.
    offsets, byte_counts
        int64 (tiles,): position and number of the bytes of each tile.
    """

    size: Size
    tile: Size
    columns: int
    offsets: npt.NDArray[np.int64]
    byte_counts: npt.NDArray[np.int64]

    @property
    def word(self) -> str:
        """Return the name of one of them in messages."""
        return "native tile"

    @cached_property
    def sparse(self) -> npt.NDArray[np.bool_]:
        """Tiles that the writer omitted, without bytes and offset: bool (tiles,)."""
        sparse: npt.NDArray[np.bool_] = (self.byte_counts == 0) & (self.offsets == 0)
        return sparse

    @cached_property
    def damaged(self) -> npt.NDArray[np.bool_]:
        """Tiles whose entries contradict each other: see ``wrong_entry``. bool (tiles,)."""
        stored = self.byte_counts != 0
        damaged: npt.NDArray[np.bool_] = np.where(
            stored, self.offsets < _HEADER_BYTES, self.offsets != 0
        )
        return damaged

    def sparse_tiles(self) -> SparseTiles:
        """Return the packed bits of the sparse tiles."""
        return SparseTiles.of(self.tile, self.columns, self.sparse)

    def wrong_entry(self, tile: int) -> str | None:
        """Explain why a tile's entries are impossible in any file; None if they are possible."""
        if not self.damaged[tile]:
            return None
        offset, count = int(self.offsets[tile]), int(self.byte_counts[tile])
        if count:
            return f"its offset {offset:,} lies inside the file's header; copy the slide again"
        return "its byte count is 0, but it has an offset; copy the slide again"

    def name(self, tile: int) -> str:
        """Return a tile's number and position for messages."""
        row, column = divmod(tile, self.columns)
        offset = int(self.offsets[tile])
        return f"{self.word} {tile} (column {column}, row {row}) at byte {offset:,}"

    def within(self, left: _Number, top: _Number, right: _Number, bottom: _Number) -> Iterator[int]:
        """Yield the numbers of the tiles that a box touches, row by row."""
        width, height = self.tile
        right, bottom = min(right, self.size.width), min(bottom, self.size.height)
        columns = range(int(max(left, 0) // width), int(-(-right // width)))
        for row in range(int(max(top, 0) // height), int(-(-bottom // height))):
            for column in columns:
                yield row * self.columns + column

    def contains(self, box: Box) -> bool:
        """Return whether a box is wholly within the image."""
        x, y, width, height = box
        across, down = self.size
        return x >= 0 and y >= 0 and x + width <= across and y + height <= down

    def overlaps(self, box: Box) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield the tiles that a box touches, with the pixels of the image that both have.

        Each is the tile's number, then x, y, width and height of these pixels in the image. The
        last native tiles may reach beyond the image, as the box may.
        """
        width, height = self.tile
        x, y, across, down = box
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + across, self.size.width), min(y + down, self.size.height)
        if left >= right or top >= bottom:
            return
        for row in range(top // height, -(-bottom // height)):
            y0, y1 = max(top, row * height), min(bottom, (row + 1) * height)
            for column in range(left // width, -(-right // width)):
                x0, x1 = max(left, column * width), min(right, (column + 1) * width)
                yield row * self.columns + column, x0, y0, x1 - x0, y1 - y0


@dataclass(frozen=True, eq=False)
class StripTable(TileTable):
    """The strips of an image without tiles: as wide as the image; the last one may be lower."""

    @property
    def word(self) -> str:
        """Return the name of one of them in messages."""
        return "strip"


def is_tiled(tags: Tags) -> bool:
    """Return whether a directory describes an image stored in tiles."""
    return TILE_WIDTH in tags and OFFSETS in tags


def is_reduced(tags: Tags) -> bool:
    """Return whether a directory is marked as a reduced version (NewSubfileType)."""
    kind = tags.get(SUBFILE_TYPE, 0)
    return isinstance(kind, int) and bool(kind & 1)


def page_size(tags: Tags) -> Size:
    """Return the size of a page in pixels; 0 by 0 if the page does not state it."""
    match tags.get(WIDTH), tags.get(HEIGHT):
        case int(width), int(height):
            return Size(width, height)
    return Size(0, 0)


def stored_size(tags: Tags) -> Size:
    """Return the size of a page with the padding of its last native tiles."""
    size = page_size(tags)
    match tags.get(TILE_WIDTH), tags.get(TILE_HEIGHT):
        case int(across), int(down) if across > 0 and down > 0:
            return Size(-(-size.width // across) * across, -(-size.height // down) * down)
    return size


def tile_lists(tags: Tags) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the offsets and the byte counts of a directory: int64 (tiles,) each.

    Raises
    ------
    ValueError
        If a list is missing or contains no file positions.
    """
    return _numbers(tags, OFFSETS), _numbers(tags, BYTE_COUNTS)


def strip_lists(tags: Tags) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the offsets and the byte counts of a directory with strips; see ``tile_lists``."""
    return _numbers(tags, STRIP_OFFSETS), _numbers(tags, STRIP_BYTE_COUNTS)


def _numbers(tags: Tags, tag: int) -> npt.NDArray[np.int64]:
    numbers = tags.get(tag, np.empty(0, np.int64))
    if not isinstance(numbers, np.ndarray) or (numbers > np.iinfo(np.int64).max).any():
        raise ValueError(f"TIFF tag {tag} is not a list of file positions")
    return numbers.astype(np.int64)
