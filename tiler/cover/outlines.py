"""Outlines of a raster: polygons with holes along the edges of its pixels.

Each polygon is a piece whose pixels are connected by their sides. It is valid by the OGC rules:
where pixels meet at a corner alone, a ring is cut in two, so that none touches itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tiler.cover.rasters import Bools

Points = npt.NDArray[np.int64]
"""int64 (n, 2): x, y of corners of pixels; the last point equals the first."""


class Outline(NamedTuple):
    """A polygon: its exterior ring, and the rings of its holes.

    In pictures, where y points down, exteriors run clockwise and holes counterclockwise.
    """

    exterior: Points
    holes: tuple[Points, ...]


def outlines(raster: Bools) -> list[Outline]:
    """Return the polygons that cover exactly the pixels of a raster that are True.

    Parameters
    ----------
    raster
        bool (h, w).

    Returns
    -------
    list of Outline
        In corners of pixels: a pixel covers the square from (x, y) to (x + 1, y + 1).
    """
    import cv2

    count, pieces = cv2.connectedComponents(raster.view(np.uint8), connectivity=4)
    exteriors: dict[int, Points] = {}
    holes: dict[int, list[Points]] = {piece: [] for piece in range(1, count)}
    for ring, (x, y) in _rings(raster):
        piece = int(pieces[y, x])
        if _doubled_area(ring) > 0:
            exteriors[piece] = ring
        else:
            holes[piece].append(ring)
    return [Outline(exteriors[piece], tuple(holes[piece])) for piece in sorted(exteriors)]


def simplified(ring: Points, tolerance: float) -> Points:
    """Return a ring with fewer points, none farther from it than a tolerance in pixels.

    A ring that is not larger than the tolerance may become a line or a point.
    """
    import cv2

    points = cv2.approxPolyDP(ring[:-1].astype(np.int32), tolerance, closed=True)
    found = points.reshape(-1, 2).astype(np.int64)
    return np.concatenate([found, found[:1]])


def _rings(raster: Bools) -> Iterator[tuple[Points, tuple[int, int]]]:
    """Yield each ring with a pixel beside it that is True.

    Edges run so that these pixels are on the right: the top edge of a pixel to the right, its right
    edge down, its bottom edge to the left, its left edge up.
    """
    left, width = _edges(raster)
    steps = (1, width, -1, -width)  # right, down, left, up
    for first in sorted(left):
        if first not in left:
            continue
        path = []
        edge = first
        while edge in left:
            left.remove(edge)
            path.append(edge)
            corner, direction = divmod(edge, 4)
            end = 4 * (corner + steps[direction])
            # Where four edges meet, the path turns right, around the same pixel.
            edge = end + (direction + 1) % 4
            if edge not in left:
                edge = end + direction
                if edge not in left:
                    edge = end + (direction + 3) % 4
        for loop in _simple(path):
            yield _points(loop, width), _beside(loop[0], width)


def _edges(raster: Bools) -> tuple[set[int], int]:
    """Return all edges, and the number of corners in a row.

    An edge is a number: four times its first corner, ``y * width + x``, plus its direction: 0
    right, 1 down, 2 left, 3 up.
    """
    width = raster.shape[1] + 1
    padded = np.pad(raster, 1)
    edges: set[int] = set()
    for direction, (neighbour, right, down) in enumerate(
        (
            (padded[:-2, 1:-1], 0, 0),
            (padded[1:-1, 2:], 1, 0),
            (padded[2:, 1:-1], 1, 1),
            (padded[1:-1, :-2], 0, 1),
        )
    ):
        y, x = np.nonzero(raster & ~neighbour)
        edges.update((4 * ((y + down) * width + x + right) + direction).tolist())
    return edges, width


def _simple(path: list[int]) -> Iterator[list[int]]:
    """Cut a closed path of edges where it meets itself; yield the loops."""
    place: dict[int, int] = {}
    opened: list[int] = []
    for edge in path:
        corner = edge // 4
        if corner in place:
            begin = place[corner]
            loop = opened[begin:]
            del opened[begin:]
            for one in loop:
                del place[one // 4]
            yield loop
        place[corner] = len(opened)
        opened.append(edge)
    yield opened


def _points(loop: list[int], width: int) -> Points:
    """Return the corners of a loop at which it turns, the first one again at the end."""
    corners, directions = np.divmod(np.array(loop, np.int64), 4)
    turns = corners[directions != np.roll(directions, 1)]
    turns = np.append(turns, turns[0])
    return np.stack([turns % width, turns // width], axis=1)


def _beside(edge: int, width: int) -> tuple[int, int]:
    """Return x, y of the pixel on the right of an edge."""
    corner, direction = divmod(edge, 4)
    y, x = divmod(corner, width)
    return x - (direction in (1, 2)), y - (direction in (2, 3))


def _doubled_area(ring: Points) -> int:
    """Return twice the signed area of a ring: positive if it runs clockwise in a picture."""
    (x, y), (x1, y1) = ring[:-1].T, ring[1:].T
    return int((x * y1 - x1 * y).sum())
