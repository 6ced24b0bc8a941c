"""Runs of strips that cannot be read as a whole: the cells of them that can."""

from __future__ import annotations

import math

import numpy as np

from tiler.errors import ReadError
from tiler.protocols import Pixels
from tiler.scores.footprints import Footprints
from tiler.scores.frame import Frame
from tiler.scores.strips import Run, Strip

Cell = tuple[int, int]
"""Row and column of a cell of the grid."""


def read_run(
    frame: Frame,
    strip: Strip,
    run: Run,
    axes: tuple[Footprints, Footprints],
    margin: int,
    alone: bool,
) -> tuple[Pixels, dict[Cell, str]]:
    """Read a run, or each of its cells alone if it cannot be read.

    Parameters
    ----------
    frame
        Reads the slide.
    strip, run
        The run and its strip.
    axes
        The columns and rows of cells.
    margin
        The distance in pixels up to which neighbours count.
    alone
        Whether to read each cell alone if the run cannot be read.

    Returns
    -------
    tuple
        The pixels of the run with its margin, as ``Frame.read`` returns them, black where no cell
        can be read; and the cause for each cell that cannot be read.

    Raises
    ------
    ReadError
        If the run cannot be read, and ``alone`` is False.
    """
    try:
        return frame.read(run.left, strip.top, run.right, strip.bottom, margin), {}
    except ReadError:
        if not alone:
            raise
    across, down = axes
    x, y = max(0, run.left - margin), max(0, strip.top - margin)
    width = min(run.right + margin, math.ceil(frame.width)) - x
    height = min(strip.bottom + margin, math.ceil(frame.height)) - y
    pixels, unreadable = np.zeros((height, width, 3), np.uint8), dict[Cell, str]()
    for row in strip.rows:
        top, bottom = np.clip(down.pixels[row], strip.top, strip.bottom).tolist()
        for column in run.columns.tolist():
            left, right = across.pixels[column].tolist()
            try:
                cell = frame.read(left, top, right, bottom, margin)
            except ReadError as error:
                unreadable[row, column] = error.what
                continue
            down_by, right_by = max(0, top - margin) - y, max(0, left - margin) - x
            pixels[down_by : down_by + cell.shape[0], right_by : right_by + cell.shape[1]] = cell
    return pixels, unreadable
