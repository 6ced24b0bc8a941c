"""Checks of TIFFs that Pillow reads as plain images: wrong pixels and unreported damage."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np

from tiler.errors import DepthError, OpenError
from tiler.readers.tiff.file import TileFile
from tiler.readers.tiff.images import DESCRIPTION, choose_image, images_in
from tiler.readers.tiff.layout import TAGS
from tiler.readers.tiff.page_tiles import NativeTileError, PageTiles, page_tiles
from tiler.readers.tiff.pixels import channel_problem, depth_problem
from tiler.readers.tiff.tile_table import STRIP_BYTE_COUNTS, STRIP_OFFSETS, STRIP_ROWS
from tiler.readers.tiff_directories import read_directories
from tiler.readers.tile_checks import COMPRESSION, libtiff_check

_WANTED = frozenset({*TAGS, DESCRIPTION, STRIP_ROWS, STRIP_OFFSETS, STRIP_BYTE_COUNTS})
_DEPTHS = (1, 2, 4, 8)
_OLD_JPEG = 6


def check_plain_tiff(path: Path, name: str) -> None:
    """Refuse a damaged TIFF, and one whose pixels Pillow would show wrongly.

    Raises
    ------
    DepthError
        If its first image is not 8-bit grey or RGB, or is one of several channels.
    OpenError
        If the file is damaged, or its first image is not the largest.
    """
    with closing(TileFile(path)) as file:
        try:
            pages = read_directories(file, _WANTED).pages
            if problem := depth_problem(pages[0], _DEPTHS) or channel_problem(pages, pages[0]):
                raise DepthError(name, f"{path.name}: {problem}")
            if pages[0].get(COMPRESSION) == _OLD_JPEG:
                raise ValueError("old-style JPEG (compression 6); convert it first")
            images = images_in(pages)
            largest = choose_image(images, None, name)
            if largest.page:
                raise ValueError(f"Pillow reads {images[0]}, but the largest is {largest}")
            tiles = page_tiles(pages[0], libtiff_check(pages[0]))
            if tiles is None:
                raise ValueError("its lists of tiles or strips do not match its size")
            _check_tiles(file, tiles)
        except (OSError, ValueError, NativeTileError) as error:
            raise OpenError(name, f"{path.name}: {error}") from error


def _check_tiles(file: TileFile, tiles: PageTiles) -> None:
    if tiles.wrong.any():
        raise ValueError(tiles.problem(int(np.flatnonzero(tiles.wrong)[0])))
    for plane in tiles.planes:
        ends = plane.offsets + plane.byte_counts
        if len(beyond := np.flatnonzero((ends > file.size) | plane.sparse)):
            raise ValueError(f"{plane.name(int(beyond[0]))}: not in the file; copy it again")
    for tile in range(len(tiles.wrong)):
        tiles.check_bytes(file, tile)
