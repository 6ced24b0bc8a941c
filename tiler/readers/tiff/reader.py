"""Tiled TIFF slides without OpenSlide: each native tile is decoded once."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from tiler.checks.arguments import as_path
from tiler.errors import ConfigError, ReadError, SlideError
from tiler.geometry import Box, Size, is_number
from tiler.pixels.area import area_mean
from tiler.protocols import Pixels
from tiler.readers.base import LevelReader
from tiler.readers.icc import tiff_profile
from tiler.readers.limits import CACHE_BYTES, MAX_PIXELS, MAX_TILE_BYTES, check_slide
from tiler.readers.preflight import look
from tiler.readers.tiff.codecs import DECODE_ERRORS, decoder
from tiler.readers.tiff.facts import Request, survey
from tiler.readers.tiff.file import TileFile
from tiler.readers.tiff.images import check_series
from tiler.readers.tiff.layout import (
    UnfitError,
    check_presence,
    not_native,
    tile_at,
)
from tiler.readers.tiff.reduced import best_factor, reduced_levels
from tiler.readers.tiff.stored_tiles import DamagedTileError, StoredTiles
from tiler.readers.tiff.tile_cache import TileCache
from tiler.resolution import Resolution


class TiffReader(LevelReader):
    """A slide in a tiled TIFF: Aperio SVS, generic and BigTIFF, Philips, OME-TIFF with SubIFDs.

    Pixels of level 0 are identical to OpenSlide's for JPEG and lossless compressions. For JPEG 2000
    with subsampled chroma (Aperio 33003) they differ by at most 1. Other levels are read at whole
    pixels of the level. OpenSlide counts in level-0 pixels, and blends neighbours if the
    downsample is not a whole number; then the pixels may differ.

    Safe to use from several threads.

    Parameters
    ----------
    path
        The slide's file.
    name
        Its name in outputs; the file's stem if None.
    mpp
        Microns per level-0 pixel, instead of the file's value.
    magnification
        Objective power of level 0, instead of the file's value.
    allow_upsampling
        Whether a target finer than level 0 may be enlarged from it.
    max_pixels
        Slides that claim more pixels on level 0 are refused.
    max_tile_bytes
        Slides whose native tiles need more memory are refused.
    scaled_decode
        Whether libjpeg decodes JPEG tiles at 1/2, 1/4 or 1/8 if the target is at least that much
        coarser than the level. This is faster, and close but not identical to the area mean.
    cache_bytes
        Memory for decoded native tiles, which neighbouring regions share.
    series
        The number of the image to read, from 0, if the file has several; None for the largest.

    Raises
    ------
    UnfitError
        If the reader does not support the file; the error states the reason. OpenSlide may
        support it.
    OpenError
        If the file is missing, or contains no tile of one of its levels.
    LimitError
        If the slide or its native tiles exceed a limit.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        mpp: float | None = None,
        magnification: float | None = None,
        allow_upsampling: bool = False,
        max_pixels: int = MAX_PIXELS,
        max_tile_bytes: int = MAX_TILE_BYTES,
        scaled_decode: bool = False,
        cache_bytes: int = CACHE_BYTES,
        series: int | None = None,
    ) -> None:
        check_series(series)
        if not is_number(cache_bytes) or cache_bytes < 0:
            raise ConfigError(f"reader.cache_bytes={cache_bytes!r} is invalid; use a number >= 0")
        path = as_path(path, "path")
        slide = path.stem if name is None else name
        look(path, slide)
        facts, levels, self._page = survey(Request(path, slide, mpp, magnification, series))
        tiles = [level.tile for level in levels]
        check_slide(slide, levels[0].size, tiles, 3, max_pixels, max_tile_bytes)
        self._levels = list(levels)
        decoders = [decoder(level.coding) for level in levels]
        self._downsamples = list(facts.level_downsamples)
        self._scaled: dict[tuple[int, int], int] = {}  # index of a level and its factor
        for index, factor, reduced in reduced_levels(levels) if scaled_decode else ():
            self._scaled[index, factor] = len(self._levels)
            self._levels.append(reduced)
            self._downsamples.append(facts.level_downsamples[index] * factor)
            decoders.append(decoder(reduced.coding, factor))
        self._cache = TileCache(cache_bytes)
        sparse = tuple(level.sparse_tiles() for level in levels)
        super().__init__(path, name, replace(facts, sparse=sparse), allow_upsampling)
        self._file = TileFile(path)
        with ExitStack() as on_error:
            on_error.callback(self._file.close)
            check_presence(levels, slide, self._file.size)
            self._tiles = StoredTiles(self._file, self._levels, decoders, max_tile_bytes)
            for index in range(len(levels)):
                if problem := self._tiles.undecodable(index):
                    raise UnfitError(slide, f"level {index}: {problem}")
            on_error.pop_all()

    @property
    def native_tiles_decoded(self) -> int:
        """Return the number of decodings of native tiles so far."""
        return self._cache.made

    @property
    def icc_profile(self) -> bytes | None:
        """Return the ICC profile of level 0, or None; ``OpenError`` if it is damaged."""
        return tiff_profile(self.path, self.name, self._page)

    @property
    def reopened(self) -> int:
        """Return the number of times that the file was opened again after a failed read."""
        return self._file.reopened

    def close(self) -> None:
        """Close the file and empty the cache; closing twice is harmless."""
        self._file.close()
        self._cache.clear()

    def _read_level(self, level: int, x: int, y: int, size: Size) -> Pixels:
        return self._assembled(level, Box(x, y, *size), 1)

    def _assembled(self, level: int, box: Box, scale: int) -> Pixels:
        """Return the pixels of a box, reduced by a whole scale that divides all its lengths."""
        native, background = self._levels[level], self.facts.background
        out = np.empty((box.height // scale, box.width // scale, 3), np.uint8)
        if not native.contains(box):
            out[:] = background
        for tile, x, y, width, height in native.overlaps(box):
            small = Size(width // scale, height // scale)
            left, top = (x - box.x) // scale, (y - box.y) // scale
            there = out[top : top + small.height, left : left + small.width]
            if native.sparse[tile]:
                there[:] = background
                continue
            whole = (width, height) == native.tile
            try:
                pixels = self._cache.get((level, tile), self._tiles.pixels, whole=whole)
            except DamagedTileError as error:
                what = f"level {level} at ({box.x}, {box.y}) {box.width}x{box.height}: {error}"
                raise ReadError(self.name, what, level, box.x, box.y) from error
            left, top = x % native.tile.width, y % native.tile.height
            some = pixels[top : top + height, left : left + width]
            there[:] = some if scale == 1 else area_mean(some, 0, 0, scale, scale, small)
        return out

    def _read_area(
        self,
        level: int,
        left: float,
        top: float,
        scale_x: float,
        size: Size,
        scale_y: float | None = None,
    ) -> Pixels:
        scale_y = scale_x if scale_y is None else scale_y
        factors = {factor for index, factor in self._scaled if index == level}
        factor = best_factor(scale_x, scale_y, factors)
        if factor > 1:
            level = self._scaled[level, factor]
        left, top, scale_x, scale_y = (v / factor for v in (left, top, scale_x, scale_y))
        native, scale = self._levels[level], max(1, int(scale_x))
        box = Box(int(left), int(top), size.width * scale, size.height * scale)
        exact = (left, top, scale_x, scale_y) == (box.x, box.y, scale, scale)
        even = not any(length % scale for length in (box.x, box.y, *native.tile))
        if exact and even and native.contains(box):
            return self._assembled(level, box, scale)  # each native tile on its own
        return super()._read_area(level, left, top, scale_x, size, scale_y)

    def _level_facts(self, level: int) -> tuple[Size, float]:
        return self._levels[level].size, self._downsamples[level]

    def native_jpeg(
        self, location: tuple[int, int], shape: tuple[int, int], resolution: Resolution
    ) -> bytes:
        """Return the JPEG stream of the native tile of level 0 that coincides with a box.

        Missing tables and markers are added. The stream is not decoded, so damage inside it is
        not detected.

        Parameters
        ----------
        location, shape, resolution
            See ``read_region``; the location is relative to the slide's corner.

        Raises
        ------
        SlideError
            If the box is not exactly one JPEG tile of level 0.
        ReadError
            If the tile's bytes cannot be read.
        """
        native = self._levels[0]
        tile, downsample = tile_at(native, location, shape), resolution.downsample(self)
        if tile is None or native.sparse[tile] or not native.coding.is_jpeg or downsample != 1:
            x, y = location
            why = not_native(native, tile, shape, downsample)
            raise SlideError(
                self.name,
                f"passthrough=true: the tile at ({x}, {y}) is not a native JPEG tile of the slide;"
                f" {why} set passthrough=false",
            )
        try:
            return self._tiles.jpeg_file(tile)
        except (*DECODE_ERRORS, OSError, DamagedTileError) as error:
            (x, y), (width, height) = location, native.tile
            what = f"level 0 at ({x}, {y}) {width}x{height}: native tile {tile}: {error}"
            raise ReadError(self.name, what, 0, x, y) from error
