"""Covers as plain arrays, for the cache, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.cover.rasters import Raster
from tiler.cover.terms import Cover, Geometry, Term
from tiler.geometry import Extent

Arrays = Mapping[str, npt.NDArray[Any]]

_EXTENT = "cover.extent"
_COUNT = "cover.terms"


def cover_to(cover: Cover) -> dict[str, npt.NDArray[Any]]:
    """Return a cover as arrays of booleans, bytes and 64-bit numbers."""
    found: dict[str, npt.NDArray[Any]] = {
        _EXTENT: np.array(cover.extent, np.float64),
        _COUNT: np.array([len(cover.terms)], np.int64),
    }
    for number, term in enumerate(cover.terms):
        if term.raster is not None:
            found[f"cover.{number}.values"] = np.array(term.raster.values)
            found[f"cover.{number}.x"] = np.array(term.raster.x_lines)
            found[f"cover.{number}.y"] = np.array(term.raster.y_lines)
        if term.polygons is not None:
            import shapely

            text = shapely.to_wkb(term.polygons, byte_order=1)
            found[f"cover.{number}.wkb"] = np.frombuffer(text, np.uint8).copy()
    return found


def cover_from(arrays: Arrays) -> Cover | None:
    """Return the cover that ``cover_to`` made; None if the arrays contain none.

    Raises
    ------
    ValueError
        If the arrays contain an invalid cover.
    """
    if _COUNT not in arrays:
        return None
    extent, count = arrays.get(_EXTENT), arrays[_COUNT]
    if extent is None or extent.shape != (2,) or not (extent > 0).all() or count.shape != (1,):
        raise ValueError("contains an invalid cover")
    terms = tuple(_term(arrays, number) for number in range(int(count[0])))
    return Cover(Extent(*extent.tolist()), terms)


def _term(arrays: Arrays, number: int) -> Term:
    names = "values", "x", "y", "wkb"
    values, x, y, text = (arrays.get(f"cover.{number}.{name}") for name in names)
    raster = None
    if values is not None and x is not None and y is not None:
        raster = Raster(values, x, y)
        if values.dtype != bool or values.shape != (len(y) - 1, len(x) - 1):
            raise ValueError("contains an invalid raster")
    return Term(raster, None if text is None else _polygons(text.tobytes()))


def _polygons(text: bytes) -> Geometry:
    import shapely

    try:
        return shapely.from_wkb(text)
    except shapely.errors.ShapelyError as error:
        raise ValueError(f"contains invalid polygons ({error})") from None
