"""Covers: exact coverage of rasters, polygons and their combinations, against shapely and numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiler import MPP, Level, TileExtractor, TileSpec
from tiler.cover.polygon_areas import edges_of, polygon_areas
from tiler.cover.slide_mask import SlideMask
from tiler.cover.terms import Cover, everything, nothing, of_mask, of_polygons, united
from tiler.errors import MaskError
from tiler.geometry import Extent, Size

shapely = pytest.importorskip("shapely")

EXTENT = Extent(613.0, 377.0)


@st.composite
def polygons(draw):
    """Valid polygons with holes and several parts, some beyond the slide's edge."""
    numbers = st.floats(-150, 750, allow_nan=False, width=32)
    found = shapely.Polygon()
    for _ in range(draw(st.integers(1, 3))):
        points = draw(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=9))
        drawn = shapely.make_valid(shapely.Polygon(points))
        kept = [p for p in shapely.get_parts(shapely.get_parts(drawn)) if p.geom_type == "Polygon"]
        one = shapely.union_all(kept)
        found = found.difference(one) if draw(st.booleans()) else found.union(one)
    kept = [p for p in shapely.get_parts(shapely.get_parts(found)) if p.geom_type == "Polygon"]
    return shapely.union_all(kept)


@st.composite
def masks(draw):
    """Bool rasters of any small size."""
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 13)))
    bits = draw(st.integers(0, 2 ** (shape[0] * shape[1]) - 1))
    flat = [(bits >> i) & 1 for i in range(shape[0] * shape[1])]
    return np.array(flat, bool).reshape(shape)


@st.composite
def grids(draw):
    """Begin and end of columns and rows of cells: gaps, overlaps, and cells beyond the edge."""
    axes = []
    for length in EXTENT:
        size = draw(st.floats(5, 300))
        stride = draw(st.floats(3, 250))
        start = draw(st.floats(-40, 40))
        begin = start + np.arange(0, max(1, int(length / stride))) * stride
        axes.append(np.stack([begin, begin + size], axis=1))
    return axes


def shape_of(mask: np.ndarray):
    """A mask as polygons: the oracle of rasters."""
    height, width = mask.shape
    w, h = EXTENT.width / width, EXTENT.height / height
    boxes = [
        shapely.box(x * w, y * h, (x + 1) * w, (y + 1) * h) for y, x in np.argwhere(mask).tolist()
    ]
    return shapely.union_all(boxes) if boxes else shapely.Polygon()


def expected(geometry, columns, rows):
    """Shapely's own areas of intersection, over the cells' areas."""
    inside = geometry.intersection(shapely.box(0, 0, *EXTENT))
    return np.array(
        [
            [
                inside.intersection(shapely.box(left, top, right, bottom)).area
                / ((right - left) * (bottom - top))
                for left, right in columns.tolist()
            ]
            for top, bottom in rows.tolist()
        ]
    ).reshape(len(rows), len(columns))


