"""Bool rasters with uneven columns and rows: the parts of a cover that are pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiler.geometry import Extent
from tiler.grid import Floats, Ints

Bools = npt.NDArray[np.bool_]


MAX_PIXELS = 400_000_000
"""Maximum pixels of a raster that others refine: 400 MB."""


class TooManyPixelsError(ValueError):
    """Rasters of different sizes refine each other to too many pixels."""


@dataclass(frozen=True, eq=False)
class Raster:
    """A bool raster whose columns and rows may differ in size.

    Attributes
    ----------
    values
        bool (h, w).
    x_lines, y_lines
        float64 (w + 1,) and (h + 1,), increasing: the borders of columns and rows.
    """

    values: Bools
    x_lines: Floats
    y_lines: Floats

    def __invert__(self) -> Raster:
        """Return the complement, on the same lines."""
        return Raster(~self.values, self.x_lines, self.y_lines)

    def __and__(self, other: Raster) -> Raster:
        """Return the intersection, on the lines of both.

        Raises
        ------
        TooManyPixelsError
            If these are too many lines.
        """
        x = np.union1d(self.x_lines, other.x_lines)
        y = np.union1d(self.y_lines, other.y_lines)
        if len(x) * len(y) > MAX_PIXELS:
            size = f"{len(x):,} x {len(y):,} pixels"
            raise TooManyPixelsError(f"masks of different sizes refine each other to {size}")
        return Raster(self.at(x, y) & other.at(x, y), x, y)

    def at(self, x_lines: Floats, y_lines: Floats) -> Bools:
        """Return the values in the cells of a finer grid, bool (ny, nx); False beyond the ends."""
        column, inside_x = _cell_at(self.x_lines, x_lines)
        row, inside_y = _cell_at(self.y_lines, y_lines)
        return np.asarray(self.values[np.ix_(row, column)] & np.outer(inside_y, inside_x))


def even_raster(mask: Bools, extent: Extent) -> Raster:
    """Return a mask stretched over an area of a size, from its corner."""
    return Raster(mask, *even_lines(extent, mask.shape[1], mask.shape[0]))


def even_lines(extent: Extent, width: int, height: int) -> tuple[Floats, Floats]:
    """Return the borders of equal columns and rows of an area: float64 (w + 1,) and (h + 1,)."""
    return _even(extent.width, width), _even(extent.height, height)


def _even(length: float, count: int) -> Floats:
    # Products of whole numbers are exact, so a raster and one that divides it share their lines.
    return np.arange(count + 1, dtype=np.float64) * length / count


def _cell_at(lines: Floats, finer: Floats) -> tuple[Ints, Bools]:
    middle = (finer[:-1] + finer[1:]) / 2
    found = np.searchsorted(lines, middle, side="right").astype(np.int64) - 1
    inside = (found >= 0) & (found < len(lines) - 1)
    return np.clip(found, 0, len(lines) - 2), inside
