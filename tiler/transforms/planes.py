"""Arithmetic on the colour planes of a tile in single precision.

It consists of tables, products and sums, which all processors compute alike to the bit. Products of
matrices, logarithms and powers are not: their last bits depend on the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tiler.protocols import Pixels

Plane = npt.NDArray[np.float32]
"""float32 (h, w)."""

_STRIP = 1 << 15
"""Pixels of a strip; its planes fit into the cache of a processor."""

Bytes = npt.NDArray[np.uint8]

_Kind = TypeVar("_Kind", bound=np.generic)


def in_strips(change: Callable[[Pixels], Pixels], pixels: Pixels) -> Pixels:
    """Return changed pixels; ``change`` gets some rows at a time, and each pixel counts alone.

    The planes of a whole tile of 4096 pixels would take 800 MB in each thread.
    """
    height, width, _ = pixels.shape
    rows = max(1, _STRIP // max(1, width))
    if height <= rows:
        return change(pixels)
    found = np.empty(pixels.shape, np.uint8)
    for top in range(0, height, rows):
        found[top : top + rows] = change(pixels[top : top + rows])
    return found


def planes_of(pixels: Pixels, table: Plane) -> list[Plane]:
    """Return the entries of a table, (256,), for each channel of a tile."""
    import cv2

    return [np.asarray(cv2.LUT(plane, table), np.float32) for plane in cv2.split(pixels)]


def combined(row: npt.NDArray[np.float64], offset: float, planes: Sequence[Plane]) -> Plane:
    """Return the sum of three planes with the weights of a row, and an offset."""
    x, y, z = (np.float32(weight) for weight in row)
    total, product = planes[0] * x, planes[1] * y
    total += product
    np.multiply(planes[2], z, out=product)
    total += product
    total += np.float32(offset)
    return total


def looked_up(table: npt.NDArray[_Kind], steps: Plane) -> npt.NDArray[_Kind]:
    """Return the entries of a table at steps cut to whole numbers; those beyond it are its ends.

    ``steps`` are changed.
    """
    # Cut as floats: processors turn those beyond int32 into different numbers.
    np.clip(steps, 0, len(table) - 1, out=steps)
    found: npt.NDArray[_Kind] = table.take(steps.astype(np.int32), mode="clip")
    return found


def merged(planes: Sequence[Bytes]) -> Pixels:
    """Return the tile of three planes, uint8 (h, w, 3)."""
    import cv2

    return np.asarray(cv2.merge(planes), np.uint8)