@settings(max_examples=3 * settings().max_examples // 8)
@given(polygons(), st.lists(st.floats(-50, 700), min_size=2, max_size=9, unique=True))
def test_areas_of_polygons_equal_shapelys(drawn, lines):
    x = np.sort(np.array(lines))
    y = np.array([-20.0, 0.0, 33.3, 200.0, 380.0])
    if (np.diff(x) < 1e-3).any():
        x = np.array([-50.0, 1.0, 300.5, 700.0])
    found = polygon_areas(edges_of(drawn), x, y)
    for j, i in np.ndindex(*found.shape):
        cell = shapely.box(x[i], y[j], x[i + 1], y[j + 1])
        assert found[j, i] == pytest.approx(drawn.intersection(cell).area, abs=1e-9 * cell.area)


@settings(max_examples=settings().max_examples // 4)
@given(polygons(), grids())
def test_the_coverage_of_polygons_equals_shapelys(drawn, grid):
    columns, rows = grid
    found = of_polygons(drawn, EXTENT).ratios(columns, rows)
    np.testing.assert_allclose(found, expected(drawn, columns, rows), atol=1e-9)


def test_on_a_large_slide_coverage_is_shapelys_and_cells_beside_polygons_have_none():
    random = np.random.default_rng(3)
    extent = Extent(100_001.0, 80_003.0)
    drawn = shapely.Polygon()
    for _ in range(20):
        turn = np.sort(random.uniform(0, 2 * np.pi, 900))
        radius = 3000 + np.cumsum(random.normal(0, 9, len(turn)))
        points = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)
        blob = shapely.make_valid(shapely.Polygon(points + random.uniform(0, 80_000, 2)))
        drawn = shapely.union_all([drawn, *shapely.get_parts(blob)])
    begin = np.arange(120) * 650.3
    axis = np.stack([begin, begin + 448.7], axis=1)
    found = of_polygons(drawn, extent).ratios(axis, axis)
    boxes = shapely.box(*np.meshgrid(begin, begin), *np.meshgrid(axis[:, 1], axis[:, 1]))
    shapely.prepare(drawn)
    touched = shapely.intersects(drawn, boxes)
    assert 0.05 < touched.mean() < 0.95
    assert not found[~touched].any(), "exactly 0, not nearly"
    some = np.argwhere(touched)[::17]
    for row, column in some.tolist():
        cell = boxes[row, column]
        share = cell.intersection(drawn).area / cell.area
        assert found[row, column] == pytest.approx(share, abs=1e-9)


@settings(max_examples=settings().max_examples // 4)
@given(masks(), masks(), polygons(), polygons(), grids(), st.integers(0, 5))
def test_combinations_are_exact(mask, other, one, two, grid, which):
    columns, rows = grid
    whole = shapely.box(0, 0, *EXTENT)
    a, b, p, q = of_mask(mask, EXTENT), of_mask(other, EXTENT), *(
        of_polygons(shape, EXTENT) for shape in (one, two)
    )  # fmt: skip
    ga, gb = shape_of(mask), shape_of(other)
    cover, geometry = [
        (a & p, ga.intersection(one)),
        (a | p, ga.union(one)),
        (a & ~p, ga.difference(one)),
        ((a | p) & ~(b & q), ga.union(one).difference(gb.intersection(two))),
        (a & b, ga.intersection(gb)),
        (~a | (p & q), whole.difference(ga).union(one.intersection(two))),
    ][which]
    found = cover.ratios(columns, rows)
    np.testing.assert_allclose(found, expected(geometry, columns, rows), atol=1e-9)


@settings(max_examples=settings().max_examples // 4)
@given(masks(), polygons())
def test_terms_never_overlap_and_a_cover_and_its_complement_fill_the_slide(mask, drawn):
    both = of_mask(mask, EXTENT) | of_polygons(drawn, EXTENT)
    assert both.fraction + (~both).fraction == pytest.approx(1)
    assert (both & ~both).fraction == pytest.approx(0, abs=1e-12)


@settings(max_examples=settings().max_examples // 4)
@given(st.lists(polygons(), max_size=4))
def test_the_union_of_polygons_equals_shapelys(drawn):
    found, expected = united(drawn), shapely.union_all(drawn)
    assert found.is_valid
    assert found.symmetric_difference(expected).area == pytest.approx(0, abs=1e-6)


def test_the_whole_area_covers_cells_inside_it_and_no_area_covers_none():
    cells = np.array([[-10.0, 30.0], [5.0, 45.0]])
    assert everything(EXTENT).ratios(cells, cells).tolist() == [[0.5625, 0.75], [0.75, 1.0]]
    assert not nothing(EXTENT).ratios(cells, cells).any()
    assert (~nothing(EXTENT)).fraction == 1
    assert not (~everything(EXTENT)).terms


def test_a_rendered_cover_is_its_raster_or_the_larger_share_of_each_pixel():
    mask = np.array([[1, 0, 1], [0, 1, 1]], bool)
    cover = of_mask(mask, EXTENT)
    assert cover.raster is mask
    assert cover.rendered(Size(3, 2)) is mask
    half = of_polygons(shapely.box(0, 0, EXTENT.width / 2, EXTENT.height), EXTENT)
    assert half.raster is None
    assert half.rendered(Size(4, 1)).tolist() == [[True, True, False, False]]
    assert isinstance(half & cover, Cover)


class Drawn:
    """A mask with an exact area."""

    def __init__(self, cover):
        self.made = cover

    def cover(self, source):
        return self.made

    def generate(self, source):
        raise AssertionError("a cover is enough")


@pytest.mark.parametrize("edge", ["drop", "pad", "shift"])
@pytest.mark.parametrize("bounds", [None, (30, 20, 290, 210)])
def test_the_class_takes_coverage_from_a_cover(fake_reader, edge, bounds):
    slide = fake_reader(np.zeros((250, 400, 3), np.uint8), bounds=bounds, mpp=0.25)
    x, y, width, height = slide.bounds
    extent = Extent(float(width), float(height))
    triangle = shapely.Polygon([(20.5, 15), (270.25, 33), (120, 195.75)])
    hole = shapely.box(100, 60, 130, 100)
    drawn = triangle.difference(hole)
    cover = of_polygons(drawn, extent).noted(["drawn by hand"])
    extractor = TileExtractor(
        TileSpec(33, 29, resolution=MPP(0.6), edge=edge),
        mask_provider=Drawn(cover),
        mask_threshold=0,
    )
    regions = extractor.extract(slide)
    assert len({region.ratio for region in regions}) > 5
    for region in regions:
        at = np.array(region.location) * 2.4
        left, top, right, bottom = *at, *(at + 33 * 2.4)
        cell = shapely.box(left - x, top - y, right - x, bottom - y)
        share = cell.intersection(drawn).area / cell.area
        assert region.ratio == pytest.approx(share, abs=1e-9)
    mask = extractor.make_mask(slide)
    assert mask.fraction == pytest.approx(drawn.area / (width * height), abs=1e-9)
    assert extractor.mask_.mean() == pytest.approx(mask.fraction, abs=0.01)


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        (np.ones((2, 2)), r"Drawn\.cover returned .* return a tiler\.cover\.Cover"),
        (everything(Extent(400.0, 9.0)), r"a cover of 400x9 pixels; return .* 400x250"),
    ],
)
def test_a_cover_of_something_else_is_refused(fake_reader, returned, problem):
    slide = fake_reader(np.zeros((250, 400, 3), np.uint8))
    with pytest.raises(MaskError, match=problem):
        TileExtractor(TileSpec(33, resolution=Level(0)), mask_provider=Drawn(returned)).fit(slide)


@settings(max_examples=settings().max_examples // 4)
@given(masks(), polygons(), grids())
def test_a_mask_is_the_same_from_the_cache(mask, drawn, grid):
    covers = of_mask(mask, EXTENT), of_polygons(drawn, EXTENT)
    for cover in (*covers, covers[0] | covers[1], covers[0] & ~covers[1], ~covers[1]):
        before = SlideMask.of(cover.noted(["a: 1", "b"]))
        arrays = before.arrays()
        after = SlideMask.from_arrays(arrays)
        assert (after.picture == before.picture).all()
        assert (after.notes, after.fraction) == (("a: 1", "b"), before.fraction)
        assert after.is_empty is before.is_empty is (not cover.terms)
        height, width = before.picture.shape
        columns, rows = (edges / length * count for edges, length, count in
                         zip(grid, EXTENT, (width, height), strict=True))  # fmt: skip
        assert (after.ratios(columns, rows) == before.ratios(columns, rows)).all()
        np.testing.assert_allclose(after.ratios(columns, rows), cover.ratios(*grid), atol=1e-9)


def test_a_damaged_cover_in_the_cache_is_refused():
    arrays = SlideMask.of(of_polygons(shapely.box(1, 2, 3, 4), EXTENT)).arrays()
    names = {"mask", "cover.extent", "cover.terms", "cover.0.wkb"}
    assert names | {"cover.fraction"} == set(arrays)
    for name in names:
        damaged = {**arrays, name: np.concatenate([arrays[name].ravel()[:1]] * 3)}
        with pytest.raises(ValueError, match="contains"):
            SlideMask.from_arrays(damaged)


def test_a_plain_mask_is_kept_as_its_pixels_alone():
    assert list(SlideMask.plain(np.ones((2, 3), bool)).arrays()) == ["mask"]
    assert list(SlideMask.of(everything(EXTENT)).arrays()) == ["mask"]
