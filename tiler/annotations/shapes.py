"""Polygons of annotations: built from coordinates, repaired where they cross themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiler.cover.terms import Geometry, polygons_in
from tiler.errors import ConfigError
from tiler.grid import Floats
from tiler.storage.safe_text import visible

UNCLASSIFIED = "unclassified"
"""The class of annotations without a class."""

_FARTHEST = 1e9
"""Maximum absolute coordinate in pixels; no slide is larger."""


class AnnotationError(ValueError):
    """An annotation file cannot be used; the text states the reason, without the path."""


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
        Whether it crossed itself in the file.
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
        The number of objects that are no annotations, such as QuPath's detections and tiles.
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
    """Return the name of a class on one line; ``UNCLASSIFIED`` for an empty name."""
    if not isinstance(text, str):
        return UNCLASSIFIED
    line = " ".join(text.split())
    return visible(line.encode(errors="replace").decode()) or UNCLASSIFIED


def ring(points: Sequence[Sequence[Any]]) -> Floats:
    """Return the points of a ring, float64 (n, 2), closed.

    Raises
    ------
    AnnotationError
        If a point is not a pair of finite numbers, or there are fewer than three points.
    """
    try:
        array = _pairs(points)
    except (TypeError, ValueError, LookupError, OverflowError):
        raise AnnotationError("has a point that is not a pair of numbers") from None
    if len(array) < 3:
        raise AnnotationError(f"has a ring of {len(array)} points; a polygon needs three")
    if not (np.abs(array) <= _FARTHEST).all():  # NaN fails, too
        raise AnnotationError(f"has a coordinate that is not a number up to {_FARTHEST:g}")
    return array if (array[0] == array[-1]).all() else np.vstack([array, array[:1]])


def _pairs(points: Sequence[Sequence[Any]]) -> Floats:
    if all(len(point) == 2 for point in points):  # the usual case, three times faster
        array = np.array(points, np.float64)
        if array.ndim == 2:
            return array
    return np.array([(float(point[0]), float(point[1])) for point in points], np.float64)


def polygon(name: str, exterior: Floats, holes: Sequence[Floats] = ()) -> Shape:
    """Return a polygon with holes as a valid shape of a class.

    A ring that crosses itself covers all that its loops enclose. A hole never adds area.
    """
    lib = shapely()
    drawn = lib.Polygon(exterior, holes)
    if lib.is_valid(drawn):
        return Shape(name, drawn)
    mended = lib.make_valid(drawn, method="structure", keep_collapsed=False)
    return Shape(name, polygons_in(mended), repaired=True)


def ellipse(corner: Sequence[float], opposite: Sequence[float]) -> Floats:
    """Return an ellipse in a box as a ring of 360 points; its area is 0.005 % too small."""
    (x0, y0), (x1, y1) = corner, opposite
    turn = np.linspace(0.0, 2 * math.pi, 361)
    x = (x0 + x1) / 2 + (x1 - x0) / 2 * np.cos(turn)
    y = (y0 + y1) / 2 + (y1 - y0) / 2 * np.sin(turn)
    points = np.stack([x, y], axis=1)
    points[-1] = points[0]
    return points
