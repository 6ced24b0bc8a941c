"""Outlines of rasters: valid polygons that cover exactly the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiler.cover.outlines import outlines

shapely = pytest.importorskip("shapely")

RASTERS = st.tuples(
    st.integers(0, 2**32), st.integers(1, 14), st.integers(1, 19), st.floats(0.05, 0.95)
).map(lambda d: np.random.default_rng(d[0]).random(d[1:3]) < d[3])


def polygons(raster: np.ndarray) -> list:
    return [shapely.Polygon(found.exterior, found.holes) for found in outlines(raster)]


@given(RASTERS)
@settings(max_examples=2 * settings().max_examples)
def test_the_polygons_cover_the_pixels_and_nothing_else(raster):
    found = polygons(raster)
    assert all(shapely.is_valid(polygon) for polygon in found)
    assert sum(polygon.area for polygon in found) == raster.sum()
    for (y, x), inside in np.ndenumerate(raster):
        centre = shapely.Point(x + 0.5, y + 0.5)
        assert sum(polygon.contains(centre) for polygon in found) == inside


@given(RASTERS)
def test_outlines_transpose(raster):
    one = shapely.union_all(polygons(raster))
    other = shapely.union_all(polygons(np.ascontiguousarray(raster.T)))
    turned = shapely.transform(other, lambda points: points[:, ::-1])
    assert one.symmetric_difference(turned).area == 0


def test_straight_edges_have_two_points():
    (only,) = outlines(np.ones((3, 5), bool))
    assert only.exterior.tolist() == [[0, 0], [5, 0], [5, 3], [0, 3], [0, 0]]
    assert only.holes == ()


def test_a_hole_that_touches_a_corner_is_a_hole():
    raster = np.ones((4, 4), bool)
    raster[1, 1] = raster[2, 2] = raster[0, 0] = False
    (only,) = outlines(raster)
    assert len(only.holes) == 2
    assert outlines(np.zeros((2, 3), bool)) == []
