"""Exact areas of polygons in the cells of a rectilinear grid.

Each edge of a polygon bounds the area to its right, up to the grid's end. The signed sum over all
edges is the area inside (Green's theorem). An edge is cut at each grid line that it crosses, so
each piece lies in one cell. The piece adds a trapezium to that cell, and its height to all cells
to the right of it in its row. The cost is one step per piece and one running sum over the grid.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tiler.grid import Floats, Ints

_STEPS = 2.0**30
"""Steps of a vertical coordinate per unit. Heights are then added without rounding, so a cell
beside a polygon has exactly no area in it."""

_PIECES = 2_000_000
"""Approximate maximum number of pieces of edges in memory: about 300 MB."""


class Edges(NamedTuple):
    """The directed edges of polygons.

    Attributes
    ----------
    first, last
        float64 (n, 2): begin and end (x, y) of each edge.
    """

    first: Floats
    last: Floats


def edges_of(polygons: Any) -> Edges:
    """Return the edges of a valid shapely Polygon or MultiPolygon.

    The interior is on the left of each edge where y points up.
    """
    import shapely

    rings = shapely.get_rings(shapely.get_parts(shapely.orient_polygons(polygons)))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    points = np.asarray(points, np.float64)
    points[:, 1] = _stepped(points[:, 1])
    same = ring[1:] == ring[:-1]
    return Edges(points[:-1][same], points[1:][same])


def polygon_areas(edges: Edges, x_lines: Floats, y_lines: Floats) -> Floats:
    """Return the area that polygons cover in each cell of a grid.

    Parameters
    ----------
    edges
        See ``edges_of``.
    x_lines, y_lines
        float64 (nx + 1,) and (ny + 1,), strictly increasing, in the frame of the edges.

    Returns
    -------
    numpy.ndarray
        float64 (ny, nx), in square units of that frame.
    """
    y_lines = _stepped(y_lines)
    shape = len(y_lines) - 1, len(x_lines) - 1
    inside, passed = np.zeros(shape), np.zeros(shape)
    for some in _portions(edges, x_lines, y_lines):
        start, stop = _cut(some, x_lines, y_lines)
        middle = (start + stop) / 2
        columns, rows = _cells_of(middle[:, 0], x_lines), _cells_of(middle[:, 1], y_lines)
        height = start[:, 1] - stop[:, 1]
        here = (rows >= 0) & (rows < shape[0]) & (columns < shape[1])
        at = here & (columns >= 0)
        row, column, rise = rows[at], columns[at], height[at]
        _add(inside, row, column, rise * (x_lines[column + 1] - middle[at, 0]))
        # All cells to the right of a piece, the first of the row if it is left of the grid.
        at = here & (columns + 1 < shape[1])
        _add(passed, rows[at], np.maximum(columns[at], -1) + 1, height[at])
    np.cumsum(passed, axis=1, out=passed)
    return np.asarray(inside + passed * np.diff(x_lines))


def _stepped(values: Floats) -> Floats:
    return np.asarray(np.rint(values * _STEPS) / _STEPS)


def _add(total: Floats, rows: Ints, columns: Ints, values: Floats) -> None:
    """Add values to an array at places that may repeat."""
    at = rows * total.shape[1] + columns
    total += np.bincount(at, values, total.size).reshape(total.shape)


def _portions(edges: Edges, x_lines: Floats, y_lines: Floats) -> list[Edges]:
    """Return the edges beside the grid's rows, in portions whose pieces fit into memory."""
    low, high = _sorted_ends(edges, 1)
    first, last = (ends[(low < y_lines[-1]) & (high > y_lines[0])] for ends in edges)
    there = Edges(first, last)
    pieces = 1 + _counts(there, 0, x_lines)[1] + _counts(there, 1, y_lines)[1]
    borders = np.searchsorted(np.cumsum(pieces), np.arange(_PIECES, pieces.sum(), _PIECES))
    return [
        Edges(*pair) for pair in zip(np.split(first, borders), np.split(last, borders), strict=True)
    ]


def _cells_of(values: Floats, lines: Floats) -> Ints:
    """Return the index of the cell that contains each value; -1 before the first line."""
    return np.searchsorted(lines, values, side="right").astype(np.int64) - 1


def _cut(edges: Edges, x_lines: Floats, y_lines: Floats) -> tuple[Floats, Floats]:
    """Return begin and end, (m, 2) each, of edges that are cut at all lines of a grid."""
    first, last = edges
    count = len(first)
    numbers = [np.arange(count), np.arange(count)]
    shares = [np.zeros(count), np.ones(count)]
    points = [first, last]
    for axis, lines in ((0, x_lines), (1, y_lines)):
        number, share, crossed = _crossings(edges, axis, lines)
        at = first[number] + share[:, None] * (last - first)[number]
        at[:, 1] = _stepped(at[:, 1])
        at[:, axis] = crossed  # exactly on the line, for both pieces
        numbers.append(number)
        shares.append(share)
        points.append(at)
    number, point = np.concatenate(numbers), np.concatenate(points)
    order = np.lexsort((np.concatenate(shares), number))
    number, point = number[order], point[order]
    same = number[1:] == number[:-1]
    return point[:-1][same], point[1:][same]


def _crossings(edges: Edges, axis: int, lines: Floats) -> tuple[Ints, Floats, Floats]:
    """Return which edges cross lines of an axis, at which share of their length, and the lines."""
    begin, count = _counts(edges, axis, lines)
    edge = np.repeat(np.arange(len(count)), count)
    offset = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    crossed = lines[begin[edge] + offset]
    first, last = edges.first[edge, axis], edges.last[edge, axis]
    return edge, (crossed - first) / (last - first), crossed


def _counts(edges: Edges, axis: int, lines: Floats) -> tuple[Ints, Ints]:
    """Return the first line that each edge crosses, and how many lines it crosses."""
    low, high = _sorted_ends(edges, axis)
    begin = np.searchsorted(lines, low, side="right").astype(np.int64)
    return begin, np.maximum(np.searchsorted(lines, high, side="left") - begin, 0)


def _sorted_ends(edges: Edges, axis: int) -> tuple[Floats, Floats]:
    first, last = edges.first[:, axis], edges.last[:, axis]
    return np.minimum(first, last), np.maximum(first, last)
