"""Covers: which part of a slide's bounded area counts, as rasters, polygons, or both.

A cover is a sum of disjoint *terms*. A term is a raster, a set of polygons, or the intersection of
both. Covers are closed under intersection, union and complement. So any combination of masks stays
exact: polygons never become pixels, and no raster is resampled.

The frame is level-0 pixels, counted from the corner of the slide's bounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tiler.cover.rasters import Bools, Raster, even_lines, even_raster
from tiler.geometry import Extent, Size
from tiler.grid import Floats, rounded_ratios

if TYPE_CHECKING:
    from tiler.cover.polygon_areas import Edges

Geometry = Any
"""A valid shapely Polygon or MultiPolygon, which may be empty."""

PICTURE_SIDE = 2048
"""Maximum side in pixels of a cover's picture."""


@dataclass(frozen=True, eq=False)
class Term:
    """The intersection of a raster and of polygons; None in place of either is the whole area."""

    raster: Raster | None = None
    polygons: Geometry | None = None

    @cached_property
    def edges(self) -> Edges | None:
        """The edges of the polygons."""
        if self.polygons is None:
            return None
        from tiler.cover.polygon_areas import edges_of

        return edges_of(self.polygons)

    @property
    def is_empty(self) -> bool:
        """True if the term covers nothing."""
        no_pixel = self.raster is not None and not self.raster.values.any()
        return no_pixel or (self.polygons is not None and bool(self.polygons.is_empty))

    def __and__(self, other: Term) -> Term:
        """Return the intersection."""
        rasters = [one for one in (self.raster, other.raster) if one is not None]
        drawn = [one for one in (self.polygons, other.polygons) if one is not None]
        return Term(
            rasters[0] & rasters[1] if len(rasters) == 2 else next(iter(rasters), None),
            polygons_in(drawn[0].intersection(drawn[1]))
            if len(drawn) == 2
            else next(iter(drawn), None),
        )


