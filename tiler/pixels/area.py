"""Area averaging, the only resize: each output pixel is the mean of its footprint."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tiler.geometry import Size
from tiler.protocols import Pixels

SNAP = 1e-6  # pixels: rounding errors must not move an edge by a whole pixel
_ROWS_AT_ONCE = 64  # rows of the result at once: their sums fit into the processor's cache


def area_mean(
    pixels: Pixels, left: float, top: float, scale_x: float, scale_y: float, shape: Size
) -> Pixels:
    """Reduce pixels by averaging over the exact, fractional footprint of each output pixel.

    Output pixel (i, j) covers ``left + i * scale_x`` to ``left + (i + 1) * scale_x`` across, in
    pixels of the input, and likewise down. The result is rounded to the nearest integer.

    Parameters
    ----------
    pixels
        uint8 (h, w, 3), large enough for every footprint.
    left, top
        Corner of the first footprint, in pixels of the input.
    scale_x, scale_y
        Input pixels per output pixel.
    shape
        Size of the result.
    """
    import cv2

    if all(float(v).is_integer() for v in (left, top, scale_x, scale_y)):
        x, y = int(left), int(top)
        crop = pixels[y : y + shape.height * int(scale_y), x : x + shape.width * int(scale_x)]
        return np.asarray(cv2.resize(crop, tuple(shape), interpolation=cv2.INTER_AREA), np.uint8)
    rows = _shares(top, scale_y, shape.height, pixels.shape[0])
    columns = _shares(left, scale_x, shape.width, pixels.shape[1])
    reduced: Pixels = np.empty((shape.height, shape.width, 3), np.uint8)
    for start in range(0, shape.height, _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        narrow = cv2.transpose(_weighted(pixels, rows[0][:, some], rows[1][:, some]))
        small = _weighted(narrow, *columns)
        reduced[some] = cv2.transpose(np.rint(small, out=small).astype(np.uint8))
    return reduced


def _shares(
    start: float, scale: float, count: int, length: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Return the rows or columns under each of ``count`` footprints, and their weights.

    Returns
    -------
    tuple
        Indices and weights, both (K, count); K is the largest number of lines that a footprint
        touches. The weights of a footprint sum to 1; lines that it does not touch have 0.
    """
    edges = np.clip(start + scale * np.arange(count + 1), 0, length)
    first = np.minimum(edges[:-1].astype(np.intp), length - 1)
    most = int((np.ceil(edges[1:]).astype(np.intp) - first).max())
    lines = first + np.arange(most)[:, None]
    overlaps = np.minimum(edges[1:], lines + 1) - np.maximum(edges[:-1], lines)
    shares = np.maximum(overlaps, 0) / scale
    return np.minimum(lines, length - 1), shares.astype(np.float32)


def _weighted(
    values: npt.NDArray[np.generic], lines: npt.NDArray[np.intp], shares: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return weighted sums over lines of values, (h, w, 3): float32 (count, w, 3)."""
    flat = values.reshape(len(values), -1)
    shape = lines.shape[1], flat.shape[1]
    total = np.zeros(shape, np.float32)
    some, part = (
        np.empty(shape, flat.dtype),
        np.empty(shape, np.float32),
    )  # allocating memory is slow
    for line, share in zip(lines, shares, strict=True):
        np.take(flat, line, axis=0, out=some, mode="clip")
        total += np.multiply(some, share[:, None], out=part)
    return total.reshape(-1, *values.shape[1:])


def snapped(value: float) -> float:
    """Return the nearest whole number if a position differs from it by rounding errors alone."""
    nearest = round(value)
    return float(nearest) if abs(value - nearest) < SNAP else value
