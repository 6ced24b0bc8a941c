"""Areas of boxes and masks, and lists of tiles, compared with brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tiler.compare import areas
from tiler.compare.areas import boxes_overlap, covered, masks_overlap
from tiler.compare.changes import tile_change
from tiler.compare.masks import mask_overlap
from tiler.compare.overlay import GAINED, KEPT, draw
from tiler.compare.rows import Precision, Tile
from tiler.compare.tiles import Tiles
from tiler.geometry import Box
from tiler.runner.store.record import MaskFacts

SIDE = 24
BOX = st.tuples(*[st.integers(0, SIDE)] * 2, *[st.integers(0, 9)] * 2)
BOXES = st.lists(BOX, max_size=8).map(lambda boxes: np.array(boxes, np.int64).reshape(-1, 4))
MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7))
TILES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from([0.25, 0.5, 0.75])),
    unique_by=lambda t: t[:2],
)


def raster(boxes: np.ndarray) -> np.ndarray:
    """Return the pixels that boxes cover, painted one by one."""
    painted = np.zeros((SIDE + 10, SIDE + 10), bool)
    for x, y, width, height in boxes:
        painted[y : y + height, x : x + width] = True
    return painted


def share(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum() if (a | b).any() else 1.0


@pytest.fixture(params=[1, 40, 1 << 22])
def band_cells(request, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the size of the bands in which areas are summed: thin, medium, whole."""
    monkeypatch.setattr(areas, "_BAND_CELLS", request.param)


@pytest.mark.usefixtures("band_cells")
def test_the_overlap_of_boxes_is_that_of_their_pixels() -> None:
    @given(BOXES, BOXES)
    def law(a, b) -> None:
        assert boxes_overlap(a, b) == share(raster(a), raster(b)) == boxes_overlap(b, a)

    law()


def test_areas_of_the_largest_slides_are_exact() -> None:
    whole = np.array([[0, 0, 400_000, 400_000]])
    but_one = np.array([[0, 0, 400_000, 399_999], [0, 399_999, 399_999, 1]])
    assert boxes_overlap(whole, but_one) == (16 * 10**10 - 1) / (16 * 10**10)


@given(BOXES, st.integers(1, SIDE), st.integers(1, SIDE))
def test_covered_cells_are_cut_off_at_the_edges(boxes, height, width) -> None:
    moved = boxes - [5, 3, 0, 0]
    corners = np.concatenate([moved[:, :2], moved[:, :2] + moved[:, 2:]], axis=1)
    np.testing.assert_array_equal(
        covered(corners, (height, width)), raster(boxes)[3 : 3 + height, 5 : 5 + width]
    )


@pytest.mark.usefixtures("band_cells")
def test_the_overlap_of_masks_is_that_of_both_enlarged_to_one_size() -> None:
    @given(MASKS, MASKS)
    def law(a, b) -> None:
        large_a = a.repeat(b.shape[0], 0).repeat(b.shape[1], 1)
        large_b = b.repeat(a.shape[0], 0).repeat(a.shape[1], 1)
        assert masks_overlap(a, b) == share(large_a, large_b)

    law()


@pytest.mark.parametrize("second", [("x", 4, 2), ("x", 2, 4), ("y", 4, 2)])
def test_masks_are_equal_by_their_digest_and_size(second) -> None:
    first = MaskFacts("ka", "x", 4, 2, "ga")
    other = MaskFacts("kb", *second, "gb")
    asked = []

    def load(folder: Path, key: str) -> np.ndarray:
        asked.append((folder, key))
        return np.array([[True, key == "ka"]])

    found = mask_overlap(first, other, (Path("a"), Path("b")), load)
    if second == ("x", 4, 2):
        assert (found, asked) == ((1.0, ""), [])
    else:
        assert (found, asked) == ((0.5, ""), [(Path("a"), "ka"), (Path("b"), "kb")])
        unknown = (None, "the cache contains no such mask")
        assert mask_overlap(first, other, (None, Path("b")), load) == unknown


def tiles(cells, precision: Precision = Precision.EXACT) -> Tiles:
    ratios = {Tile("l_0", x * 5, y * 3, 5, 3): ratio for x, y, ratio in cells}
    boxes = np.array([tile[1:] for tile in ratios], np.int64).reshape(-1, 4)
    return Tiles(ratios, boxes, precision)


@given(TILES, TILES)
def test_kept_gained_and_lost_equal_set_operations(a, b) -> None:
    change, back = tile_change(tiles(a), tiles(b)), tile_change(tiles(b), tiles(a))
    in_a, in_b = set(tiles(a).ratios), set(tiles(b).ratios)
    assert set(change.kept) == in_a & in_b
    assert set(change.gained) == in_b - in_a == set(back.lost)
    assert set(change.lost) == in_a - in_b == set(back.gained)
    assert change.equal == (sorted(a) == sorted(b)) == back.equal
    assert (change.overlap == 1) == (in_a == in_b)


def test_the_same_box_at_another_resolution_is_another_tile_on_the_same_area() -> None:
    a = tiles([(0, 0, 0.5)])
    b = Tiles({Tile("mpp_0.5", 0, 0, 5, 3): 0.5}, a.boxes0)
    change = tile_change(a, b)
    assert (len(change.kept), len(change.gained), len(change.lost)) == (0, 1, 1)
    assert change.overlap == 1
    assert not change.equal


@pytest.mark.parametrize(("ratio", "change"), [(0.3301, 0.0), (0.336, 0.01)])
def test_names_of_images_contain_two_decimals_of_a_ratio(ratio: float, change: float) -> None:
    named, exact = tiles([(0, 0, 0.33)], Precision.TWO_DECIMALS), tiles([(0, 0, ratio)])
    assert tile_change(named, exact).ratio_change == pytest.approx(change)
    assert tile_change(tiles([(0, 0, 0.33)]), exact).ratio_change == pytest.approx(ratio - 0.33)


def test_an_overlay_shades_what_tiles_cover_and_nothing_else() -> None:
    picture = np.full((40, 60, 3), 200, np.uint8)
    left, right = np.array([[100, 50, 100, 100]]), np.array([[300, 150, 100, 100]])
    drawn = draw(picture, Box(100, 50, 600, 400), [(KEPT, left), (GAINED, right)])
    shaded = (drawn != 200).any(axis=2)
    ys, xs = np.nonzero(shaded)
    assert set(zip(xs.tolist(), ys.tolist(), strict=True)) == {
        *((x, y) for x in range(9) for y in range(9)),
        *((x, y) for x in range(20, 29) for y in range(10, 19)),
    }
    assert drawn[5, 5].tolist() == [round(200 * 0.55 + c * 0.45) for c in KEPT]
    assert drawn[15, 25].tolist() == [round(200 * 0.55 + c * 0.45) for c in GAINED]
