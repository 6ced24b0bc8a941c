"""Laws of the grid: the places of tiles, and their coverage."""

from __future__ import annotations

import math
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracle import axis_twin, exact_coverage

from tiler.grid import axis_origins, coverage
from tiler.spec import Edge

EXTENTS = st.integers(0, 700)
SIZES = st.integers(1, 90)
WHOLE = st.integers(1, 120)
STRIDES = st.one_of(
    WHOLE.map(float),
    st.floats(1, 120),
    st.tuples(st.integers(1, 60000), st.sampled_from([0.499, 0.2281750559028887, 0.7])).map(
        lambda um: max(1.0, um[0] / 1000 / um[1])
    ),
)
MASKS = arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 11)))


def drop(extent, size, stride):
    return axis_origins(extent, size, stride, Edge.DROP).tolist()


def pad(extent, size, stride):
    return axis_origins(extent, size, stride, Edge.PAD).tolist()


def shift(extent, size, stride):
    return axis_origins(extent, size, stride, Edge.SHIFT).tolist()


@given(extent=EXTENTS, size=SIZES, stride=STRIDES, edge=st.sampled_from(Edge))
def test_origins_are_whole_unique_and_sorted(extent, size, stride, edge):
    origins = axis_origins(extent, size, stride, edge)
    assert origins.dtype == np.int64
    assert (np.diff(origins) > 0).all()
    assert (origins >= 0).all()


@given(extent=EXTENTS, size=SIZES, stride=STRIDES)
def test_drop_and_shift_stay_inside(extent, size, stride):
    assert all(origin + size <= extent for origin in drop(extent, size, stride))
    assert all(origin + size <= extent for origin in shift(extent, size, stride))


@given(extent=EXTENTS, size=SIZES, stride=STRIDES)
def test_drop_leaves_out_only_what_does_not_fit(extent, size, stride):
    following = np.rint(len(drop(extent, size, stride)) * stride)
    assert following + size > extent


@given(extent=EXTENTS.filter(bool), size=SIZES, share=st.floats(0.01, 1))
def test_pad_and_shift_cover_every_pixel(extent, size, share):
    stride = max(1.0, size * share)
    for edge, origins in (
        ("pad", pad(extent, size, stride)),
        ("shift", shift(extent, size, stride)),
    ):
        if edge == "shift" and size > extent:
            assert origins == []
            continue
        covered = np.zeros(extent, bool)
        for origin in origins:
            covered[origin : origin + size] = True
        assert covered.all()
        assert all(origin < extent for origin in origins)


@given(extent=EXTENTS, size=SIZES, stride=STRIDES)
def test_the_policies_differ_only_in_the_last_tile(extent, size, stride):
    inside = drop(extent, size, stride)
    for origins in (pad(extent, size, stride), shift(extent, size, stride)):
        assert origins[: len(inside)] == inside
        assert len(origins) <= len(inside) + 1


