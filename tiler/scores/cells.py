"""The pixels of whole cells, for scores that look at one cell at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from tiler.protocols import Pixels
from tiler.scores.footprints import Footprints


@dataclass
class HeldPixels:
    """Pixels of strips, kept until all cells that need them are scored.

    Attributes
    ----------
    across, down
        The columns and rows of cells.
    background
        uint8 (3,): the colour beyond the slide.
    """

    across: Footprints
    down: Footprints
    background: Pixels
    _pieces: list[tuple[int, int, Pixels]] = field(default_factory=list)

    def add(self, top: int, left: int, pixels: Pixels) -> None:
        """Keep the pixels of a run of a strip."""
        self._pieces.append((top, left, pixels))

    def cell(self, row: int, column: int) -> Pixels:
        """Return the pixels nearest to the footprint of a cell."""
        left, right = _nearest(*self.across.edges[column].tolist())
        top, bottom = _nearest(*self.down.edges[row].tolist())
        cell = np.empty((bottom - top, right - left, 3), np.uint8)
        cell[:] = self.background
        for y, x, pixels in self._pieces:
            height, width = pixels.shape[:2]
            up, down = max(top, y), min(bottom, y + height)
            start, stop = max(left, x), min(right, x + width)
            if up < down and start < stop:
                piece = pixels[up - y : down - y, start - x : stop - x]
                cell[up - top : down - top, start - left : stop - left] = piece
        return cell

    def drop_before(self, row: int) -> None:
        """Forget pixels above a row of cells."""
        if row < len(self.down.pixels):
            first = int(self.down.pixels[row, 0])
            self._pieces = [one for one in self._pieces if one[0] + len(one[2]) > first]


def _nearest(begin: float, end: float) -> tuple[int, int]:
    """Return the whole pixels nearest to a cell's footprint along one axis, at least one."""
    first, last = round(begin), round(end)
    if first < last:
        return first, last
    within = math.floor((begin + end) / 2)
    return within, within + 1
