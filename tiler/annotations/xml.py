"""Annotations in XML: ASAP, and Aperio (ImageScope).

Documents with a document type are refused, so no entity is ever expanded or fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from tiler.annotations.shapes import (
    AnnotationError,
    Shape,
    Shapes,
    class_name,
    ellipse,
    polygon,
    rectangle,
    ring,
)
from tiler.cover.terms import polygons_in, united
from tiler.grid import Floats

_ASAP_AREAS = {"Polygon", "Spline", "Rectangle"}
_APERIO_AREAS = {"0", "1", "2"}
"""Types of an Aperio region that have an area: freehand, rectangle, ellipse."""

_MOST_TAGS = 10_000_000
"""Tags of a file, which need up to 2 GB of memory."""


def xml_shapes(text: str) -> Shapes:
    """Return the annotations of a document.

    Raises
    ------
    AnnotationError
        If the document is invalid, too large, or neither ASAP's nor Aperio's.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise AnnotationError("has a document type, which could expand entities", "remove it")
    tags = text.count("<")
    if tags > _MOST_TAGS:
        raise AnnotationError(f"has {tags:,} tags, more than {_MOST_TAGS:,}")
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError) as error:
        raise AnnotationError(f"is invalid XML: {error}") from None
    if root.tag == "ASAP_Annotations":
        found = list(_asap(root))
    elif root.tag == "Annotations":
        found = list(_aperio(root))
    else:
        raise AnnotationError("is neither ASAP's XML nor Aperio's")
    areas = tuple(shape for shape in found if shape is not None)
    return Shapes(areas, found.count(None))


def _asap(root: ET.Element) -> Iterator[Shape | None]:
    """Yield the area of each annotation; None if it has none."""
    for one in root.iter("Annotation"):
        group = (one.get("PartOfGroup") or "").strip()
        if one.get("Type", "Polygon") not in _ASAP_AREAS:
            yield None
            continue
        try:
            ordered = sorted(one.iter("Coordinate"), key=lambda at: float(at.get("Order") or 0))
        except ValueError:
            raise AnnotationError("has a point whose Order is not a number") from None
        points = ring([(at.get("X"), at.get("Y")) for at in ordered])
        if one.get("Type") == "Rectangle" and len(ordered) == 2:
            points = rectangle(points)
        yield polygon(class_name("" if group == "None" else group), points)


def _aperio(root: ET.Element) -> Iterator[Shape | None]:
    """Yield the areas of each layer without its negative regions; None if a region has no area."""
    for layer in root.iter("Annotation"):
        name = class_name(layer.get("Name"))
        drawn: list[Shape] = []
        cut: list[Shape] = []
        for region in layer.iter("Region"):
            if region.get("Type", "0") not in _APERIO_AREAS:
                yield None
                continue
            shape = polygon(name, _aperio_ring(region))
            (cut if region.get("NegativeROA") == "1" else drawn).append(shape)
        yield from _without(drawn, cut) if cut else drawn


def _aperio_ring(region: ET.Element) -> Floats:
    """Return the ring of a region; rectangles and ellipses may be given by corners of their box."""
    corners = [(vertex.get("X"), vertex.get("Y")) for vertex in region.iter("Vertex")]
    points = ring(corners)
    if region.get("Type") == "1" and len(corners) == 2:
        return rectangle(points)
    return ellipse(points) if region.get("Type") == "2" and len(corners) in (2, 4) else points


def _without(drawn: list[Shape], cut: list[Shape]) -> Iterator[Shape]:
    holes = united([shape.geometry for shape in cut])
    repaired = any(shape.repaired for shape in cut)
    for shape in drawn:
        rest = polygons_in(shape.geometry.difference(holes))
        yield Shape(shape.name, rest, shape.repaired or repaired)
