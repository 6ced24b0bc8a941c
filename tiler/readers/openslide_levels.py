"""The levels of a slide that is open in OpenSlide, and the locations that read them exactly."""

from __future__ import annotations

import math
from pathlib import Path

import openslide

from tiler.geometry import Size
from tiler.readers.dicom import stated_downsamples
from tiler.readers.level_fit import StoredLevel
from tiler.readers.pyramid import Pyramid, pyramid

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
        When the first of them is not the largest.
    """
    sizes = [Size(*size) for size in slide.level_dimensions]
    for size in sizes:
        if size.width > sizes[0].width:
            raise ValueError(f"a level of {size} is larger than level 0, {sizes[0]}")
    vendor = slide.properties.get(openslide.PROPERTY_NAME_VENDOR)
    stated = stated_downsamples(path) if vendor == "dicom" and len(sizes) > 1 else {}
    images = [
        StoredLevel(
            size, _tile(slide, index), stated.get(size, _stated(sizes[0], size, downsample))
        )
        for index, (size, downsample) in enumerate(zip(sizes, slide.level_downsamples, strict=True))
    ]
    return pyramid(images)


def _tile(slide: openslide.OpenSlide, level: int) -> Size | None:
    lengths = [
        int(slide.properties.get(f"openslide.level[{level}].tile-{side}", 0))
        for side in ("width", "height")
    ]
    return Size(*lengths) if min(lengths) > 0 else None


def _stated(base: Size, size: Size, downsample: float) -> float | None:
    """OpenSlide's downsample where it has it from the file, as of Philips, MIRAX and Ventana.

    It takes the mean ratio of the sizes for all other formats.
    """
    ratio = (base.width / size.width + base.height / size.height) / 2
    return None if math.isclose(downsample, ratio, rel_tol=1e-9) else downsample


def exact_location(pixel: int, downsample: float) -> tuple[int, int]:
    """A level-0 coordinate for a pixel of a level, along one axis.

    OpenSlide divides the coordinate by its own downsample of the level. Where that does not come
    out at a whole pixel it mixes two neighbours.

    Parameters
    ----------
    pixel
        The wanted pixel of the level.
    downsample
        OpenSlide's downsample of the level.

    Returns
    -------
    tuple
        The coordinate, and how many pixels of the level lie between it and the wanted one. If no
        coordinate near by is exact, the nearest to the wanted pixel: it is off by up to half a
        level-0 pixel.
    """
    for skipped in range(min(pixel, _MOST_SKIPPED) + 1):
        start = pixel - skipped
        location = round(start * downsample)
        if abs(location / downsample - start) < _EXACT:
            return location, skipped
    return round(pixel * downsample), 0
