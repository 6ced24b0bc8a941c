"""Connected pieces of tissue, and the piece that each grid cell belongs to."""

from __future__ import annotations

import numpy as np

from tiler.cover.rasters import Bools
from tiler.grid import Floats, Ints, between, settled


def tissue_ids(mask: Bools, x_edges: Floats, y_edges: Floats) -> Ints:
    """Return the piece of tissue that covers the largest share of every grid cell.

    Pieces are connected by sides or corners. They are numbered from 1 by their area, the largest
    first; of equal ones the first row by row. Where two pieces cover the same share of a cell, the
    larger piece counts.

    Parameters
    ----------
    mask
        bool (h, w).
    x_edges, y_edges
        float64 (nx, 2) and (ny, 2): where columns and rows of cells begin and end, in mask pixels.

    Returns
    -------
    numpy.ndarray
        int64 (ny, nx); 0 for cells without tissue.
    """
    import cv2

    ids = np.zeros((len(y_edges), len(x_edges)), np.int64)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    if count == 1 or not ids.size:
        return ids
    x_edges, y_edges = settled(x_edges), settled(y_edges)
    largest_first = np.argsort(-stats[1:, cv2.CC_STAT_AREA].astype(np.int64), kind="stable") + 1
    best = np.zeros(ids.shape)
    for number, piece in enumerate(largest_first.tolist(), 1):
        left, top, width, height = stats[piece, :4].tolist()
        columns = _touching(x_edges, left, left + width)
        rows = _touching(y_edges, top, top + height)
        if not (columns.size and rows.size):
            continue
        inside = pieces[top : top + height, left : left + width] == piece
        at = np.ix_(rows, columns)
        area = _areas(inside, x_edges[columns] - left, y_edges[rows] - top)
        larger = area > best[at] + 1e-9  # areas are sums of floats
        best[at] = np.where(larger, area, best[at])
        ids[at] = np.where(larger, number, ids[at])
    return ids


def _touching(edges: Floats, begin: int, end: int) -> Ints:
    """Return the indices of the cells of an axis that overlap an interval."""
    return np.flatnonzero((edges[:, 1] > begin) & (edges[:, 0] < end)).astype(np.int64)


def _areas(inside: Bools, x_edges: Floats, y_edges: Floats) -> Floats:
    """Return how many mask pixels of each cell are inside, fractional: float64 (ny, nx)."""
    table = np.zeros((inside.shape[0] + 1, inside.shape[1] + 1), np.int64)
    np.cumsum(inside, axis=0, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    band = between(table, y_edges)
    return between(np.ascontiguousarray(band.T), x_edges).T
