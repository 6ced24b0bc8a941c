"""Slow, exact references of fast code in tiler: fractions for masks, plain sums for pixels."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np


def overlaps(start, stop, count: int) -> list:
    """Return the length of each unit interval [i, i + 1), i < count, between start and stop."""
    return [max(min(stop, i + 1) - max(start, i), 0) for i in range(count)]


def exact_coverage(mask: np.ndarray, left, top, right, bottom) -> Fraction:
    """Return the area-weighted mean of a mask over a box in its pixels; outside the mask is 0."""
    height, width = mask.shape
    across, down = overlaps(left, right, width), overlaps(top, bottom, height)
    total = sum((across[x] * down[y] for y, x in zip(*np.nonzero(mask), strict=True)), Fraction(0))
    return total / ((right - left) * (bottom - top))


def exact_mean(pixels: np.ndarray, left, top, scale, shape: tuple[int, int]) -> np.ndarray:
    """Return the area mean of pixels, not rounded: float64 (height, width, 3).

    Output pixel (i, j) covers left + i * scale to left + (i + 1) * scale across, and so on down;
    ``scale`` may be a pair, across and down.
    """
    (width, height), (across, down) = shape, scale if isinstance(scale, tuple) else (scale, scale)

    def weights(start, step, count: int, of: int) -> np.ndarray:
        edges = np.array([float(start + i * step) for i in range(count + 1)])[:, None]
        pixel = np.arange(of)
        return np.clip(np.minimum(edges[1:], pixel + 1) - np.maximum(edges[:-1], pixel), 0, None)

    first_row, first_column = math.floor(top), math.floor(left)
    rows = math.ceil(top + height * down) - first_row
    columns = math.ceil(left + width * across) - first_column
    crop = pixels[first_row : first_row + rows, first_column : first_column + columns]
    assert min(first_row, first_column) >= 0, "the box must lie inside"
    assert crop.shape[:2] == (rows, columns), "the box must lie inside"
    vertical = weights(top - first_row, down, height, rows)
    horizontal = weights(left - first_column, across, width, columns)
    means = (vertical @ crop.astype(np.float64).reshape(rows, -1)).reshape(height, columns, -1)
    # One large product: a product for each row needs twenty times as long.
    return np.tensordot(means, horizontal, axes=(1, 1)).swapaxes(1, 2) / float(across * down)


def axis_twin(low: Fraction, high: Fraction, size: int, stride: Fraction, edge: str) -> list[int]:
    """Yield the first pixels of an axis's tiles, in absolute target pixels."""
    first = math.floor(low) if edge == "pad" else math.ceil(low)
    last = math.ceil(high) if edge == "pad" else math.floor(high)
    origins: list[int] = []
    index = 0
    while (origin := first + round(index * stride)) + size <= last:
        origins.append(origin)
        index += 1
    reached = bool(origins) and origins[-1] + size == last
    if edge == "drop" or reached or origin >= last:
        return origins
    if edge == "pad":
        return [*origins, origin]
    return [*origins, last - size] if last - size >= first else []
