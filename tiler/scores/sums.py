"""Sums of maps over the spans of cells, in an order that depends on the cell alone.

The pixels between two breaks of ``Footprints.breaks`` are added column by column, then the columns
of a span, then the sums of all breaks downwards. So the score of a cell is the same to the last
bit, whichever cells are measured with it. This holds also for maps whose sums are not exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.grid import Floats, Ints
from tiler.scores.footprints import Footprints


def row_sums(plane: npt.NDArray[Any], breaks: Ints) -> Floats:
    """Return the sums of rows of a map between breaks, float64 (number of breaks - 1, w).

    Parameters
    ----------
    plane
        (h, w).
    breaks
        Increasing, from 0 to h.
    """
    import cv2

    if plane.dtype == bool:
        plane = plane.view(np.uint8)
    small = plane.dtype == np.uint8
    if not small and plane.dtype not in (np.float32, np.int16):
        plane = plane.astype(np.float64)
    kind = cv2.CV_32S if small else cv2.CV_64F
    sums = np.empty((len(breaks) - 1, plane.shape[1]))
    for index in range(len(sums)):
        rows = plane[breaks[index] : breaks[index + 1]]
        sums[index] = cv2.reduce(rows, 0, cv2.REDUCE_SUM, dtype=kind)
    return sums


def span_sums(sums: Floats, across: Footprints, columns: Ints, left: int) -> Floats:
    """Return sums over the spans of columns of cells: float64 (rows, P, n).

    Parameters
    ----------
    sums
        float64 (rows, w): see ``row_sums``.
    across
        All columns of cells.
    columns
        int64 (n,): the columns to return, whose pixels are all in ``sums``.
    left
        The place of the first column of ``sums``.
    """
    spans = across.spans[:, columns] - left
    padded = np.pad(sums, ((0, 0), (0, 1)))  # reduceat refuses an end after the last column
    found = np.add.reduceat(padded, spans.ravel(), axis=1)[:, ::2].reshape(-1, *spans.shape[:2])
    return np.where(spans[..., 0] < spans[..., 1], found, 0.0)


class RowOfCells:
    """The sums of some maps over one row of cells, while strips are added to them.

    Parameters
    ----------
    spans
        int64 (P, 2): the row's own spans, in rows of pixels.
    shape
        The number of spans across, and of columns of cells.
    """

    def __init__(self, spans: Ints, shape: tuple[int, int]) -> None:
        self._spans = spans
        self._shape = shape
        self._sums: list[Floats] = []

    def add(self, number: int, sums: Floats, breaks: Ints, columns: Ints) -> None:
        """Add a strip to the sums of a map.

        Parameters
        ----------
        number
            The number of the map.
        sums
            float64 (number of breaks - 1, P across, n): see ``span_sums``.
        breaks
            Rows of pixels between which they are.
        columns
            int64 (n,): their columns of cells.
        """
        while number >= len(self._sums):
            self._sums.append(np.zeros((len(self._spans), *self._shape)))
        for own, span in zip(self._sums[number], self._spans, strict=True):
            first, last = np.searchsorted(breaks, np.clip(span, breaks[0], breaks[-1]))
            if last > first:  # a running sum adds one after the other, in whatever layout
                one_by_one = np.concatenate([own[None, :, columns], sums[first:last]])
                own[:, columns] = np.cumsum(one_by_one, axis=0)[-1]

    def totals(self, down: Floats, across: Floats) -> Floats:
        """Return the weighted sums over each cell: float64 (number of maps, n).

        Parameters
        ----------
        down
            float64 (P,): the weights of the row's spans.
        across
            float64 (P, n): those of the columns' spans.
        """
        totals = np.zeros((len(self._sums), self._shape[1]))
        for own, sums in zip(totals, self._sums, strict=True):
            for weight, spans in zip(down, sums, strict=True):
                for weights, values in zip(across, spans, strict=True):
                    own += weight * weights * values
        return totals