@dataclass(frozen=True, eq=False)
class Cover:
    """A part of a slide's bounded area.

    Attributes
    ----------
    extent
        Size of the bounded area in level-0 pixels.
    terms
        Disjoint terms, whose union is the cover.
    notes
        Remarks for the slide's row, such as on a polygon that was repaired.
    """

    extent: Extent
    terms: tuple[Term, ...]
    notes: tuple[str, ...] = ()

    def __and__(self, other: Cover) -> Cover:
        """Return the intersection."""
        if self.extent != other.extent:
            raise ValueError(f"covers of {self.extent} and of {other.extent} cannot be combined")
        both = (one & two for one in self.terms for two in other.terms)
        notes = tuple(dict.fromkeys((*self.notes, *other.notes)))
        return Cover(self.extent, tuple(term for term in both if not term.is_empty), notes)

    def __or__(self, other: Cover) -> Cover:
        """Return the union."""
        return ~(~self & ~other)

    def __invert__(self) -> Cover:
        """Return the rest of the bounded area."""
        rest = replace(everything(self.extent), notes=self.notes)
        for term in self.terms:
            rest = rest & self._without(term)
        return rest

    def _without(self, term: Term) -> Cover:
        """Return the complement of a term: outside its raster, or inside it outside polygons."""
        parts = []
        if term.raster is not None:
            parts.append(Term(~term.raster))
        if term.polygons is not None:
            undrawn = polygons_in(_whole(self.extent).difference(term.polygons))
            parts.append(Term(term.raster, undrawn))
        return Cover(self.extent, tuple(part for part in parts if not part.is_empty))

    def noted(self, notes: Iterable[str]) -> Cover:
        """Return this cover with further notes."""
        return replace(self, notes=tuple(dict.fromkeys((*self.notes, *notes))))

    @property
    def raster(self) -> Bools | None:
        """The even raster that equals the cover, bool (h, w); None if there is none."""
        if not self.terms:
            return np.zeros((1, 1), bool)
        term = self.terms[0]
        if len(self.terms) > 1 or term.polygons is not None:
            return None
        if term.raster is None:
            return np.ones((1, 1), bool)
        values = term.raster.values
        even = even_lines(self.extent, values.shape[1], values.shape[0])
        same = map(np.array_equal, even, (term.raster.x_lines, term.raster.y_lines))
        return values if all(same) else None

    def ratios(self, columns: Floats, rows: Floats) -> Floats:
        """Return the exact share of every grid cell that is covered.

        Parameters
        ----------
        columns, rows
            float64 (nx, 2) and (ny, 2): begin and end of columns and rows of cells, in level-0
            pixels from the corner of the bounds. Area outside the bounds is not covered.

        Returns
        -------
        numpy.ndarray
            float64 (ny, nx), each between 0 and 1.
        """
        from tiler.cover.areas import common_areas

        area = np.zeros((len(rows), len(columns)))
        for term in self.terms:
            area += common_areas(term.raster, term.edges, self.extent, columns, rows)
        cells = np.outer(np.diff(rows)[:, 0], np.diff(columns)[:, 0])
        return rounded_ratios(np.clip(area / cells, 0.0, 1.0))

    def rendered(self, size: Size | None = None) -> Bools:
        """Return a picture of the cover, bool (h, w): True where half of a pixel is covered.

        Coverage is never computed from it.

        Parameters
        ----------
        size
            The size of the picture; by default that of level 0, but at most ``PICTURE_SIDE``.
        """
        even = self.raster
        width, height = size or _picture_size(self.extent)
        if even is not None and (size is None or even.shape == (height, width)):
            return even
        columns, rows = (
            np.stack([lines[:-1], lines[1:]], axis=1)
            for lines in even_lines(self.extent, width, height)
        )
        return self.ratios(columns, rows) >= 0.5

    @cached_property
    def fraction(self) -> float:
        """The share of the bounded area that is covered."""
        width, height = self.extent
        return float(self.ratios(np.array([[0.0, width]]), np.array([[0.0, height]]))[0, 0])


def everything(extent: Extent) -> Cover:
    """Return the whole bounded area."""
    return Cover(extent, (Term(),))


def nothing(extent: Extent) -> Cover:
    """Return no part of the bounded area."""
    return Cover(extent, ())


def of_mask(mask: Bools, extent: Extent) -> Cover:
    """Return the cover of a mask that is stretched over the bounded area."""
    return Cover(extent, (Term(even_raster(mask, extent)),) if mask.any() else ())


def of_polygons(polygons: Geometry, extent: Extent) -> Cover:
    """Return the cover of valid polygons, which are cut at the edge of the bounded area."""
    inside = polygons_in(_whole(extent).intersection(polygons))
    return Cover(extent, () if inside.is_empty else (Term(None, inside),))


def polygons_in(geometry: Geometry) -> Geometry:
    """Return only the polygons of a geometry: an operation may leave lines and points as well."""
    if geometry.geom_type in ("Polygon", "MultiPolygon"):
        return geometry
    import shapely

    parts = shapely.get_parts(shapely.get_parts(geometry))
    return united([part for part in parts if part.geom_type == "Polygon"])


def united(polygons: Sequence[Geometry]) -> Geometry:
    """Return the union of valid polygons.

    Polygons that touch no others are not overlaid: 100,000 of them take 0.5 s instead of 30 s.
    """
    import shapely

    return polygons_in(
        shapely.disjoint_subset_union_all(polygons) if len(polygons) else shapely.MultiPolygon()
    )


def _whole(extent: Extent) -> Geometry:
    import shapely

    return shapely.box(0.0, 0.0, *extent)


def _picture_size(extent: Extent) -> Size:
    scale = min(1.0, PICTURE_SIDE / max(*extent, 1.0))
    return Size(max(1, round(extent.width * scale)), max(1, round(extent.height * scale)))
