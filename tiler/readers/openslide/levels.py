"""The levels of a slide that is open in OpenSlide, and the locations that read them exactly."""

from __future__ import annotations

import math
from pathlib import Path

import openslide

from tiler.geometry import Size
from tiler.readers.level_fit import StoredLevel, fit_of
from tiler.readers.openslide.dicom import stated_downsamples
from tiler.readers.pyramid import Pyramid, pyramid

_ANY_TILED_PAGE = ("aperio", "generic-tiff")
"""Formats of which OpenSlide takes any tiled page for a level."""

_OVERLAP = 0.01
"""How much the ratios of width and height may differ in a level that the format lists."""

_EXACT = 1 / 512 - 1e-5
"""OpenSlide mixes no neighbours where the distances of both axes from a whole pixel of the level
add up to less than 1/256 (measured: all of 9,000 locations)."""

_MOST_SKIPPED = 512
"""Pixels read in vain, at most, to begin where OpenSlide mixes none."""


def levels_of(slide: openslide.OpenSlide, path: Path) -> Pyramid:
    """The levels of an open slide; ``indices`` are OpenSlide's.

    Raises
    ------
    ValueError
        If the first of them is not the largest.
    """
    sizes = [Size(*size) for size in slide.level_dimensions]
    for size in sizes:
        if size.width > sizes[0].width:
            raise ValueError(f"a level of {size} is larger than level 0, {sizes[0]}")
    vendor = slide.properties.get(openslide.PROPERTY_NAME_VENDOR)
    spacings = stated_downsamples(path) if vendor == "dicom" and len(sizes) > 1 else {}
    images = [
        _level(sizes[0], size, _tile(slide, index), spacings.get(size), downsample, vendor)
        for index, (size, downsample) in enumerate(zip(sizes, slide.level_downsamples, strict=True))
    ]
    return pyramid(images)


def _tile(slide: openslide.OpenSlide, level: int) -> Size | None:
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
    """A level, with the downsample that the file states.

    OpenSlide's own one is stated if it is not the mean ratio of the sizes, as of Philips, MIRAX
    and Ventana. It is believed as well where a format lists its levels and their sizes fit no
    number because of how their tiles overlap, as of Trestle.
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
    """A level-0 coordinate for a pixel of a level, along one axis.

    OpenSlide divides the coordinate by its own downsample of the level. Where that does not come
    out at a whole pixel it mixes two neighbours.

    Parameters
    ----------
    pixel
        The pixel of the level to read.
    downsample
        OpenSlide's downsample of the level.

    Returns
    -------
    tuple
        The coordinate, and how many pixels of the level lie between it and that pixel. If no
        coordinate near by is exact, the nearest to that pixel: it is off by up to half a
        level-0 pixel.
    """
    for skipped in range(min(pixel, _MOST_SKIPPED) + 1):
        start = pixel - skipped
        location = round(start * downsample)
        if abs(location / downsample - start) < _EXACT:
            return location, skipped
    return round(pixel * downsample), 0
