"""Maps of overlapping tiles blended into one: a weighted mean, in bands of rows.

The outer values of a tile's map are unreliable, because the network saw no pixels beyond the tile.
So three eighths of an overlap count for nothing at a tile's border. Over the next quarter the
weight rises to 1, and that of the neighbour falls. At the area's own edge the weight is 1: there is
no neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tiler.geometry import Point, Size
from tiler.grid import Floats

Values = npt.NDArray[np.float32]
"""float32 (h, w)."""

_IGNORED, _RISING = 3 / 8, 1 / 4
"""Shares of an overlap. The rising parts of two neighbours coincide, and their sum is 1."""


class Placed(NamedTuple):
    """The start of a tile on one axis, and the weight of each of its values: float64 (side,)."""

    start: int
    weights: Floats


def blended(
    size: Size, side: int, overlap: int, values: Callable[[Point], Values]
) -> Iterator[Values]:
    """Yield the rows of a blended map in bands, from top to bottom.

    Where the maps of tiles agree, the result equals them exactly. Memory holds one row of tiles.

    Parameters
    ----------
    size
        The size of the result.
    side
        Width and height of the map of a tile.
    overlap
        Values that neighbouring tiles share, along either axis; less than ``side``.
    values
        Returns the map of the tile that begins at a point, float32 (side, side). It may end beyond
        the result only if that is smaller than a tile.
    """
    columns, rows = (placed(length, side, overlap) for length in size)
    band = np.zeros((side, max(size.width, side)))
    for row, tile in enumerate(rows):
        for column in columns:
            weights = np.outer(tile.weights, column.weights)
            across = slice(column.start, column.start + side)
            band[:, across] += weights * values(Point(column.start, tile.start))
        end = rows[row + 1].start if row + 1 < len(rows) else size.height
        done = end - tile.start
        # Rounded to float32, sums of float64 are exact where all tiles agree.
        yield band[:done, : size.width].astype(np.float32)
        band = np.concatenate([band[done:], np.zeros((done, band.shape[1]))])


def placed(length: int, side: int, overlap: int) -> list[Placed]:
    """Return the tiles of one axis; the last one ends at its end, and weights sum to 1."""
    if length <= side:
        return [Placed(0, np.ones(side))]
    starts = [*range(0, length - side, side - overlap), length - side]
    window = _window(side, overlap)
    total = np.zeros(length)
    tiles = []
    for start in starts:
        weights = window.copy()
        middle = side // 2
        if start == 0:
            weights[:middle] = weights.max()
        if start == starts[-1]:
            weights[middle:] = weights.max()
        total[start : start + side] += weights
        tiles.append(Placed(start, weights))
    return [Placed(start, w / total[start : start + side]) for start, w in tiles]


def _window(side: int, overlap: int) -> Floats:
    """Return the weights of a tile inside the area, before they are divided by their sum."""
    if not overlap:
        return np.ones(side)
    depth = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
    return np.clip((depth - _IGNORED * overlap) / (_RISING * overlap), 0, 1)


def merged(values: Values, side: int) -> Values:
    """Return a square map with ``side`` values along it: means of squares of values."""
    step = len(values) // side
    if step == 1:
        return values
    squares = values.reshape(side, step, side, step)
    return np.asarray(squares.mean(axis=(1, 3), dtype=np.float64), np.float32)
