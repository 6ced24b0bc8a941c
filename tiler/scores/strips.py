"""The strips of a slide that contain the pixels of some cells: a plan without pixels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tiler.grid import Ints
from tiler.protocols import Mask
from tiler.scores.footprints import Footprints

_LEAST = 32
"""Strips are at least so many pixels high where rows of cells are lower: shorter ones cost more
for each of their pixels."""


@dataclass(frozen=True)
class Run:
    """A piece of a strip, from one column of pixels to another, and the cells in it.

    Attributes
    ----------
    left, right
        The first column of pixels, and the one after the last.
    columns
        int64 (n,): the columns of cells, from the first column of the grid.
    """

    left: int
    right: int
    columns: Ints


@dataclass(frozen=True)
class Strip:
    """Rows of pixels, and the runs of them that wanted cells need.

    Attributes
    ----------
    top, bottom
        The first row of pixels, and the one after the last.
    rows
        The rows of cells that have pixels in it.
    runs
        Its pieces, from left to right.
    """

    top: int
    bottom: int
    rows: range
    runs: tuple[Run, ...]


def strips(
    across: Footprints, down: Footprints, wanted: Mask, breaks: Ints, highest: int, gap: int
) -> Iterator[Strip]:
    """Yield the strips that contain all pixels of wanted cells, each pixel once, downwards.

    Parameters
    ----------
    across, down
        The columns and rows of cells.
    wanted
        bool (number of rows, number of columns).
    breaks
        The rows of pixels at which a strip may begin and end: see ``Footprints.breaks``.
    highest
        The height from which a strip takes no more rows of cells.
    gap
        Runs that are at most so many pixels apart are joined.
    """
    top = bottom = 0
    rows, columns = range(0), np.asarray(np.zeros(wanted.shape[1], bool))
    for begin, end in itertools.pairwise(breaks.tolist()):
        # Rows of cells are in order, so those with pixels in these rows of pixels are neighbours.
        first = int(np.searchsorted(down.pixels[:, 1], begin, side="right"))
        last = int(np.searchsorted(down.pixels[:, 0], end, side="left"))
        needed = np.asarray(wanted[first:last].any(axis=0))
        height = bottom - top
        joins = rows and bottom == begin and end - top <= highest and needed.any()
        if joins and (height < _LEAST or np.array_equal(needed, columns)):
            rows, columns, bottom = range(rows.start, last), columns | needed, end
            continue
        if rows:
            yield Strip(top, bottom, rows, _runs(across, columns, gap))
        rows = range(first, last) if needed.any() else range(0)
        top, bottom, columns = begin, end, needed
    if rows:
        yield Strip(top, bottom, rows, _runs(across, columns, gap))


def _runs(across: Footprints, columns: Mask, gap: int) -> tuple[Run, ...]:
    """Return the runs of pixels of some columns of cells."""
    chosen = np.flatnonzero(columns)
    begins, ends = across.pixels[chosen].T
    starts = np.flatnonzero(begins[1:] > np.maximum.accumulate(ends)[:-1] + gap) + 1
    return tuple(
        Run(int(begins[some[0]]), int(ends[some].max()), chosen[some])
        for some in np.split(np.arange(len(chosen)), starts)
    )
