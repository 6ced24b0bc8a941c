"""The native tiles of a TIFF's levels, and checks that ``TiffReader`` supports them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tiler.errors import OpenError
from tiler.geometry import Size
from tiler.readers.tiff.codecs import Coding, unknown_coding
from tiler.readers.tiff.pixels import PIXEL_TAGS, pixel_problem
from tiler.readers.tiff.tile_table import (
    BYTE_COUNTS,
    HEIGHT,
    OFFSETS,
    SUBFILE_TYPE,
    TILE_HEIGHT,
    TILE_WIDTH,
    WIDTH,
    TileTable,
    is_reduced,
    is_tiled,
    page_size,
    tile_lists,
)
from tiler.readers.tiff_directories import Tags


class UnfitError(OpenError):
    """A file that ``TiffReader`` does not support; OpenSlide may read it."""


@dataclass(frozen=True, eq=False)
class NativeLevel(TileTable):
    """One level of a tiled TIFF.

    Attributes
    ----------
    coding
        The coding of each tile.
    """

    coding: Coding


# Tags of TIFF 6.0, its Technical Notes 1 and 2, and SGI's ImageDepth
_BITS, _COMPRESSION, _PHOTOMETRIC = 258, 259, 262
_FILL_ORDER, _SAMPLES, _PLANES, _PREDICTOR = 266, 277, 284, 317
_SAMPLE_FORMAT, _TABLES, _DEPTH = 339, 347, 32997

_ORDINARY = {
    _BITS: (8, "bits per sample"),
    _SAMPLES: (3, "samples per pixel"),
    _PLANES: (1, "planar configuration"),
    _SAMPLE_FORMAT: (1, "sample format"),
    _FILL_ORDER: (1, "fill order"),
    _DEPTH: (1, "image depth"),
}
"""Tags with their only supported value, and their names in messages."""

TAGS = frozenset(
    {SUBFILE_TYPE, WIDTH, HEIGHT, _COMPRESSION, _PHOTOMETRIC, _PREDICTOR, TILE_WIDTH}
    | {TILE_HEIGHT, OFFSETS, BYTE_COUNTS, _TABLES, *_ORDINARY, *PIXEL_TAGS}
)
"""The tags that this module reads."""

_DEFAULTS = {_BITS: 1, _SAMPLES: 1}  # default values that are unsupported

PLAIN_VENDORS = ("aperio", "generic-tiff", "philips")
"""OpenSlide's formats in which each level is one page of adjacent tiles."""


def level_pages(pages: Sequence[Tags], vendor: str) -> list[Tags]:
    """Return the pages that OpenSlide uses as levels, in its order."""
    generic = vendor == "generic-tiff"
    levels = [
        tags
        for index, tags in enumerate(pages)
        if is_tiled(tags) and (index == 0 or is_reduced(tags) or not generic)
    ]
    return sorted(levels, key=lambda tags: -page_size(tags).width) if generic else levels


def are_levels(pages: Sequence[Size], levels: Sequence[Size], vendor: str) -> bool:
    """Return whether pages of these sizes are OpenSlide's levels, one page per level.

    Philips pads its levels to whole tiles, and OpenSlide removes the padding.
    """
    return len(pages) == len(levels) and all(
        page == level
        or (vendor == "philips" and page.width >= level.width and page.height >= level.height)
        for page, level in zip(pages, levels, strict=True)
    )


def native_level(tags: Tags, slide: str) -> NativeLevel:
    """Return the tiles that a directory describes.

    Raises
    ------
    UnfitError
        If they are not 8-bit RGB in a known coding; the error states the reason.
    """

    def number(tag: int, default: int | None = None) -> int:
        value = tags.get(tag, default)
        if not isinstance(value, int) or value < 0:
            raise UnfitError(slide, f"TIFF tag {tag} is {value!r}, not a number")
        return int(value)

    if problem := pixel_problem(tags):
        raise UnfitError(slide, problem)
    for tag, (usual, name) in _ORDINARY.items():
        value = tags.get(tag, _DEFAULTS.get(tag, usual))
        items = value if isinstance(value, tuple) else (value,)
        if not items or not all(isinstance(item, int) and item == usual for item in items):
            raise UnfitError(slide, f"{name} {value}, not {usual}")
    size = Size(number(WIDTH), number(HEIGHT))
    tile = Size(number(TILE_WIDTH), number(TILE_HEIGHT))
    if not (min(size) and min(tile)):
        raise UnfitError(slide, f"a level of {tuple(size)} pixels in tiles of {tuple(tile)}")
    tables = tags.get(_TABLES)
    if not isinstance(tables, bytes | None):
        raise UnfitError(slide, "its JPEGTables are not bytes")
    coding = Coding(
        tile=tile,
        compression=number(_COMPRESSION, 1),
        photometric=number(_PHOTOMETRIC),
        predictor=number(_PREDICTOR, 1),
        tables=tables,
    )
    if reason := unknown_coding(coding):
        raise UnfitError(slide, reason)
    columns, rows = (-(-of // by) for of, by in zip(size, tile, strict=True))
    try:
        offsets, byte_counts = tile_lists(tags)
    except ValueError as error:
        raise UnfitError(slide, str(error)) from error
    if not columns * rows == len(offsets) == len(byte_counts):
        raise UnfitError(
            slide,
            f"{columns}x{rows} tiles, but {len(offsets)} offsets and {len(byte_counts)} sizes",
        )
    return NativeLevel(size, tile, columns, offsets, byte_counts, coding)


def check_presence(levels: Iterable[NativeLevel], slide: str, file_size: int) -> None:
    """Refuse a file that contains no tile of one of its levels.

    Raises
    ------
    OpenError
        If there is such a level; the error names its first tile. If only some tiles of a level
        are lost, only reads of these fail.
    """
    for index, level in enumerate(levels):
        stored = np.flatnonzero(level.byte_counts)
        if not len(stored):
            continue
        ends = level.offsets[stored].astype(np.float64) + level.byte_counts[stored]
        if (ends > file_size).all():
            lost = beyond_the_end(level, int(stored[0]), file_size)
            raise OpenError(slide, f"level {index}: {lost}")


def tile_at(level: NativeLevel, corner: tuple[int, int], size: tuple[int, int]) -> int | None:
    """Return the number of the native tile that is exactly a box; None if none is."""
    (x, y), (width, height) = corner, level.tile
    inside = 0 <= x <= level.size.width - width and 0 <= y <= level.size.height - height
    if size != level.tile or x % width or y % height or not inside:
        return None
    return y // height * level.columns + x // width


def not_native(
    level: NativeLevel, tile: int | None, size: tuple[int, int], downsample: float
) -> str:
    """Explain why a box is not a JPEG tile of a level, and the settings that fit if any do.

    The text is followed by the alternative, to set ``passthrough=false``.
    """
    if not level.coding.is_jpeg:
        return f"the native tiles are not JPEG (TIFF compression {level.coding.compression});"
    if size != level.tile or downsample != 1:
        width, height = level.tile
        return f"use resolution=level resolution.value=0 tile.size=[{width},{height}], or"
    if tile is not None:
        return f"the slide has no bytes for native tile {tile};"
    return "native tiles lie side by side; set tile.stride=null and tile.edge=drop, or"


def beyond_the_end(level: NativeLevel, tile: int, file_size: int) -> str:
    """Describe a tile whose bytes lie beyond the end of the file."""
    return (
        f"native tile {tile} ends beyond the end of the file:"
        f" {level.byte_counts[tile]:,} bytes from {level.offsets[tile]:,}, but the file has"
        f" {file_size:,}; copy the slide again"
    )
