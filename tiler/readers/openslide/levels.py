"""The levels of an open OpenSlide slide, and the locations that read their pixels exactly."""

from __future__ import annotations

import math
from pathlib import Path

import openslide

from tiler.geometry import Size
from tiler.readers.level_fit import StoredLevel, fit_of
from tiler.readers.pyramid import Pyramid, pyramid

_ANY_TILED_PAGE = ("aperio", "generic-tiff")
"""Formats in which OpenSlide treats any tiled page as a level."""

_OVERLAP = 0.01
"""Maximum difference between the ratios of width and height in a level that the format lists."""

_EXACT = 1 / 512 - 1e-5
"""OpenSlide blends no neighbours if the distances of both axes from a whole pixel of the level sum
to less than 1/256 (measured on 9,000 locations)."""

_MOST_SKIPPED = 512
"""Maximum extra pixels to read in order to begin where OpenSlide blends no pixels."""


def levels_of(slide: openslide.OpenSlide, path: Path) -> Pyramid:
    """Return the levels of an open slide; ``indices`` are OpenSlide's.

    Raises
    ------
    ValueError
        If the first level is not the largest.
    """
    sizes = [Size(*size) for size in slide.level_dimensions]
    for size in sizes:
        if size.width > sizes[0].width:
            raise ValueError(f"a level of {size} is larger than level 0, {sizes[0]}")
    vendor = slide.properties.get(openslide.PROPERTY_NAME_VENDOR)
    spacings: dict[Size, float] = {}
    if vendor == "dicom" and len(sizes) > 1:
        from tiler.readers.openslide.dicom import stated_downsamples

        spacings = stated_downsamples(path)
    images = [
        _level(sizes[0], size, native_tile(slide, index), spacings.get(size), downsample, vendor)
        for index, (size, downsample) in enumerate(zip(sizes, slide.level_downsamples, strict=True))
    ]
    return pyramid(images)


def native_tile(slide: openslide.OpenSlide, level: int) -> Size | None:
    """Return the size of a native tile of a level; None if it has no native tiles."""
    lengths = [
        int(slide.properties.get(f"openslide.level[{level}].tile-{side}", 0))
        for side in ("width", "height")
    ]
    return Size(*lengths) if min(lengths) > 0 else None


def _level(
    base: Size,
    size: Size,
    tile: Size | None,
    stated: float | None,
    own: float,
    vendor: str | None,
) -> StoredLevel:
    """Return a level with the downsample that the file states.

    OpenSlide's downsample counts as stated if it is not the mean ratio of the sizes (as for
    Philips, MIRAX and Ventana). It also counts if a format lists its levels, and overlapping tiles
    make their sizes fit no downsample (as for Trestle).
    """
    across, down = base.width / size.width, base.height / size.height
    level = StoredLevel(size, tile, stated)
    if stated is None and not math.isclose(own, (across + down) / 2, rel_tol=1e-9):
        return StoredLevel(size, tile, own)
    if vendor not in _ANY_TILED_PAGE and fit_of(0, base, level).loose.is_empty:
        alike = abs(across - down) <= _OVERLAP * min(across, down)
        return StoredLevel(size, tile, own) if alike else level
    return level


def exact_location(pixel: int, downsample: float) -> tuple[int, int]:
    """Return the level-0 coordinate for a pixel of a level, along one axis.

    OpenSlide divides the coordinate by its own downsample of the level. If the result is not a
    whole pixel, it blends two neighbours.

    Parameters
    ----------
    pixel
        The pixel of the level to read.
    downsample
        OpenSlide's downsample of the level.

    Returns
    -------
    tuple
        The coordinate, and the number of pixels of the level between it and the given pixel. If
        no near coordinate is exact, the nearest one; its error is at most half a level-0 pixel.
    """
    for skipped in range(min(pixel, _MOST_SKIPPED) + 1):
        start = pixel - skipped
        location = round(start * downsample)
        if abs(location / downsample - start) < _EXACT:
            return location, skipped
    return round(pixel * downsample), 0