@given(extent=EXTENTS, size=SIZES, stride=WHOLE)
def test_counts_have_a_closed_form(extent, size, stride):
    fitting = (extent - size) // stride + 1 if size <= extent else 0
    assert len(drop(extent, size, stride)) == fitting
    # Enough tiles to reach the end, but none that begins beyond it.
    needed = 1 + min(-(-max(extent - size, 0) // stride), (extent - 1) // stride) if extent else 0
    assert len(pad(extent, size, stride)) == needed
    assert len(shift(extent, size, stride)) == (needed if size <= extent else 0)


@given(extent=EXTENTS, size=SIZES, stride=STRIDES, edge=st.sampled_from(Edge))
def test_origins_are_those_of_a_tile_by_tile_walk(extent, size, stride, edge):
    exact = Fraction(stride)
    steps = [i * exact % 1 for i in range(extent + 2)]
    assume(all(abs(step - Fraction(1, 2)) > 1e-9 for step in steps))
    twin = axis_twin(Fraction(0), Fraction(extent), size, exact, edge.value)
    assert axis_origins(extent, size, stride, edge).tolist() == twin


def test_a_fractional_stride_does_not_drift():
    stride = 256 / 0.499
    origins = axis_origins(10_000_000, 512, stride, Edge.DROP)
    assert len(origins) > 19_000
    exact = Fraction(stride)
    assert max(abs(o - i * exact) for i, o in enumerate(origins.tolist())) <= Fraction(1, 2)
    assert origins[-1] != (len(origins) - 1) * round(stride), "the test must be able to fail"


def test_origins_round_half_to_even_like_rint():
    assert drop(12, 2, 2.5) == [0, 2, 5, 8, 10]


@pytest.mark.parametrize(
    ("extent", "size", "stride", "dropped", "padded", "shifted"),
    [
        (10, 4, 3, [0, 3, 6], [0, 3, 6], [0, 3, 6]),
        (11, 4, 3, [0, 3, 6], [0, 3, 6, 9], [0, 3, 6, 7]),
        (3, 4, 4, [], [0], []),
        (4, 4, 9, [0], [0], [0]),
        (10, 4, 8, [0], [0, 8], [0, 6]),
        (10, 4, 12, [0], [0], [0]),  # the next cell lies beyond the end: none to pad or shift
        (0, 4, 4, [], [], []),
    ],
)
def test_edges_by_example(extent, size, stride, dropped, padded, shifted):
    assert drop(extent, size, stride) == dropped
    assert pad(extent, size, stride) == padded
    assert shift(extent, size, stride) == shifted


@st.composite
def cells(draw, count=4):
    """Starts and ends of cells along an axis, as fractions: inside, across and outside a mask."""
    denominator = draw(st.sampled_from([1, 2, 3, 7, 499, 1000]))
    numbers = st.integers(-2 * denominator, 13 * denominator)
    lengths = st.integers(max(1, denominator // 50), 9 * denominator)
    pairs = draw(st.lists(st.tuples(numbers, lengths), min_size=1, max_size=count))
    return [(Fraction(a, denominator), Fraction(a + n, denominator)) for a, n in pairs]


def floats(edges):
    return np.array([[float(a), float(b)] for a, b in edges])


@given(mask=MASKS, x=cells(), y=cells(3))
def test_coverage_is_the_exact_area_mean(mask, x, y):
    got = coverage(mask, floats(x), floats(y))
    assert got.shape == (len(y), len(x))
    for j, (top, bottom) in enumerate(y):
        for i, (left, right) in enumerate(x):
            exact = exact_coverage(mask, left, top, right, bottom)
            assert abs(got[j, i] - float(exact)) < 2e-11
            if exact in (0, 1):
                assert got[j, i] == exact


@given(mask=arrays(bool, (12, 20)), x=st.lists(st.integers(0, 16), max_size=5))
def test_aligned_coverage_is_pixel_counting_to_the_bit(mask, x):
    edges = np.array([[a, a + 3] for a in x], float).reshape(-1, 2)
    rows = np.array([[a, a + 7] for a in (0, 1, 5)], float)
    got = coverage(mask, edges, rows)
    for j, (top, bottom) in enumerate(rows.astype(int)):
        for i, (left, right) in enumerate(edges.astype(int)):
            assert got[j, i] == np.count_nonzero(mask[top:bottom, left:right]) / 21


@pytest.mark.parametrize("dust", [4e-16, -4e-16, 3e-13, -3e-13])
def test_float_dust_on_an_edge_changes_no_bit(dust):
    mask = np.random.default_rng(5).random((40, 60)) < 0.37
    x, y = lattice(20, 3, 3), lattice(5, 7, 7)
    assert np.array_equal(coverage(mask, x * (1 + dust), y * (1 - dust)), coverage(mask, x, y))


@given(mask=MASKS, x=cells(), y=cells(3))
def test_coverage_obeys_its_laws(mask, x, y):
    width = mask.shape[1]
    columns, rows = floats(x), floats(y)
    got = coverage(mask, columns, rows)
    everything = coverage(np.ones_like(mask), columns, rows)
    assert ((got >= 0) & (got <= everything + 5e-11)).all()
    assert np.allclose(got + coverage(~mask, columns, rows), everything, atol=5e-11)
    assert np.allclose(coverage(mask.T, rows, columns), got.T, atol=5e-11)
    mirrored = coverage(mask[:, ::-1], width - columns[:, ::-1], rows)
    assert np.allclose(mirrored, got, atol=5e-11)
    finer = coverage(np.kron(mask, np.ones((2, 3), bool)), columns * 3, rows * 2)
    assert np.allclose(finer, got, atol=5e-11)


@given(
    count=st.integers(1, 400),
    size=st.sampled_from([200, 224, 256, 500, 1000]),
    tenths=st.integers(1, 9),
    width=st.sampled_from([1, 2, 33, 400, 873]),
)
def test_a_decimal_threshold_is_compared_exactly(count, size, tenths, width):
    # A decimal share of the last tile of a padded slide is inside.
    assume(size * tenths % 10 == 0)
    extent = count * size + size * tenths // 10
    origins = axis_origins(extent, size, size, Edge.PAD)
    edges = np.stack([origins, origins + size], axis=1) * (width / extent)
    got = coverage(np.ones((1, width), bool), edges, np.array([[0.0, 1.0]]))
    assert (got[0, :-1] == 1.0).all()
    assert got[0, -1] == tenths / 10


def lattice(count: int, pitch: float, size: float) -> np.ndarray:
    start = np.arange(count) * pitch
    return np.stack([start, start + size], axis=1)


@pytest.mark.slow
def test_a_hundred_thousand_cells_on_a_large_mask():
    mask = np.random.default_rng(7).random((4000, 4000)) < 0.3
    x, y = lattice(400, 9.75, 12.5), lattice(250, 15.5, 17.25)
    got = coverage(mask, x, y)
    assert got.size == 100_000
    for j, i in np.random.default_rng(8).integers((0, 0), got.shape, (200, 2)).tolist():
        (left, right), (top, bottom) = x[i], y[j]
        box = mask[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)]
        exact = exact_coverage(
            box,
            Fraction(left) - math.floor(left),
            Fraction(top) - math.floor(top),
            Fraction(right) - math.floor(left),
            Fraction(bottom) - math.floor(top),
        )
        assert got[j, i] == pytest.approx(float(exact), abs=2e-11)


def calls_of(work) -> int:
    """Count the calls of Python and C functions in ``work``."""
    count = 0

    def tell(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(tell)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_no_function_is_called_per_cell():
    mask = np.ones((300, 500), bool)

    def work(nx: int, ny: int):
        def grid():
            x = axis_origins(nx * 10, 10, 10, Edge.PAD)
            y = axis_origins(ny * 10, 10, 10, Edge.PAD)
            assert (len(x), len(y)) == (nx, ny)
            coverage(mask, lattice(nx, 0.9, 1.1), lattice(ny, 0.8, 1.2))

        return grid

    work(3, 2)()  # calls of the first time only
    few, many = calls_of(work(3, 2)), calls_of(work(400, 250))
    assert few > 10
    assert many == few
