"""Exact areas of unions of boxes and of masks, in integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tiler.protocols import Mask

Ints = npt.NDArray[np.int64]

_BAND_CELLS = 1 << 22
"""Maximum cells processed at once, so that memory does not grow with the slide."""


def boxes_overlap(a: Ints, b: Ints) -> float:
    """Return the intersection over union of the areas that two sets of boxes cover.

    Parameters
    ----------
    a, b
        (N, 4): x, y, width, height in level-0 pixels. Boxes of one set may overlap: an area
        that several cover counts once.

    Returns
    -------
    float
        0 to 1; 1 when neither covers anything.
    """
    corners = [corners_of(boxes) for boxes in (a, b)]
    both = np.concatenate(corners)
    xs, ys = np.unique(both[:, ::2]), np.unique(both[:, 1::2])
    # No box edge crosses a cell of this uneven raster: each cell is inside or outside as a whole.
    cells_a, cells_b = (
        np.stack([np.searchsorted(edges, c[:, i]) for i, edges in enumerate((xs, ys, xs, ys))], 1)
        for c in corners
    )
    width = max(len(xs) - 1, 0)

    def band(top: int, bottom: int) -> tuple[Mask, Mask]:
        shift = np.array([0, top, 0, top])
        shape = (bottom - top, width)
        return covered(cells_a - shift, shape), covered(cells_b - shift, shape)

    return _overlap(np.diff(xs), np.diff(ys), band)


def masks_overlap(a: Mask, b: Mask) -> float:
    """Return the intersection over union of two masks, each stretched over the same slide.

    Returns
    -------
    float
        0 to 1; 1 when both are empty.
    """
    xs, columns_a, columns_b = _common_cells(a.shape[1], b.shape[1])
    ys, rows_a, rows_b = _common_cells(a.shape[0], b.shape[0])

    def band(top: int, bottom: int) -> tuple[Mask, Mask]:
        part = slice(top, bottom)
        return a[np.ix_(rows_a[part], columns_a)], b[np.ix_(rows_b[part], columns_b)]

    return _overlap(np.diff(xs), np.diff(ys), band)


def corners_of(boxes: Ints) -> Ints:
    """Return boxes, (N, 4) x, y, width, height, as left, top, right, bottom."""
    corners: Ints = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    return corners


def covered(corners: Ints, shape: tuple[int, int]) -> Mask:
    """Mark the cells of a raster, (height, width), that lie in at least one box.

    Parameters
    ----------
    corners
        (N, 4): left, top, right, bottom in cells; parts outside the raster are ignored.
    shape
        The raster's height and width.
    """
    height, width = shape
    left, top, right, bottom = np.clip(corners, 0, [width, height, width, height]).T
    steps = np.zeros((height + 1, width + 1), np.int32)  # their sums count boxes
    for rows, columns, step in (
        (top, left, 1),
        (top, right, -1),
        (bottom, left, -1),
        (bottom, right, 1),
    ):
        np.add.at(steps, (rows, columns), step)
    inside: Mask = steps.cumsum(0).cumsum(1)[:height, :width] > 0
    return inside


def _overlap(widths: Ints, heights: Ints, band: Callable[[int, int], tuple[Mask, Mask]]) -> float:
    """Return the intersection over union of two rasters of uneven cells, computed in bands."""
    rows = max(1, _BAND_CELLS // max(1, len(widths)))
    shared = union = 0
    for top in range(0, len(heights), rows):
        bottom = min(top + rows, len(heights))
        in_a, in_b = band(top, bottom)
        shared += int(heights[top:bottom] @ ((in_a & in_b) @ widths))
        union += int(heights[top:bottom] @ ((in_a | in_b) @ widths))
    return shared / union if union else 1.0


def _common_cells(a: int, b: int) -> tuple[Ints, Ints, Ints]:
    """Merge two divisions of one length, into ``a`` and into ``b`` equal cells.

    Returns
    -------
    tuple
        The edges of the common cells, for a length of ``a * b``; then, for each common cell,
        the index of the ``a`` cell and of the ``b`` cell that contain it.
    """
    edges = np.union1d(np.arange(a + 1) * b, np.arange(b + 1) * a)
    starts = edges[:-1]
    return edges, starts // max(b, 1), starts // max(a, 1)
