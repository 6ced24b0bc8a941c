"""QuPath GeoJSON: a FeatureCollection, a bare array of features, or a single feature."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tiler.annotations.shapes import AnnotationError, Shape, Shapes, class_name, polygon, ring

_OTHER_KINDS = {"tile", "detection", "cell", "tma_core", "root"}
_OTHER_IDS = {
    "PathTileObject",
    "PathDetectionObject",
    "PathCellObject",
    "TMACoreObject",
    "PathRootObject",
}
"""QuPath's objects that are not drawn by hand: by type, or by id in files before version 0.3."""

_AREAS = ("Polygon", "MultiPolygon", "GeometryCollection")

_MOST_VALUES = 20_000_000
"""Values and containers of a file, which need up to 2 GB of memory."""

_DEEPEST = 8
"""Levels of nested GeometryCollections."""


def geojson_shapes(text: str) -> Shapes:
    """Return the annotations of a GeoJSON document.

    Raises
    ------
    AnnotationError
        If the document is not GeoJSON as QuPath writes it, or is too large or too deep.
    """
    areas: list[Shape] = []
    without_area = others = 0
    for feature in _features(_parsed(text)):
        properties = feature.get("properties") or {}
        if not isinstance(properties, Mapping):
            raise AnnotationError("has a feature whose properties are not an object")
        if _is_other(feature, properties):
            others += 1
            continue
        geometry = feature.get("geometry")
        found = list(_areas(_class_of(properties), geometry)) if geometry else []
        without_area += not found
        areas += found
    return Shapes(tuple(areas), without_area, others)


def _parsed(text: str) -> object:
    values = text.count(",") + text.count("[") + text.count("{")
    if values > _MOST_VALUES:
        raise AnnotationError(
            f"has about {values:,} values, more than {_MOST_VALUES:,}", "export annotations alone"
        )
    try:
        # QuPath writes NaN for measurements; as a coordinate it is refused later.
        return json.loads(text, parse_constant=lambda _: None)
    except RecursionError:
        raise AnnotationError("is nested too deeply") from None
    except ValueError as error:
        raise AnnotationError(f"is invalid JSON: {error}") from None


def _is_other(feature: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    kind = properties.get("objectType") or properties.get("object_type")
    known = isinstance(kind, str) and (kind in _OTHER_IDS or kind.lower() in _OTHER_KINDS)
    number = feature.get("id")
    return known or (kind is None and isinstance(number, str) and number in _OTHER_IDS)


def _features(content: object) -> Iterator[Mapping[str, Any]]:
    listed: object = [content]
    if isinstance(content, list):
        listed = content
    elif isinstance(content, Mapping) and content.get("type") == "FeatureCollection":
        listed = content.get("features")
    if not isinstance(listed, list):
        raise AnnotationError("is a FeatureCollection without a list of features")
    for one in listed:
        if isinstance(one, Mapping) and one.get("type") in _AREAS:
            one = {"type": "Feature", "geometry": one}
        if not isinstance(one, Mapping) or one.get("type") != "Feature":
            raise AnnotationError("is not GeoJSON: expected features")
        yield one


def _class_of(properties: Mapping[str, Any]) -> str:
    """Return a feature's class as QuPath shows it: derived classes as ``Tumor: Positive``."""
    found = properties.get("classification")
    if not isinstance(found, Mapping):
        return class_name(found)
    names = found.get("names")
    if isinstance(names, list):
        return class_name(": ".join(str(name) for name in names))
    return class_name(found.get("name"))


def _areas(name: str, geometry: object, depth: int = 0) -> Iterator[Shape]:
    if not isinstance(geometry, Mapping):
        raise AnnotationError("has a feature whose geometry is not an object")
    if depth > _DEEPEST:
        raise AnnotationError("is nested too deeply")
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "GeometryCollection":
        for part in _listed(geometry.get("geometries"), "GeometryCollection without geometries"):
            yield from _areas(name, part, depth + 1)
    elif kind == "Polygon":
        yield _polygon(name, coordinates)
    elif kind == "MultiPolygon":
        for part in _listed(coordinates, "MultiPolygon without coordinates"):
            yield _polygon(name, part)


def _polygon(name: str, coordinates: object) -> Shape:
    listed = _listed(coordinates, "polygon without rings")
    # QuPath writes an empty polygon as one without rings.
    rings = (ring(_listed(one, "ring that is not a list of points")) for one in listed or [[]])
    exterior, *holes = rings
    return polygon(name, exterior, holes)


def _listed(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise AnnotationError(f"has a {what}")
    return value
