"""What entries of the cache contain, checked: they may be of anybody's making."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.geometry import Box
from tiler.grid import Floats
from tiler.protocols import Mask
from tiler.runner.store.arrays import Arrays


def mask_of(entry: Arrays) -> Mask:
    """The mask that an entry of the cache contains.

    Raises
    ------
    ValueError
        When it contains none.
    """
    mask = entry.get("mask")
    if mask is None or mask.dtype != bool or mask.ndim != 2 or not mask.size:
        raise ValueError("contains no mask")
    return mask


@dataclass(frozen=True)
class Grid:
    """What the cache keeps of a slide's grid.

    Attributes
    ----------
    bounds
        Of the slide, in level-0 pixels.
    columns, rows, ratios
        See ``Cells``.
    """

    bounds: Box
    columns: Floats
    rows: Floats
    ratios: Floats


def grid_of(entry: Arrays) -> Grid:
    """The grid that an entry of the cache contains.

    Raises
    ------
    ValueError
        When it contains none, or one that cannot be.
    """
    try:
        bounds, columns, rows, ratios = (
            entry[name] for name in ("bounds", "columns", "rows", "ratios")
        )
    except KeyError:
        raise ValueError("contains no grid") from None
    kinds = [array.dtype.str[1:] for array in (bounds, columns, rows, ratios)]
    shapes = bounds.shape, columns.shape, rows.shape
    wanted = (4,), (*ratios.shape[1:], 2), (*ratios.shape[:1], 2)
    if kinds != ["i8", "f8", "f8", "f8"] or ratios.ndim != 2 or shapes != wanted:
        raise ValueError("contains no grid")
    if not ((ratios >= 0) & (ratios <= 1)).all():  # NaN is neither
        raise ValueError("has coverages out of range")
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        raise ValueError("has cells that are nowhere")
    return Grid(Box(*bounds.tolist()), columns, rows, ratios)
