"""Polygons of annotations: built from coordinates, repaired where they cross themselves."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiler.cover.terms import Geometry, polygons_in, united
from tiler.errors import ConfigError
from tiler.grid import Floats
from tiler.storage.safe_text import visible

UNCLASSIFIED = "unclassified"
"""The class of annotations without a class."""

_FARTHEST = 1e9
"""Maximum absolute coordinate in pixels; no slide is larger."""

_LEAST_RING = 4
"""Minimum number of points of a closed ring with an area."""

_LONGEST_NAME = 200
"""Maximum number of characters of a class's name, which becomes the name of a column."""


class AnnotationError(ValueError):
    """An annotation file cannot be used; the text states the reason and a fix, without the path."""

    def __init__(self, what: str, fix: str = "export the annotations again") -> None:
        super().__init__(f"{what}; {fix}")


@dataclass(frozen=True)
class Shape:
    """The area of one annotation.

    Attributes
    ----------
    name
        Its class.
    geometry
        A valid shapely Polygon or MultiPolygon in the file's pixels; it may be empty.
    repaired
        Whether it was invalid in the file: crossed itself, for example.
    """

    name: str
    geometry: Geometry
    repaired: bool = False


@dataclass(frozen=True)
class Shapes:
    """The annotations of a file.

    Attributes
    ----------
    areas
        Annotations with an area.
    without_area
        The number of points and lines.
    others
        The number of objects that are not annotations, such as QuPath's detections and tiles.
    """

    areas: tuple[Shape, ...]
    without_area: int = 0
    others: int = 0


def shapely() -> Any:
    """Import shapely.

    Raises
    ------
    ConfigError
        If the extra is not installed.
    """
    try:
        import shapely as module
    except ImportError as error:
        raise ConfigError(
            "annotations need shapely; run: pip install 'tiler[annotations]'"
        ) from error
    return module


def class_name(text: object) -> str:
    """Return the name of a class on one line; ``UNCLASSIFIED`` for an empty name.

    Raises
    ------
    AnnotationError
        If the name is too long for a column's name.
    """
    if not isinstance(text, str):
        return UNCLASSIFIED
    line = " ".join(text.split())
    if len(line) > _LONGEST_NAME:
        what = f"has a class name of {len(line):,} characters, more than {_LONGEST_NAME}"
        raise AnnotationError(what, "shorten it")
    return visible(line.encode(errors="replace").decode()) or UNCLASSIFIED


def ring(points: Sequence[Sequence[Any]]) -> Floats:
    """Return the points of a ring, float64 (n, 2), closed.

    Raises
    ------
    AnnotationError
        If a point is not a pair of finite numbers.
    """
    try:
        array = _pairs(points)
    except (TypeError, ValueError, LookupError, OverflowError):
        bad = next((point for point in points if not _is_pair(point)), points)
        what = f"has a point that is not a pair of numbers: {reprlib.repr(bad)}"
        raise AnnotationError(what) from None
    near = (np.abs(array) <= _FARTHEST).all(axis=1)  # False for NaN
    if not near.all():
        bad = reprlib.repr(points[int(np.argmin(near))])
        raise AnnotationError(f"has a coordinate that is not a number up to {_FARTHEST:g}: {bad}")
    closed = not len(array) or (array[0] == array[-1]).all()
    return array if closed else np.vstack([array, array[:1]])


def _pairs(points: Sequence[Sequence[Any]]) -> Floats:
    if all(len(point) == 2 for point in points):  # the usual case, three times faster
        array = np.array(points, np.float64)
        if array.ndim == 2:
            return array
    return np.array([_pair(point) for point in points], np.float64).reshape(-1, 2)


def _pair(point: Sequence[Any]) -> tuple[float, float]:
    if isinstance(point, str):
        raise TypeError("a text is not a point")
    return float(point[0]), float(point[1])


def _is_pair(point: Sequence[Any]) -> bool:
    try:
        return bool(_pair(point))
    except (TypeError, ValueError, LookupError, OverflowError):
        return False


def polygon(name: str, exterior: Floats, holes: Sequence[Floats] = ()) -> Shape:
    """Return a polygon with holes as a valid shape of a class.

    A ring that crosses itself covers all that its loops enclose. A hole never adds area. A ring of
    fewer than three points has no area.
    """
    lib = shapely()
    if len(exterior) < _LEAST_RING:
        return Shape(name, lib.MultiPolygon(), repaired=True)
    holes = [hole for hole in holes if len(hole) >= _LEAST_RING]
    drawn = lib.Polygon(exterior, holes)
    if lib.is_valid(drawn):
        return Shape(name, drawn)
    # Each ring on its own: of a whole polygon, GEOS turns holes outside of it into area.
    rings = [lib.Polygon(one) for one in (exterior, *holes)]
    mended = lib.make_valid(rings, method="structure", keep_collapsed=False)
    shell, *cut = (polygons_in(one) for one in mended)
    return Shape(name, polygons_in(shell.difference(united(cut))), repaired=True)


def rectangle(points: Floats) -> Floats:
    """Return the box around some points as a ring."""
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])


def ellipse(points: Floats) -> Floats:
    """Return the ellipse in the box around some points, as a ring of 360 points.

    Its area is 0.005 % too small.
    """
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    turn = np.linspace(0.0, 2 * math.pi, 361)
    x = (x0 + x1) / 2 + (x1 - x0) / 2 * np.cos(turn)
    y = (y0 + y1) / 2 + (y1 - y0) / 2 * np.sin(turn)
    points = np.stack([x, y], axis=1)
    points[-1] = points[0]
    return points
