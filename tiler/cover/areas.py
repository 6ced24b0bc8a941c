"""Areas of a raster, of polygons, or of their intersection, in the cells of a grid."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tiler.cover.polygon_areas import Edges, polygon_areas
from tiler.cover.rasters import Raster
from tiler.geometry import Extent
from tiler.grid import Floats, Ints

_CELLS_AT_ONCE = 4_000_000
"""Approximate maximum cells of the refined grid in memory: about 200 MB."""

_NO_LINES = np.empty(0)


def common_areas(
    raster: Raster | None, edges: Edges | None, extent: Extent, columns: Floats, rows: Floats
) -> Floats:
    """Return the area of the intersection of a raster and polygons, in each cell of a grid.

    The lines of the raster refine the grid, so that each refined cell lies in one raster pixel.

    Parameters
    ----------
    raster, edges
        The raster, and the polygons; None in place of either is the whole area.
    extent
        The size of the whole area: nothing beyond it counts.
    columns, rows
        float64 (nx, 2) and (ny, 2): begin and end of each column and row of cells.

    Returns
    -------
    numpy.ndarray
        float64 (ny, nx).
    """
    columns, rows = np.clip(columns, 0, extent.width), np.clip(rows, 0, extent.height)
    area = np.zeros((len(rows), len(columns)))
    if not area.size:
        return area
    x_lines = _lines_of(columns, _NO_LINES if raster is None else raster.x_lines)
    begin, end = (np.searchsorted(x_lines, ends) for ends in columns.T)
    for some, y_lines in _bands(rows, _NO_LINES if raster is None else raster.y_lines, x_lines):
        if len(x_lines) < 2 or len(y_lines) < 2:
            continue  # all these cells lie outside
        fine = _fine_areas(raster, edges, x_lines, y_lines)
        top, bottom = (np.searchsorted(y_lines, ends) for ends in rows[some].T)
        band = _sums(fine, top, bottom)
        area[some] = _sums(np.ascontiguousarray(band.T), begin, end).T
    return area


def _fine_areas(
    raster: Raster | None, edges: Edges | None, x_lines: Floats, y_lines: Floats
) -> Floats:
    """Return areas in each cell of a grid that no line of the raster crosses."""
    areas = (
        np.outer(np.diff(y_lines), np.diff(x_lines))
        if edges is None
        else polygon_areas(edges, x_lines, y_lines)
    )
    return areas if raster is None else areas * raster.at(x_lines, y_lines)


def _sums(values: Floats, begin: Ints, end: Ints) -> Floats:
    """Return the sum over axis 0 from each begin to its end: no difference of large sums."""
    padded = np.concatenate([values, np.zeros((1, values.shape[1]))])
    found = np.add.reduceat(padded, np.stack([begin, end], axis=1).ravel(), axis=0)[::2]
    found[begin >= end] = 0.0
    return np.asarray(found)


def _bands(rows: Floats, lines: Floats, x_lines: Floats) -> Iterator[tuple[slice, Floats]]:
    """Yield rows of cells in groups that fit into memory, with the lines between and in them."""
    start = 0
    while start < len(rows):
        stop = start + 1
        found = _lines_of(rows[start:stop], lines)
        while stop < len(rows):
            further = min(len(rows), 2 * stop - start)
            more = _lines_of(rows[start:further], lines)
            if len(more) * len(x_lines) > _CELLS_AT_ONCE:
                break
            stop, found = further, more
        yield slice(start, stop), found
        start = stop


def _lines_of(cells: Floats, lines: Floats) -> Floats:
    """Return the borders of cells, and the lines between the first and the last of them."""
    between = lines[(lines > cells.min()) & (lines < cells.max())]
    return np.unique(np.concatenate([cells.ravel(), between]))
