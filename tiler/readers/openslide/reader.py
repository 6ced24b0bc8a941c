"""Slides through OpenSlide, without its fallback to Pillow."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import openslide
from PIL.Image import Image
from PIL.ImageCms import PyCMSError

from tiler.checks.arguments import as_path
from tiler.errors import ConfigError, OpenError, ReadError
from tiler.geometry import Size
from tiler.protocols import Pixels
from tiler.readers.base import LevelReader
from tiler.readers.limits import MAX_PIXELS, MAX_TILE_BYTES, check_slide
from tiler.readers.openslide.diagnosis import (
    check_claims,
    check_pixels,
    diagnosis,
    tiff_pages,
)
from tiler.readers.openslide.facts import facts_of
from tiler.readers.openslide.levels import exact_location, levels_of, native_tile
from tiler.readers.openslide.native_tiles import native_tiles
from tiler.readers.openslide.selftest import check_openslide
from tiler.readers.preflight import look
from tiler.readers.tiff.images import DESCRIPTION, check_series, notes_for_openslide
from tiler.readers.tiff.page_tiles import NativeTileError

_MOST_AT_ONCE = 2048
"""Maximum width and height of one read. OpenSlide splits larger reads at 4096 pixels and rounds the
start of each piece, so the pieces do not fit together."""


class OpenSlideReader(LevelReader):
    """A slide in any format that OpenSlide reads.

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
        Slides whose native tiles need more memory are refused: OpenSlide ends the whole process
        if it cannot allocate one.
    series
        The number of the image to read, from 0; None for the largest. OpenSlide reads the first.

    Raises
    ------
    OpenError
        If OpenSlide cannot open the file.
    LimitError
        If the slide or its native tiles exceed a limit.

    Attributes
    ----------
    reopened
        The number of times that the slide was opened again after a failed read.
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
        series: int | None = None,
    ) -> None:
        check_series(series)
        path = as_path(path, "path")
        look(path, name or path.stem)
        pages = tiff_pages(path)
        check_claims(path, name or path.stem, pages or ())
        check_openslide()
        try:
            slide = openslide.OpenSlide(path)
        except openslide.OpenSlideError as error:
            vendor = openslide.OpenSlide.detect_format(path) or ""
            notes_for_openslide(pages or (), vendor, series, name or path.stem)
            raise OpenError(name or path.stem, diagnosis(path, str(error))) from error
        with ExitStack() as on_error:
            on_error.callback(slide.close)
            vendor = slide.properties.get(openslide.PROPERTY_NAME_VENDOR, "")
            notes = notes_for_openslide(pages or (), vendor, series, name or path.stem)
            try:
                description = pages[0].get(DESCRIPTION) if pages else None
                levels = levels_of(slide, path)
                facts = facts_of(
                    slide, levels, name or path.stem, mpp, magnification, notes, description
                )
            except ConfigError:
                raise
            except ValueError as error:
                what = f"{path.name}: its metadata are invalid: {error}"
                raise OpenError(name or path.stem, what) from error
            size = Size(*slide.dimensions)
            tiles = [native_tile(slide, level) for level in range(slide.level_count)]
            check_slide(name or path.stem, size, tiles, 4, max_pixels, max_tile_bytes)
            check_pixels(path, name or path.stem, pages, vendor)
            self._tiles = native_tiles(path, name or path.stem, pages or (), vendor, slide)
            on_error.pop_all()
        facts = replace(facts, sparse=self._tiles.sparse_in(levels.indices))
        super().__init__(path, name, facts, allow_upsampling)
        self._slide = slide
        self._indices = levels.indices
        self._own_downsamples = tuple(slide.level_downsamples[index] for index in self._indices)
        self.reopened = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the handle; closing twice is harmless."""
        self._slide.close()
        self._tiles.close()

    @property
    def icc_profile(self) -> bytes | None:
        """Return the ICC profile of the slide, as LittleCMS writes it; None if there is none.

        Raises
        ------
        OpenError
            If it is damaged.
        """
        try:
            profile = self._slide.color_profile
        except PyCMSError as error:
            text = " ".join(str(error).split())
            raise OpenError(self.name, f"the ICC profile is damaged: {text}") from error
        return None if profile is None else profile.tobytes()

    def _read_level(self, level: int, x: int, y: int, size: Size) -> Pixels:
        across, down = self.level_dimensions[level]
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + size.width, across), min(y + size.height, down)
        if (left, top, right, bottom) == (x, y, x + size.width, y + size.height) and max(
            size
        ) <= _MOST_AT_ONCE:
            return self._read_inside(level, x, y, size)
        out = np.empty((size.height, size.width, 3), np.uint8)
        out[:] = self.facts.background
        for row in range(top, bottom, _MOST_AT_ONCE):
            rows = min(_MOST_AT_ONCE, bottom - row)
            for column in range(left, right, _MOST_AT_ONCE):
                columns = min(_MOST_AT_ONCE, right - column)
                there = out[row - y : row - y + rows, column - x : column - x + columns]
                there[:] = self._read_inside(level, column, row, Size(columns, rows))
        return out

    def _read_inside(self, level: int, x: int, y: int, size: Size) -> Pixels:
        """Read a box inside a level."""
        downsample = self._own_downsamples[level]
        across, left = exact_location(x, downsample)
        down, top = exact_location(y, downsample)
        wanted = Size(size.width + left, size.height + top)
        try:
            self._tiles.check((across, down), self._indices[level], wanted)
            image = self._read_twice((across, down), self._indices[level], wanted)
        except (openslide.OpenSlideError, NativeTileError) as error:
            raise ReadError(
                self.name,
                f"level {level} at ({x}, {y}) {size.width}x{size.height}: {error}",
                level,
                x,
                y,
            ) from error
        if image.getchannel("A").getextrema() == (255, 255):
            return np.asarray(image.convert("RGB"))[top:, left:]
        return _over(np.asarray(image), self.facts.background)[top:, left:]

    def _read_twice(self, location: tuple[int, int], level: int, size: Size) -> Image:
        """Read; after an error, read once more with a new handle.

        Another thread may have caused the error: one error breaks a handle for all threads.
        """
        slide = self._slide
        try:
            return slide.read_region(location, level, (size.width, size.height))
        except openslide.OpenSlideError:
            self._replace(slide)
        with openslide.OpenSlide(self.path) as own:
            return own.read_region(location, level, (size.width, size.height))

    def _replace(self, broken: openslide.OpenSlide) -> None:
        """Open a new handle, unless another thread has done so."""
        with self._lock:
            if self._slide is broken:
                self._slide = openslide.OpenSlide(self.path)
                self.reopened += 1


def _over(rgba: Pixels, background: tuple[int, int, int]) -> Pixels:
    alpha = rgba[..., 3:].astype(np.float32) / 255
    mixed = rgba[..., :3] * alpha + np.array(background, np.float32) * (1 - alpha)
    return np.rint(mixed).astype(np.uint8)
