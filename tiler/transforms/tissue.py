"""A sample of a slide's tissue: pixels of blocks that are spread evenly over the mask."""

from __future__ import annotations

import numpy as np

from tiler.checks.pixels import checked_pixels
from tiler.cover.slide_mask import SlideMask
from tiler.errors import ReadError
from tiler.geometry import whole_box
from tiler.process.startup import default_threads
from tiler.process.threads import in_order
from tiler.protocols import Pixels, WSIReader
from tiler.resolution import LEVEL_TOLERANCE, MPP, Level, Resolution

BLOCK = 64
"""The side of a block in pixels: at 1 µm about six nuclei wide."""

BLOCKS = 128
"""The maximum number of blocks: half a million pixels, whatever the size of the slide."""


def resolution_for(mpp: float | None, source: WSIReader, tiles: Resolution) -> Resolution:
    """Return the resolution of a number of microns per pixel, never finer than level 0.

    ``tiles`` is that for None.

    Raises
    ------
    ResolutionError
        If the slide's mpp is unknown.
    """
    if mpp is None:
        return tiles
    wanted = MPP(mpp, LEVEL_TOLERANCE)
    return Level(0) if wanted.downsample(source) < 1 else wanted


def tissue_pixels(
    source: WSIReader, mask: SlideMask, resolution: Resolution, *, skip_unreadable: bool = False
) -> tuple[Pixels, int]:
    """Return pixels of tissue, and the number of blocks that cannot be read.

    The result depends on slide, mask and resolution alone.

    Parameters
    ----------
    source
        The open slide.
    mask
        Its tissue.
    resolution
        The resolution of the pixels.
    skip_unreadable
        Whether a block that cannot be read is left out.

    Returns
    -------
    tuple
        uint8 RGB (1, n, 3), row by row of the blocks and within each; and the number.

    Raises
    ------
    ReadError
        If a block cannot be read, without ``skip_unreadable``.
    """
    area = whole_box(source.bounds, resolution.downsample(source), inside=True)
    rows, columns = _edges(area.height), _edges(area.width)
    height, width = mask.picture.shape
    if not (area.width and area.height):
        return np.empty((1, 0, 3), np.uint8), 0
    down, across = height / area.height, width / area.width
    places = np.argwhere(mask.ratios(columns * across, rows * down) > 0)
    # Every n-th block with tissue, from the first to the last.
    chosen = np.linspace(0, max(0, len(places) - 1), BLOCKS).round().astype(int)

    def block(place: tuple[int, int]) -> Pixels | None:
        (top, bottom), (left, right) = rows[place[0]].astype(int), columns[place[1]].astype(int)
        shape = int(right - left), int(bottom - top)
        try:
            pixels = source.read_region((int(left), int(top)), shape, resolution)
        except ReadError:
            if not skip_unreadable:
                raise
            return None
        pixels = checked_pixels(source, "read_region", pixels, shape)
        y = ((np.arange(top, bottom) + 0.5) * down).astype(int).clip(0, height - 1)
        x = ((np.arange(left, right) + 0.5) * across).astype(int).clip(0, width - 1)
        return pixels[mask.picture[np.ix_(y, x)]]

    wanted = places[np.unique(chosen)].tolist() if len(places) else []
    found = list(in_order(block, wanted, default_threads()))
    read = [pixels for pixels in found if pixels is not None]
    return np.concatenate([np.empty((0, 3), np.uint8), *read])[np.newaxis], len(found) - len(read)


def _edges(length: int) -> np.ndarray:
    """Return begin and end of the blocks along a side, float64 (n, 2)."""
    begins = np.arange(0, max(length, 0), BLOCK, dtype=np.float64)
    return np.stack([begins, np.minimum(begins + BLOCK, length)], axis=1)
