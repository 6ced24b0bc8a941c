"""The rim of tissue, decided again on finer pixels than those of a thumbnail.

A thumbnail's pixel at the rim shows tissue and glass, but is one of them as a whole. So a rim is
wrong by up to a pixel: nothing for large tiles, a quarter of a tile that is four pixels wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from tiler.checks.pixels import checked_pixels
from tiler.geometry import Size
from tiler.grid import Floats, Ints, coverage
from tiler.protocols import Mask, Pixels, WSIReader
from tiler.resolution import Level, plan_read

TILE_PIXELS = 16
"""Minimum mask pixels across a tile. A straight rim is wrong by at most 1.5 pixels: half a mask
pixel, and a pixel of the level that is read. So it changes a coverage by at most 3/32."""

_BLOCK = 1024  # pixels of a level that are read at once, along a side

Decide = Callable[[Pixels], Mask]
"""Returns the tissue of a picture, pixel by pixel."""


def refinement(tile_side: float, mask_pixel: float) -> int:
    """Return the power of two by which mask pixels are divided, so that a tile has enough of them.

    Parameters
    ----------
    tile_side
        The tile's shorter side in level-0 pixels.
    mask_pixel
        Level-0 pixels along a mask pixel. A refined one is not finer than level 0.
    """
    needed = min(TILE_PIXELS * mask_pixel / tile_side * (1 - 1e-9), mask_pixel)
    whole = 1 << max(0, math.ceil(math.log2(needed)))
    return whole if whole <= mask_pixel else max(1, whole // 2)


def near_rim(mask: Mask, distance: int) -> Mask:
    """Return the pixels within a distance of both tissue and background, bool (h, w).

    The outside is background: a strip of glass along the border may be narrower than a pixel.
    """
    import cv2

    square = np.ones((2 * distance + 1, 2 * distance + 1), np.uint8)
    tissue = cv2.dilate(mask.view(np.uint8), square)
    inner = cv2.erode(mask.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray((tissue != 0) & (inner == 0))


def refined(source: WSIReader, mask: Mask, rim: Mask, times: int, decide: Decide) -> Mask:
    """Divide each pixel of a mask, and decide those of the rim again.

    A pixel of the rim is tissue if at least half of it is. Its pixels in the level that is fine
    enough are decided one by one.

    Parameters
    ----------
    source
        The slide.
    mask
        bool (h, w).
    rim
        bool (h, w): the pixels to decide again.
    times
        Pixels into which each side of a mask pixel is divided.
    decide
        Decides the pixels of a level.

    Returns
    -------
    numpy.ndarray
        bool (h * times, w * times), or the mask itself if it has no rim.
    """
    if times == 1 or not rim.any():
        return mask
    fine = mask.repeat(times, axis=0).repeat(times, axis=1)
    height, width = fine.shape
    bounds, downsamples = source.bounds, source.level_downsamples
    pixel = min(bounds.width / width, bounds.height / height)
    level = plan_read(pixel, downsamples, slide=source.name, allow_upsampling=True).level
    columns = _edges(bounds.x, bounds.width, width, downsamples[level])
    rows = _edges(bounds.y, bounds.height, height, downsamples[level])
    block = max(1, int(_BLOCK * downsamples[level] / pixel))
    for down in _runs(height, block):
        for across in _runs(width, block):
            at_rim = rim[np.ix_(down // times, across // times)]
            if not at_rim.any():
                continue
            y, x = down[at_rim.any(axis=1)], across[at_rim.any(axis=0)]
            y, x = np.arange(y[0], y[-1] + 1), np.arange(x[0], x[-1] + 1)
            tissue = _share(source, level, columns[x], rows[y], decide) >= 0.5
            place = np.ix_(y, x)
            fine[place] = np.where(rim[np.ix_(y // times, x // times)], tissue, fine[place])
    return fine


def _share(source: WSIReader, level: int, columns: Floats, rows: Floats, decide: Decide) -> Floats:
    """Return the share of tissue in the pixels of a grid, whose edges are in pixels of a level.

    A level may lack its last pixel, which was cut off: the one before replaces it.
    """
    (left, right), (top, bottom) = (
        _covered(edges, length)
        for edges, length in zip((columns, rows), source.level_dimensions[level], strict=True)
    )
    size = Size(right - left, bottom - top)
    pixels = source.read_region((left, top), size, Level(level), bounded=False)
    tissue = decide(checked_pixels(source, "read_region", pixels, size))
    lacking = (
        max(0, math.ceil(rows[-1, 1]) - bottom),
        max(0, math.ceil(columns[-1, 1]) - right),
    )
    whole = np.pad(tissue, ((0, lacking[0]), (0, lacking[1])), mode="edge")
    return coverage(whole, columns - left, rows - top)


def _covered(edges: Floats, length: int) -> tuple[int, int]:
    """Return the first whole pixel of a level under some edges, and the end of the last."""
    first = min(math.floor(edges[0, 0]), length - 1)
    return first, max(first + 1, min(math.ceil(edges[-1, 1]), length))


def _edges(corner: int, extent: int, count: int, downsample: float) -> Floats:
    """Return begin and end of each of ``count`` pixels of an axis in pixels of a level: (n, 2)."""
    positions = (corner + np.arange(count + 1) * extent / count) / downsample
    return np.stack([positions[:-1], positions[1:]], axis=1)


def _runs(count: int, most: int) -> Iterator[Ints]:
    return (np.arange(start, min(start + most, count)) for start in range(0, count, most))
