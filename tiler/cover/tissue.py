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
        float64 (nx, 2) and (ny, 2): where columns and rows of cells begin and end, in mask pixels,
        in order.

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
    boxes = stats[largest_first, :4].astype(np.int64)
    # All at once: a mask of nuclei has 100,000 pieces.
    columns_of = _touching(x_edges, boxes[:, 0], boxes[:, 2])
    rows_of = _touching(y_edges, boxes[:, 1], boxes[:, 3])
    best = np.zeros(ids.shape)
    for number, (piece, box, across, down) in enumerate(
        zip(largest_first.tolist(), boxes.tolist(), columns_of, rows_of, strict=True), 1
    ):
        columns, rows = slice(*across), slice(*down)
        if across[0] >= across[1] or down[0] >= down[1]:
            continue
        left, top, width, height = box
        if across[1] - across[0] == down[1] - down[0] == 1:
            x, y = x_edges[across[0]], y_edges[down[0]]
            if x[0] <= left and left + width <= x[1] and y[0] <= top and top + height <= y[1]:
                if (area := stats[piece, cv2.CC_STAT_AREA]) > best[down[0], across[0]] + 1e-9:
                    best[down[0], across[0]], ids[down[0], across[0]] = area, number
                continue
        inside = pieces[top : top + height, left : left + width] == piece
        at = rows, columns
        area = _areas(inside, x_edges[columns] - left, y_edges[rows] - top)
        larger = area > best[at] + 1e-9  # areas are sums of floats
        best[at] = np.where(larger, area, best[at])
        ids[at] = np.where(larger, number, ids[at])
    return ids


def _touching(edges: Floats, begin: Ints, length: Ints) -> list[tuple[int, int]]:
    """Return the first and the last cell, exclusive, of an axis that overlap each interval."""
    first = np.searchsorted(edges[:, 1], begin, side="right")
    last = np.searchsorted(edges[:, 0], begin + length, side="left")
    return list(zip(first.tolist(), last.tolist(), strict=True))


def _areas(inside: Bools, x_edges: Floats, y_edges: Floats) -> Floats:
    """Return how many mask pixels of each cell are inside, fractional: float64 (ny, nx)."""
    table = np.zeros((inside.shape[0] + 1, inside.shape[1] + 1), np.int64)
    np.cumsum(inside, axis=0, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    band = between(table, y_edges)
    return between(np.ascontiguousarray(band.T), x_edges).T
