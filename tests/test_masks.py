"""Tissue masks: laws of cleaning, Otsu and HSV on synthetic and real pictures, mask files."""

from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from command import read_csv, tiler
from conftest import ArrayReader as Picture
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from tracked import COMMON, picture

from tiler import Level, TileExtractor, TileSpec, open_slide
from tiler.errors import ConfigError, LimitError, MaskError
from tiler.geometry import Box, Size
from tiler.masks import AllTissue, FileMask, HsvMask, OtsuMask
from tiler.masks.cleaning import clean, close, dilate, fill_holes, remove_specks
from tiler.masks.file import same_shape
from tiler.masks.glass import glass_colour, without_tint
from tiler.masks.pen import pen_marks
from tiler.pixels.area import area_mean
from tiler.readers import ImageReader, OpenSlideReader

GLASS, EOSIN, HAEMATOXYLIN = (241, 240, 242), (215, 130, 175), (110, 80, 150)
ROOT = Path(__file__).parent.parent
SMALL = arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 9)))


@dataclass
class Nowhere:
    """A slide of any size whose pixels must not be read."""

    bounds: Box
    mpp: float | None = None
    name: str = "a slide"


def glass(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-3, 4, (height, width, 3))
    return np.clip(np.array(GLASS) + noise, 0, 255).astype(np.uint8)


def paint(pixels: np.ndarray, x: int, y: int, w: int, h: int, colour: tuple) -> np.ndarray:
    pixels[y : y + h, x : x + w] = colour
    return pixels


def on_neutral_glass(pixels: np.ndarray) -> np.ndarray:
    return without_tint(pixels, glass_colour(pixels))


def share(mask: np.ndarray, x: int, y: int, w: int, h: int) -> float:
    """Return the tissue within a box of a mask."""
    return float(mask[y : y + h, x : x + w].mean())


def pieces(mask: np.ndarray, corners: bool) -> list[set[tuple[int, int]]]:
    """Return connected pieces of True, found one pixel at a time."""
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    steps += [(1, 1), (1, -1), (-1, 1), (-1, -1)] if corners else []
    left, found = set(map(tuple, np.argwhere(mask).tolist())), []
    while left:
        edge = [left.pop()]
        piece = set(edge)
        while edge:
            y, x = edge.pop()
            new = {(y + dy, x + dx) for dy, dx in steps} & left
            left -= new
            piece |= new
            edge += new
        found.append(piece)
    return found


class TestCleaning:
    @given(SMALL, st.integers(0, 12))
    def test_specks_are_the_pieces_below_the_area(self, mask: np.ndarray, area: int) -> None:
        expected = np.zeros_like(mask)
        for piece in pieces(mask, corners=True):
            for y, x in piece:
                expected[y, x] = len(piece) >= area
        assert np.array_equal(remove_specks(mask, area), expected)

    @given(SMALL, st.integers(0, 12))
    def test_holes_are_the_enclosed_background_below_the_area(
        self, mask: np.ndarray, area: int
    ) -> None:
        height, width = mask.shape
        expected = mask.copy()
        for piece in pieces(~mask, corners=False):
            enclosed = all(0 < y < height - 1 and 0 < x < width - 1 for y, x in piece)
            for y, x in piece:
                expected[y, x] = enclosed and len(piece) < area
        assert np.array_equal(fill_holes(mask, area), expected)

    @given(SMALL, st.floats(0, 12), st.floats(0, 12))
    def test_cleaning_twice_changes_nothing_more(
        self, mask: np.ndarray, tissue: float, hole: float
    ) -> None:
        once = clean(mask, tissue, hole)
        assert np.array_equal(clean(once, tissue, hole), once)

    @given(SMALL, st.floats(0, 12), st.floats(0, 12), st.sampled_from([1, 3, 5, 7, 9]))
    def test_cleaning_closing_and_dilating_transpose(
        self, mask: np.ndarray, tissue: float, hole: float, diameter: int
    ) -> None:
        turned = np.ascontiguousarray(mask.T)
        assert np.array_equal(clean(turned, tissue, hole), clean(mask, tissue, hole).T)
        assert np.array_equal(close(turned, diameter), close(mask, diameter).T)
        assert np.array_equal(dilate(turned, diameter), dilate(mask, diameter).T)

    @given(SMALL, st.floats(0, 12), st.floats(0, 12))
    def test_the_given_mask_stays_unchanged(
        self, mask: np.ndarray, tissue: float, hole: float
    ) -> None:
        before = mask.copy()
        result = clean(mask, tissue, hole)
        result[:] = ~result
        assert np.array_equal(mask, before)

    def test_specks_go_before_holes_are_filled(self) -> None:
        ring = np.zeros((6, 8), bool)
        ring[1:4, 2:5] = True
        ring[2, 3] = False
        assert not clean(ring, 9, 2).any()
        assert clean(ring, 8, 2).sum() == 9

    def test_a_tiny_slide_without_tissue_is_no_hole(self) -> None:
        assert not clean(np.zeros((3, 5), bool), 0, 1000).any()


def test_all_tissue_is_one_pixel_of_tissue() -> None:
    mask = AllTissue().generate(Nowhere(Box(7, 9, 300, 200)))
    assert mask.shape == (1, 1)
    assert mask.dtype == bool
    assert mask.all()


class TestThumbnailSize:
    def test_about_mpp_microns_per_pixel(self) -> None:
        source = Nowhere(Box(10, 20, 40_000, 24_000), mpp=0.25)
        assert OtsuMask(mpp=8).thumbnail_size(source) == Size(1250, 750)

    def test_never_finer_than_level_0(self) -> None:
        source = Nowhere(Box(0, 0, 300, 200), mpp=16.0)
        assert OtsuMask(mpp=8).thumbnail_size(source) == Size(300, 200)

    @given(st.integers(1, 90_000), st.integers(1, 90_000))
    def test_max_side_applies_if_the_mpp_is_unknown(self, width: int, height: int) -> None:
        size = HsvMask(max_side=2048).thumbnail_size(Nowhere(Box(0, 0, width, height)))
        assert max(size) == min(2048, max(width, height))
        assert abs(size.width / width - size.height / height) * min(width, height) < 0.5 + 1e-9 or (
            min(size) == 1
        )

    def test_a_thumbnail_too_large_is_refused_before_it_is_computed(self) -> None:
        source = Nowhere(Box(0, 0, 1_048_576, 1_048_576), mpp=0.25)
        with pytest.raises(LimitError, match=r"slide=a slide.*mask\.mpp=8.*32768x32768"):
            OtsuMask().generate(source)

    def test_a_slide_without_area_has_no_tissue(self) -> None:
        source = Picture(glass(20, 30), mpp=0.5, bounds=(5, 5, 0, 0))
        assert not OtsuMask().generate(source).any()


class TestOtsu:
    @pytest.mark.parametrize("remove_pen", [False, True])
    @pytest.mark.parametrize("mpp", [None, 8.0])
    def test_glass_is_empty(self, mpp: float | None, remove_pen: bool) -> None:
        source = Picture(glass(140, 230), mpp=mpp)
        assert not OtsuMask(remove_pen=remove_pen).generate(source).any()

    def test_black_with_noise_is_empty(self) -> None:
        noise = np.random.default_rng(3).integers(0, 25, (90, 120, 3)).astype(np.uint8)
        assert not OtsuMask(median=1).generate(Picture(noise)).any()

    def test_tissue_of_two_stains_stays_whole(self) -> None:
        pixels = glass(100, 160)
        pixels[:] = EOSIN
        paint(pixels, 40, 20, 50, 60, HAEMATOXYLIN)
        assert OtsuMask().generate(Picture(pixels)).all()

    def test_pale_tissue_beside_vivid_tissue_stays(self) -> None:
        pixels = paint(glass(100, 160), 20, 10, 40, 50, (225, 185, 210))
        paint(pixels, 90, 10, 40, 50, (150, 10, 90))
        mask = OtsuMask().generate(Picture(pixels))
        assert share(mask, 22, 12, 36, 46) == 1
        assert share(mask, 92, 12, 36, 46) == 1
        assert share(mask, 64, 0, 22, 100) == 0

    @pytest.mark.parametrize("pen", [False, True])
    def test_pale_tissue_is_found_with_and_without_pen(self, pen: bool) -> None:
        pixels = paint(glass(100, 160), 20, 10, 40, 50, (238, 212, 228))  # saturation 28
        if pen:
            paint(pixels, 80, 10, 60, 80, (20, 130, 110))
        mask = OtsuMask(remove_pen=pen).generate(Picture(pixels))
        assert share(mask, 22, 12, 36, 46) == 1
        assert share(mask, 65, 0, 95, 100) == 0

    def test_a_speck_that_only_pen_makes_large_is_removed(self) -> None:
        pixels = paint(glass(150, 260), 100, 60, 120, 16, (20, 130, 110))
        paint(pixels, 140, 77, 7, 7, EOSIN)
        provider = OtsuMask(remove_pen=True, min_tissue_fraction=1e-3)
        assert not provider.generate(Picture(pixels)).any()

    def test_a_mask_is_bool_and_as_large_as_the_thumbnail(self) -> None:
        mask = OtsuMask(max_side=80).generate(Picture(glass(100, 160)))
        assert mask.dtype == bool
        assert mask.shape == (50, 80)

    def test_specks_below_the_area_vanish_and_others_stay(self) -> None:
        pixels = paint(glass(120, 200), 20, 20, 10, 10, EOSIN)
        paint(pixels, 100, 50, 20, 20, EOSIN)
        source = Picture(pixels, mpp=8.0)  # 100 px are 0.0064 mm², 400 px 0.0256 mm²
        for least, kept in ((0.001, 2), (0.01, 1), (0.1, 0), (None, 2)):
            mask = OtsuMask(median=1, close=1, min_tissue_mm2=least).generate(source)
            assert len(pieces(mask, corners=True)) == kept, least
        source = Picture(pixels)  # the pieces are 1/240 and 1/60 of it
        for fraction, kept in ((1 / 300, 2), (1 / 100, 1), (1 / 50, 0), (None, 2)):
            mask = OtsuMask(median=1, close=1, min_tissue_fraction=fraction).generate(source)
            assert len(pieces(mask, corners=True)) == kept, fraction

    def test_holes_below_the_area_are_filled_and_others_stay(self) -> None:
        pixels = paint(glass(120, 200), 10, 10, 180, 100, EOSIN)
        paint(pixels, 30, 30, 10, 10, GLASS)
        paint(pixels, 100, 50, 20, 20, GLASS)
        source = Picture(pixels, mpp=8.0)
        for least, holes in ((0.001, 2), (0.01, 1), (0.1, 0), (None, 2)):
            mask = OtsuMask(median=1, close=1, min_hole_mm2=least).generate(source)
            assert len(pieces(~mask, corners=False)) == 1 + holes, least
        source = Picture(pixels)
        for fraction, holes in ((1 / 300, 2), (1 / 100, 1), (1 / 50, 0), (None, 2)):
            mask = OtsuMask(median=1, close=1, min_hole_fraction=fraction).generate(source)
            assert len(pieces(~mask, corners=False)) == 1 + holes, fraction

    def test_an_area_in_mm2_is_the_same_tissue_at_any_mpp(self) -> None:
        pixels = paint(glass(120, 200), 100, 50, 20, 20, EOSIN)
        provider = OtsuMask(median=1, close=1, min_tissue_mm2=0.05)
        # 400 px are 0.0256 mm² at 8 µm and 0.1024 mm² at 16 µm.
        assert not provider.generate(Picture(pixels, mpp=8.0)).any()
        assert provider.generate(Picture(pixels, mpp=16.0)).sum() == 400
        # The same tissue scanned twice as finely gives the same thumbnail.
        finer = pixels.repeat(2, axis=0).repeat(2, axis=1)
        assert OtsuMask(min_tissue_mm2=0.02).generate(Picture(finer, mpp=4.0)).sum() > 350
        assert not provider.generate(Picture(finer, mpp=4.0)).any()

    @given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([None, 8.0]))
    def test_the_transposed_picture_has_the_transposed_mask(
        self, seed: int, remove_pen: bool, mpp: float | None
    ) -> None:
        rng = np.random.default_rng(seed)
        pixels = glass(60, 90, seed)
        inks = (EOSIN, HAEMATOXYLIN, (20, 130, 110), (215, 20, 30), (30, 25, 30), (60, 110, 200))
        for colour in (*inks, EOSIN):
            x, y = rng.integers(0, 80), rng.integers(0, 50)
            paint(pixels, x, y, *rng.integers(1, 40, 2), colour)
        turned = np.ascontiguousarray(pixels.transpose(1, 0, 2))
        provider = OtsuMask(remove_pen=remove_pen)
        mask = provider.generate(Picture(pixels, mpp=mpp))
        assert np.array_equal(provider.generate(Picture(turned, mpp=mpp)), mask.T)

    @pytest.mark.parametrize(
        "ink", [(20, 130, 110), (60, 110, 200), (215, 20, 30), (25, 22, 26)], ids=str
    )
    def test_pen_is_left_out_on_glass_and_on_tissue(self, ink: tuple[int, int, int]) -> None:
        pixels = paint(glass(150, 260), 20, 30, 130, 90, EOSIN)
        paint(pixels, 100, 60, 120, 16, ink)
        mask = OtsuMask(remove_pen=True).generate(Picture(pixels))
        assert share(mask, 100, 60, 120, 16) == 0
        assert share(mask, 22, 32, 70, 86) == 1
        assert share(mask, 222, 0, 38, 150) == 0

    def test_pen_inside_tissue_is_not_filled_as_a_hole(self) -> None:
        pixels = paint(glass(150, 260), 20, 30, 130, 90, EOSIN)
        paint(pixels, 60, 60, 20, 20, (20, 130, 110))
        provider = OtsuMask(remove_pen=True, min_hole_fraction=0.5, min_tissue_fraction=1e-3)
        assert share(provider.generate(Picture(pixels)), 60, 60, 20, 20) == 0

    def test_marks_smaller_than_a_speck_are_ignored(self) -> None:
        pixels = paint(glass(150, 260), 20, 30, 130, 90, EOSIN)
        paint(pixels, 60, 60, 8, 8, (25, 22, 26))
        assert pen_marks(pixels, min_area=55).any()
        assert not pen_marks(pixels, min_area=70).any()


TINTS = {
    "cream": (245, 235, 215), "yellow": (240, 226, 196), "amber": (230, 200, 140),
    "brown": (200, 170, 130), "pink": (240, 205, 215), "blue": (200, 215, 240),
    "green": (205, 235, 205), "lavender": (220, 200, 240), "grey": (205, 205, 207),
    "white": (244, 243, 245),
}  # fmt: skip


def tinted(height: int, width: int, tint: tuple, noise: int, seed: int = 0) -> np.ndarray:
    """Return empty glass of a given colour."""
    shake = np.random.default_rng(seed).integers(-noise, noise + 1, (height, width, 3))
    return np.clip(np.array(tint) + shake, 0, 255).astype(np.uint8)


class TestTintedGlass:
    @pytest.mark.parametrize("tint", TINTS.values(), ids=TINTS)
    @pytest.mark.parametrize("remove_pen", [False, True])
    @pytest.mark.parametrize("noise", [0, 3])
    def test_blank_glass_is_empty(self, tint: tuple, remove_pen: bool, noise: int) -> None:
        source = Picture(tinted(140, 230, tint, noise), mpp=8.0)
        assert not OtsuMask(remove_pen=remove_pen).generate(source).any()

    @pytest.mark.parametrize("tint", TINTS.values(), ids=TINTS)
    @given(
        st.integers(0, 2**32 - 1),
        st.floats(0.03, 0.85),
        st.sampled_from([(190, 90, 150), EOSIN, HAEMATOXYLIN]),
        st.integers(0, 3),
    )
    @settings(max_examples=15)
    def test_tissue_is_kept_and_glass_is_not(
        self, tint: tuple, seed: int, part: float, stain: tuple, noise: int
    ) -> None:
        light = np.array(tint) / 255
        pixels = tinted(90, 130, tint, noise, seed)
        height, width = round(90 * part**0.5), round(130 * part**0.5)
        x, y = np.random.default_rng(seed).integers(0, (131 - width, 91 - height))
        paint(pixels, x, y, width, height, tuple(np.rint(np.array(stain) * light).astype(int)))
        mask = OtsuMask(min_tissue_fraction=None).generate(Picture(pixels))
        assert share(mask, x + 3, y + 3, width - 6, height - 6) == 1
        mask[max(0, y - 3) : y + height + 3, max(0, x - 3) : x + width + 3] = False
        assert not mask.any()

    @pytest.mark.parametrize("stain", [EOSIN, HAEMATOXYLIN, (190, 90, 150), (201, 161, 195)])
    def test_a_slide_full_of_tissue_stays_full(self, stain: tuple) -> None:
        assert OtsuMask().generate(Picture(tinted(100, 160, stain, 4))).all()

    def test_white_padding_does_not_hide_the_tint(self) -> None:
        pixels = tinted(120, 200, TINTS["yellow"], 2)
        paint(pixels, 0, 0, 200, 50, (255, 255, 255))
        paint(pixels, 60, 60, 50, 40, EOSIN)
        mask = OtsuMask().generate(Picture(pixels))
        assert share(mask, 62, 62, 46, 36) == 1
        assert mask.sum() < 1.2 * 50 * 40

    def test_pale_tissue_beside_white_glass_is_no_glass(self) -> None:
        pixels = paint(glass(100, 160), 0, 0, 160, 60, (235, 187, 219))
        assert glass_colour(pixels) is None
        assert share(OtsuMask().generate(Picture(pixels)), 0, 0, 160, 58) == 1

    @given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 7), st.just(3))))
    def test_any_picture_has_an_answer_that_transposes(self, pixels: np.ndarray) -> None:
        turned = np.ascontiguousarray(pixels.transpose(1, 0, 2))
        assert np.array_equal(
            on_neutral_glass(turned),
            on_neutral_glass(pixels).transpose(1, 0, 2),
        )

    @pytest.mark.slow
    def test_a_large_thumbnail_is_examined_in_part_and_changed_throughout(self) -> None:
        pixels = tinted(1500, 2100, TINTS["yellow"], 1)
        neutral = on_neutral_glass(pixels)
        assert neutral.shape == pixels.shape
        assert np.ptp(neutral.astype(int), axis=2).max() <= 4


# In pixels of the pictures, (x, y, width, height), chosen by eye.
REAL = {
    "tcga-green-pen.png": {
        "tissue": [
            (90, 90, 100, 60),
            (20, 40, 200, 30),
            (90, 190, 100, 60),
            (480, 150, 250, 250),
            (420, 420, 300, 190),
        ],
        "glass": [(40, 322, 14, 14), (102, 340, 14, 12)],
        "pen": [(340, 10, 110, 50), (270, 200, 80, 60), (190, 360, 90, 60), (190, 560, 80, 60)],
    },
    "tcga-red-pen.png": {
        "tissue": [(250, 150, 210, 90), (330, 250, 130, 100), (400, 90, 60, 50)],
        "glass": [(215, 60, 30, 30), (215, 380, 15, 15), (20, 360, 20, 25)],
        "pen": [(40, 270, 80, 80), (85, 130, 60, 60), (40, 200, 70, 50), (110, 380, 30, 40)],
    },
    "wsi-blue-pen.png": {
        "tissue": [(62, 76, 18, 10), (95, 22, 18, 16), (14, 68, 20, 6), (128, 80, 10, 7)],
        "glass": [(140, 5, 15, 40), (60, 122, 80, 10), (112, 98, 30, 30)],
        "pen": [(152, 67, 22, 7), (152, 104, 8, 28)],
    },
    "diagnostic-slide-thumb-rgb.png": {
        "tissue": [
            (120, 110, 70, 45),
            (280, 222, 90, 25),
            (200, 410, 130, 25),
            (395, 250, 30, 35),
            (365, 120, 30, 20),
        ],
        "glass": [(120, 5, 80, 20), (430, 20, 35, 60), (2, 60, 12, 120), (20, 510, 430, 12)],
        "pen": [
            (115, 40, 40, 12),  # green on glass
            (250, 30, 30, 10),
            (100, 488, 55, 12),
            (452, 290, 10, 35),  # red on glass
            (412, 115, 10, 35),
            (165, 452, 20, 8),  # red on tissue
            (46, 200, 18, 14),
            (203, 316, 14, 10),  # black on tissue
            (385, 300, 7, 22),
            (108, 330, 7, 22),
        ],
    },
    "tcga-lung-rgb.png": {
        "tissue": [(10, 20, 60, 180), (10, 240, 130, 60), (305, 340, 30, 60), (40, 200, 200, 25)],
        "glass": [(60, 385, 110, 20), (150, 20, 25, 70)],
        "pen": [],
    },
}


@pytest.mark.parametrize("name", sorted(REAL))
class TestRealThumbnails:
    def test_tissue_is_found_and_glass_is_not(self, name: str, shared_slides: Path) -> None:
        with ImageReader(shared_slides / "thumbs" / name) as source:
            masks = OtsuMask().generate(source), OtsuMask(remove_pen=True).generate(source)
        for mask in masks:
            for box in REAL[name]["tissue"]:
                assert share(mask, *box) > 0.9, box
            for box in REAL[name]["glass"]:
                assert share(mask, *box) < 0.05, box

    def test_pen_counts_as_tissue_unless_removed(self, name: str, shared_slides: Path) -> None:
        with ImageReader(shared_slides / "thumbs" / name) as source:
            with_pen, without = (
                OtsuMask().generate(source),
                OtsuMask(remove_pen=True).generate(source),
            )
        for box in REAL[name]["pen"]:
            assert share(with_pen, *box) > 0.8, box
            assert share(without, *box) < 0.05, box

    def test_its_glass_has_no_tint(self, name: str, shared_slides: Path) -> None:
        with ImageReader(shared_slides / "thumbs" / name) as source:
            pixels = source.thumbnail(source.dimensions)
        assert glass_colour(pixels) is None

    @pytest.mark.parametrize("tint", ["yellow", "brown", "pink", "blue"])
    def test_a_tint_hardly_changes_the_mask(
        self, name: str, tint: str, shared_slides: Path
    ) -> None:
        with ImageReader(shared_slides / "thumbs" / name) as source:
            pixels = source.thumbnail(source.dimensions)
        if name == "tcga-green-pen.png":
            pytest.skip("a fiftieth of it is glass: too little to be found, or to matter")
        before = OtsuMask().generate(Picture(pixels))
        through = np.rint(pixels * (np.array(TINTS[tint]) / 255)).astype(np.uint8)
        after = OtsuMask().generate(Picture(through))
        assert (before & after).sum() > 0.95 * (before | after).sum()


@cache
def masks_of(slide: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a slide's masks, with pen and without, and its thumbnail of the same size."""
    with OpenSlideReader(slide) as source:
        mask, without = (OtsuMask(remove_pen=pen).generate(source) for pen in (False, True))
        return mask, without, source.thumbnail(Size(*mask.shape[::-1]))


WITHOUT_PEN = pytest.mark.parametrize(
    "name",
    [
        "CMU-1-Small-Region.svs",
        pytest.param("TCGA-CR-7395-01A-01-TS1.svs", marks=pytest.mark.slow),
    ],
)


@WITHOUT_PEN
def test_tissue_without_glass_is_not_taken_for_glass(name: str, shared_slides: Path) -> None:
    mask, _, pixels = masks_of(shared_slides / name)
    side, seen = min(mask.shape) // 6, 0
    for y in range(0, mask.shape[0] - side, side // 2):
        for x in range(0, mask.shape[1] - side, side // 2):
            if share(mask, x, y, side, side) > 0.97:
                seen += 1
                assert glass_colour(pixels[y : y + side, x : x + side]) is None
    assert seen > 20


def test_the_reason_names_pen_removal_where_it_took_all_tissue(shared_slides: Path) -> None:
    wish = TileSpec(512, resolution=Level(0))
    extractor = TileExtractor(wish, mask_provider=OtsuMask(remove_pen=True))
    with open_slide(shared_slides / "test3-DAPI-2-(387).ndpi") as slide:
        assert extractor.extract(slide) == []
        with pytest.raises(
            RuntimeError, match=r"mask\.remove_pen=true removed all tissue \(32\."
        ) as caught:
            extractor.to_csv("nowhere")
    assert "32.2% of the slide" in str(caught.value)
    assert "set mask.remove_pen=false" in str(caught.value)
    blank = Picture(glass(90, 120))
    assert OtsuMask(remove_pen=True).why_empty(blank) == OtsuMask().why_empty(blank) == ""


@pytest.mark.parametrize(
    ("words", "fraction", "doubt"),
    [
        (["mask=otsu"], 1.0, "the mask (OtsuMask) covers the whole slide, mask_fraction=1;"),
        (["mask=hsv"], 1.0, "the mask (HsvMask) covers the whole slide, mask_fraction=1;"),
        (["mask=hsv", "mask.saturation=[254,255]"], 0.0, "the mask (HsvMask) found no tissue"),
        (["mask=none"], 1.0, ""),
        (["mask=file", "mask.path=part.png"], 7 / 96, ""),
        (["mask=file", "mask.path=full.png"], 1.0, ""),
    ],
)
def test_a_threshold_that_separates_nothing_is_a_warning_and_a_fraction(
    words: list[str], fraction: float, doubt: str, tmp_path: Path
) -> None:
    Image.fromarray(tinted(64, 96, EOSIN, 9)).save(tmp_path / "pic.png")
    part = np.zeros((8, 12), np.uint8)
    part[0, :7] = 255
    Image.fromarray(part).save(tmp_path / "part.png")
    Image.fromarray(np.full_like(part, 255)).save(tmp_path / "full.png")
    done = tiler(*COMMON[:-1], *words, "threshold=0", "out=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert float(row["mask_fraction"]) == fraction
    said = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert len(said) == bool(doubt)
    assert all(f"slide=pic {doubt}" in line for line in said)


@WITHOUT_PEN
def test_pen_rules_do_not_change_slides_without_pen(name: str, shared_slides: Path) -> None:
    mask, without, _ = masks_of(shared_slides / name)
    assert 0.2 < mask.mean() < 0.8
    assert (mask & ~without).sum() < 0.001 * mask.sum()


class TestHsv:
    def test_bounds_are_inclusive_in_opencv_units(self) -> None:
        # OpenCV's HSV of this violet: hue 150 (300 degrees), saturation 204, value 200.
        pixels = paint(glass(40, 60), 20, 10, 10, 8, (200, 40, 200))
        exact = HsvMask(hue=(150, 150), saturation=(204, 204), value=(200, 200))
        assert np.array_equal(
            np.argwhere(exact.generate(Picture(pixels)))[[0, -1]], [[10, 20], [17, 29]]
        )
        for near in ({"hue": (151, 180)}, {"saturation": (205, 255)}, {"value": (0, 199)}):
            assert not HsvMask(**near).generate(Picture(pixels))[12, 25]

    def test_hues_run_over_the_end(self) -> None:
        pixels = paint(glass(40, 60), 5, 5, 10, 8, (220, 40, 60))  # hue 177
        paint(pixels, 25, 5, 10, 8, (220, 60, 40))  # hue 3
        paint(pixels, 45, 5, 10, 8, (40, 220, 60))  # hue 63
        mask = HsvMask(hue=(170, 10), saturation=(60, 255)).generate(Picture(pixels))
        assert [bool(mask[8, x]) for x in (8, 28, 48)] == [True, True, False]

    def test_glass_is_empty_and_specks_and_holes_are_cleaned(self) -> None:
        assert not HsvMask().generate(Picture(glass(90, 120))).any()
        pixels = paint(glass(90, 120), 20, 20, 60, 50, EOSIN)
        paint(pixels, 40, 40, 5, 5, GLASS)
        paint(pixels, 100, 10, 5, 5, EOSIN)
        source = Picture(pixels, mpp=8.0)  # 25 px are 0.0016 mm²
        cleaned = HsvMask().generate(source)
        assert cleaned.sum() == 60 * 50
        assert HsvMask(min_tissue_mm2=0.001, min_hole_mm2=None).generate(source).sum() == 60 * 50


LOPSIDED = np.zeros((30, 50), np.uint8)
LOPSIDED[3:9, 20:47] = 1
SLIDE = Nowhere(Box(11, 7, 500, 300), name="a_{slide}.{0}")


def saved(folder: Path, image: Image.Image, name: str = "mask.png") -> str:
    image.save(folder / name)
    return str(folder / name)


class TestFile:
    @pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
    @pytest.mark.parametrize(
        "image",
        [
            Image.fromarray(LOPSIDED),
            Image.fromarray(LOPSIDED * 255),
            Image.fromarray(LOPSIDED.astype(bool)),
            Image.fromarray(np.stack([LOPSIDED * 255] * 3, axis=2)),
            Image.fromarray(np.stack([LOPSIDED * v for v in (200, 0, 90)], axis=2)),
            Image.fromarray(LOPSIDED * 255).convert("P"),
        ],
        ids=["0-1", "0-255", "bool", "rgb", "colour", "palette"],
    )
    def test_two_values_are_a_mask(self, image: Image.Image, suffix: str, tmp_path: Path) -> None:
        mask = FileMask(saved(tmp_path, image, f"mask.{suffix}")).generate(SLIDE)
        assert mask.dtype == bool
        assert np.array_equal(mask, LOPSIDED != 0)

    @pytest.mark.parametrize("kind", [np.uint16, np.int32])
    def test_wide_greys_and_opaque_colours_are_masks(self, kind: type, tmp_path: Path) -> None:
        wide = FileMask(saved(tmp_path, Image.fromarray(LOPSIDED.astype(kind) * 300), "w.tif"))
        assert np.array_equal(wide.generate(SLIDE), LOPSIDED != 0)
        opaque = Image.fromarray(LOPSIDED * 255).convert("RGBA")
        assert np.array_equal(FileMask(saved(tmp_path, opaque)).generate(SLIDE), LOPSIDED != 0)

    def test_a_palette_counts_by_its_colours(self, tmp_path: Path) -> None:
        image = Image.fromarray(1 - LOPSIDED)
        image.putpalette([255, 255, 255, 0, 0, 0])
        assert np.array_equal(FileMask(saved(tmp_path, image)).generate(SLIDE), LOPSIDED != 0)

    @pytest.mark.parametrize("value", [0, 255])
    def test_one_value_is_a_mask(self, value: int, tmp_path: Path) -> None:
        path = saved(tmp_path, Image.fromarray(np.full_like(LOPSIDED, value)))
        assert FileMask(path).generate(SLIDE).all() == (value > 0)
        assert FileMask(path).generate(SLIDE).any() == (value > 0)

    @pytest.mark.parametrize(
        ("image", "words"),
        [
            (Image.fromarray(LOPSIDED + np.eye(30, 50, dtype=np.uint8) * 3), "values 0, 1, 3"),
            (Image.fromarray(LOPSIDED + 1), "values 1, 2, .* one of them 0"),
            (Image.fromarray(np.arange(1500).reshape(30, 50).astype(np.uint8)), r"7, … \(256 in"),
            (Image.fromarray(np.stack([LOPSIDED + 4] * 3, axis=2)), r"\(4, 4, 4\), \(5, 5, 5\)"),
            (Image.fromarray(LOPSIDED * 255).convert("LA"), None),
            (Image.fromarray(np.stack([LOPSIDED * 255] * 4, axis=2)), "transparent"),
            (Image.fromarray(LOPSIDED.astype(np.float32)), "pixels of kind F"),
            (Image.fromarray(np.stack([LOPSIDED] * 4, axis=2), "CMYK"), "pixels of kind CMYK"),
        ],
        ids=["three", "no zero", "many", "colours", "grey-alpha", "clear", "float", "cmyk"],
    )
    def test_other_images_are_refused_with_a_reason(
        self, image: Image.Image, words: str | None, tmp_path: Path
    ) -> None:
        mask = FileMask(saved(tmp_path, image, "mask.tif"))
        if words is None:
            assert np.array_equal(mask.generate(SLIDE), LOPSIDED != 0)
            return
        with pytest.raises(MaskError, match=words) as caught:
            mask.generate(SLIDE)
        assert "mask.tif" in str(caught.value)
        assert "save it as an 8-bit grey PNG" in str(caught.value)

    def test_more_colours_than_worth_counting(self, tmp_path: Path) -> None:
        colours = np.random.default_rng(1).integers(0, 256, (30, 50, 3)).astype(np.uint8)
        with pytest.raises(MaskError, match="more than 256 colours"):
            FileMask(saved(tmp_path, Image.fromarray(colours))).generate(SLIDE)

    def test_the_greys_that_jpeg_makes_are_refused(self, tmp_path: Path) -> None:
        path = saved(tmp_path, Image.fromarray(LOPSIDED * 255), "mask.jpg")
        with pytest.raises(MaskError, match=r"has the values 0, 1, .*JPEG"):
            FileMask(path).generate(SLIDE)

    def test_the_slides_name_is_put_in_as_it_is(self, tmp_path: Path) -> None:
        saved(tmp_path, Image.fromarray(LOPSIDED), "a_{slide}.{0}-mask{x}.png")
        assert FileMask(f"{tmp_path}/{{slide}}-mask{{x}}.png").generate(SLIDE).any()

    def test_a_missing_mask_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(MaskError, match=r"the mask .*/a_\{slide\}\.\{0\}\.png"):
            FileMask(f"{tmp_path}/{{slide}}.png").generate(SLIDE)

    @pytest.mark.parametrize("content", [b"", b"no image at all", None])
    def test_a_file_that_is_no_image_is_refused(
        self, content: bytes | None, tmp_path: Path
    ) -> None:
        path = tmp_path / "mask.png"
        if content is None:  # cut short
            noise = np.random.default_rng(2).integers(0, 2, (300, 500)).astype(np.uint8)
            Image.fromarray(noise * 255).save(path)
            content = path.read_bytes()[:2000]
        path.write_bytes(content)
        with pytest.raises(MaskError, match=r"mask\.png is not an image that Pillow reads"):
            FileMask(str(path)).generate(SLIDE)

    def test_a_folder_is_no_mask(self, tmp_path: Path) -> None:
        with pytest.raises(MaskError, match="Is a directory"):
            FileMask(str(tmp_path)).generate(SLIDE)

    def test_too_many_pixels_are_refused_before_decoding(self, tmp_path: Path) -> None:
        path = saved(tmp_path, Image.fromarray(LOPSIDED))
        assert FileMask(path, max_pixels=1500).generate(SLIDE).any()
        with pytest.raises(LimitError, match=r"50x30 .*mask\.max_pixels=1_499"):
            FileMask(path, max_pixels=1499).generate(SLIDE)
        # A GIF of a few bytes that claims 65535 x 65535 pixels.
        bomb = tmp_path / "bomb.gif"
        Image.fromarray(LOPSIDED).save(bomb)
        content = bytearray(bomb.read_bytes())
        content[6:10] = struct.pack("<HH", 65535, 65535)
        bomb.write_bytes(content)
        with pytest.raises(LimitError, match=r"bomb\.gif"):
            FileMask(str(bomb)).generate(Nowhere(Box(0, 0, 9, 9)))

    def test_the_shape_must_be_that_of_the_bounded_area(self, tmp_path: Path) -> None:
        path = saved(tmp_path, Image.fromarray(np.ascontiguousarray(LOPSIDED.T)))
        with pytest.raises(MaskError, match=r"is 30x50; .* 500x300 at \(11, 7\)"):
            FileMask(path).generate(SLIDE)

    def test_two_percent_or_one_mask_pixel_are_allowed(self) -> None:
        assert same_shape(Size(1000, 600), Size(50_000, 30_500))
        assert not same_shape(Size(1000, 600), Size(50_000, 30_750))
        assert same_shape(Size(5, 3), Size(4600, 3000))  # 4.6 pixels, rounded
        assert not same_shape(Size(5, 3), Size(3000, 3000))

    @given(*[st.integers(1, 5000)] * 2, st.floats(0.002, 1))
    def test_an_area_reduced_to_whole_pixels_fits(self, w: int, h: int, scale: float) -> None:
        mask = Size(max(1, round(w * scale)), max(1, round(h * scale)))
        if min(w, h) * scale >= 1:
            assert same_shape(mask, Size(w, h))
        assert same_shape(mask, Size(w, h)) == same_shape(Size(*mask[::-1]), Size(h, w))


class Returns:
    """A user's mask provider that returns a fixed value."""

    def __init__(self, returned: object, **settings: object) -> None:
        self.returned = returned
        vars(self).update(settings)

    def generate(self, source: object) -> object:
        return self.returned


WISH = TileSpec((20, 10), resolution=Level(0))
FRACTIONS = np.linspace(0, 1, 28, dtype=np.float32).reshape(4, 7)


class TestWhatAProviderReturns:
    @pytest.mark.parametrize(
        ("returned", "words"),
        [
            (None, ["returned None;"]),
            (FRACTIONS, ["numpy.ndarray of float32 and shape (4, 7)", "0.0 to 1.0", "threshold"]),
            (np.full((4, 7), 0.5, np.float16), ["float16", "(4, 7)", "mask.threshold"]),
            (np.ones((4, 7, 1), bool), ["bool and shape (4, 7, 1)"]),
            (np.ones((4, 7, 3), np.uint8), ["uint8 and shape (4, 7, 3)"]),
            (np.ones(7, bool), ["bool and shape (7,)"]),
            (np.ones((0, 7), bool), ["(0, 7)"]),
            (
                np.arange(28, dtype=np.uint8).reshape(4, 7),
                ["uint8", "28 different", "0, 1, 2, 3, …"],
            ),
            (np.array([[1, 2]]), ["2 different values (1, 2)"]),
            (np.ones((140, 80), bool), ["bool and shape (140, 80)", "swapped", "70x40"]),
            (np.array([["yes"]]), ["<U3"]),
            (np.array([[None]]), ["object"]),
            ("mask.png", ["'mask.png' (str)"]),
            (True, ["True (bool)"]),
            ([[True], [True, False]], ["(list)"]),
        ],
        ids=str,
    )
    def test_an_array_that_is_no_mask_is_described(
        self, returned: object, words: list[str]
    ) -> None:
        with pytest.raises(MaskError) as caught:
            TileExtractor(WISH, mask_provider=Returns(returned)).fit(Picture(glass(40, 70)))
        for word in ("E_MASK slide=fake", "test_masks.Returns.generate returned", *words):
            assert word in str(caught.value)

    @pytest.mark.parametrize(
        "kind", [bool, np.uint8, np.int64, np.float32, "0-255", "minus", "list"], ids=str
    )
    def test_two_values_are_a_mask(self, kind: object) -> None:
        truth = LOPSIDED != 0
        scale = {"0-255": 255, "minus": -1}.get(kind, 1)
        returned = truth.astype(int) * scale if isinstance(kind, str) else truth.astype(kind)
        returned = returned.tolist() if kind == "list" else returned
        extractor = TileExtractor(WISH, mask_provider=Returns(returned))
        assert np.array_equal(extractor.fit(Picture(glass(30, 50))).mask_, truth)
        assert extractor.mask_.dtype == bool

    @pytest.mark.parametrize(
        "shape",
        [(1, 1), (8, 14), (9, 14), (7, 15), (12, 12), (2, 3), (3, 2), (14, 8), (90, 90), (63, 36)],
    )
    def test_a_mask_may_be_of_another_scale_and_rounded(self, shape: tuple[int, int]) -> None:
        extractor = TileExtractor(WISH, mask_provider=Returns(np.ones(shape, bool)))
        assert extractor.fit(Picture(glass(40, 70))).mask_.shape == shape

    @given(arrays(np.float32, (4, 7), elements=st.floats(0, 1, width=32)), st.floats(0, 1))
    def test_a_map_is_cut_at_the_providers_threshold(self, returned, threshold: float) -> None:
        extractor = TileExtractor(WISH, mask_provider=Returns(returned, threshold=threshold))
        mask = extractor.fit(Picture(glass(40, 70))).mask_
        least = np.float32(threshold)  # a float32 that reads 0.7 reaches 0.7
        assert mask.tolist() == [[v >= least for v in row] for row in returned]

    @pytest.mark.parametrize("threshold", ["half", True, float("nan"), [0.5]])
    def test_a_threshold_that_is_no_number_is_named(self, threshold: object) -> None:
        provider = Returns(FRACTIONS, threshold=threshold)
        with pytest.raises(MaskError, match=r"mask\.threshold=") as caught:
            TileExtractor(WISH, mask_provider=provider).fit(Picture(glass(40, 70)))
        assert repr(threshold) in str(caught.value)

    def test_a_map_with_nan_is_refused(self) -> None:
        provider = Returns(np.where(FRACTIONS > 0.9, np.nan, FRACTIONS), threshold=0.5)
        with pytest.raises(MaskError, match="NaN"):
            TileExtractor(WISH, mask_provider=provider).fit(Picture(glass(40, 70)))

    @pytest.mark.slow
    def test_the_threshold_of_a_map_is_a_key_of_the_users_mask(self, tmp_path: Path) -> None:
        (tmp_path / "code").mkdir()
        (tmp_path / "code/lab.py").write_text(
            "import numpy as np\n\n\nclass Network:\n"
            "    def __init__(self, threshold=None):\n        self.threshold = threshold\n\n"
            "    def generate(self, source):\n"
            "        return np.arange(24.0).reshape(4, 6) / 24\n"
        )
        picture(tmp_path)
        env = {"TILER_TARGETS": "lab", "PYTHONPATH": f"{tmp_path / 'code'}:{ROOT}"}
        words = [*COMMON, "mask._target_=lab.Network", "threshold=1"]
        refused = tiler(*words, "out=none", cwd=tmp_path, env=env)
        assert refused.returncode == 3
        assert "float64 and shape (4, 6)" in read_csv(tmp_path / "none/slides.csv")[0]["reason"]
        for least in (0.25, 0.5):
            out = f"out-{least}"
            done = tiler(*words, f"+mask.threshold={least}", f"out={out}", cwd=tmp_path, env=env)
            assert done.returncode == 0, done.stderr
            assert read_csv(tmp_path / out / "slides.csv")[0]["kept"] == f"{24 * (1 - least):.0f}"


class TestSettings:
    @pytest.mark.parametrize(
        ("build", "words"),
        [
            (lambda: OtsuMask(median=4), r"mask\.median=4 is invalid; use an odd number"),
            (lambda: OtsuMask(close=0), r"mask\.close=0 is invalid; use an odd number"),
            (lambda: OtsuMask(close=-1), r"mask\.close=-1"),
            (lambda: OtsuMask(median=2.5), r"mask\.median=2\.5"),
            (lambda: OtsuMask(median="big"), r"mask\.median='big'"),
            (lambda: OtsuMask(mpp=0), r"mask\.mpp=0 is invalid; use a positive number"),
            (lambda: OtsuMask(mpp=float("nan")), r"mask\.mpp=nan"),
            (lambda: HsvMask(mpp=True), r"mask\.mpp=True"),
            (lambda: HsvMask(max_side=0), r"mask\.max_side=0"),
            (lambda: HsvMask(min_tissue_mm2=-0.1), r"mask\.min_tissue_mm2=-0\.1.*null"),
            (lambda: OtsuMask(min_hole_mm2=float("inf")), r"mask\.min_hole_mm2=inf"),
            (
                lambda: OtsuMask(min_tissue_fraction=1.5),
                r"mask\.min_tissue_fraction=1\.5.*from 0 to 1",
            ),
            (lambda: OtsuMask(min_hole_fraction="x"), r"mask\.min_hole_fraction='x'"),
            (lambda: OtsuMask(saturation=(40, 15)), r"mask\.saturation=\[40, 15\]"),
            (lambda: OtsuMask(saturation=40), r"mask\.saturation=40 is invalid; use a pair"),
            (lambda: OtsuMask(remove_pen="yes"), r"mask\.remove_pen='yes'"),
            (lambda: HsvMask(hue=(0, 181)), r"mask\.hue\[1\]=181"),
            (lambda: HsvMask(hue=[1, 2, 3]), r"mask\.hue=\[1, 2, 3\]"),
            (lambda: HsvMask(value=(-1, 255)), r"mask\.value\[0\]=-1"),
            (lambda: HsvMask(saturation=(200, 100)), r"mask\.saturation=\[200, 100\]"),
            (lambda: FileMask(""), r"mask\.path=''"),
            (lambda: FileMask(None), r"mask\.path=None"),
            (lambda: FileMask("m.png", max_pixels=0), r"mask\.max_pixels=0"),
            (lambda: FileMask("m.png", max_pixels=10**9), r"mask\.max_pixels=1000000000"),
        ],
    )
    def test_invalid_values_are_refused_by_name(self, build, words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            build()

    def test_lists_become_tuples(self) -> None:
        assert HsvMask(hue=[150, 10]) == HsvMask(hue=(150, 10))
        assert hash(OtsuMask(saturation=[10, 30])) == hash(OtsuMask(saturation=(10, 30)))

    @pytest.mark.parametrize("provider", [AllTissue(), OtsuMask(), HsvMask(), FileMask("m.png")])
    def test_providers_are_frozen(self, provider) -> None:
        with pytest.raises(FrozenInstanceError):
            provider.mpp = 4.0


def test_opencv_is_imported_only_for_a_mask() -> None:
    code = "import sys, tiler.masks; print('cv2' in sys.modules, 'PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


MPP0 = 0.25
"""Microns per level-0 pixel of the slides below: a pixel of the default thumbnail is 32 wide."""


@st.composite
def rectangles(draw: st.DrawFn) -> tuple[Size, Box, Box]:
    """Return a slide's size, its bounds, and a box of tissue with any whole edges."""
    size = Size(draw(st.integers(900, 1200)), draw(st.integers(700, 1000)))
    x, y = draw(st.integers(0, 90)), draw(st.integers(0, 80))
    bounds = Box(x, y, size.width - x - draw(st.integers(0, 90)), size.height - y)
    left, top = draw(st.integers(bounds.x, 500)), draw(st.integers(bounds.y, 400))
    wide = draw(st.integers(260, bounds.right - left))
    return size, bounds, Box(left, top, wide, draw(st.integers(240, bounds.bottom - top)))


def levelled(pixels: np.ndarray, bounds: Box, downsamples: tuple[int, ...]) -> Picture:
    """Return a slide whose levels are exact means, without the partial pixels at their ends."""
    levels = []
    for step in downsamples:
        height, width = (side // step for side in pixels.shape[:2])
        levels.append(area_mean(pixels, 0, 0, step, step, Size(width, height)))
    return Picture(*levels, downsamples=downsamples, bounds=tuple(bounds), mpp=MPP0)


def true_share(tissue: Box, x: int, y: int, width: int, height: int) -> float:
    across = min(x + width, tissue.right) - max(x, tissue.x)
    down = min(y + height, tissue.bottom) - max(y, tissue.y)
    return max(0, across) * max(0, down) / (width * height)


RIM = {"min_tissue_mm2": None, "min_hole_mm2": None}


@settings(max_examples=20, deadline=None)
@given(
    slide=rectangles(),
    tile=st.integers(32, 400),
    downsamples=st.sampled_from([(1,), (1, 2, 4, 8), (1, 4, 16), (1, 8, 64)]),
    provider=st.sampled_from([OtsuMask(close=1, **RIM), HsvMask(**RIM)]),
    threshold=st.floats(0.05, 1),
)
def test_a_rim_changes_a_coverage_by_at_most_a_mask_pixel_and_a_half(
    slide, tile: int, downsamples: tuple[int, ...], provider, threshold: float
) -> None:
    size, bounds, tissue = slide
    pixels = np.full((size.height, size.width, 3), GLASS, np.uint8)
    source = levelled(paint(pixels, *tissue, (190, 90, 150)), bounds, downsamples)
    extractor = TileExtractor(
        TileSpec(tile, resolution=Level(0)), mask_provider=provider, mask_threshold=0
    )
    regions = extractor.fit_extract(source)
    a_pixel = max(bounds.width / extractor.mask_.shape[1], bounds.height / extractor.mask_.shape[0])
    assert a_pixel <= max(1.02, tile / 15.5), "the mask is fine enough for the tile"
    for region in regions:
        share = true_share(tissue, *region.box0)
        x, y, width, height = region.box0
        rims = sum(x < edge < x + width for edge in (tissue.x, tissue.right))
        rims += sum(y < edge < y + height for edge in (tissue.y, tissue.bottom))
        # A rim on a tile's border lies in a pixel that the tile shares with its neighbour.
        bound = max(rims, 1) * 1.5 * a_pixel / tile
        assert abs(region.ratio - share) <= bound + 1e-9
        assert region.ratio < threshold or share >= threshold - bound - 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("provider", [OtsuMask(), HsvMask()])
def test_large_tiles_do_not_change_the_mask(provider) -> None:
    source = levelled(
        paint(glass(1100, 1500), 310, 250, 800, 500, EOSIN), Box(0, 0, 1500, 1100), (1,)
    )
    plain = provider.generate(source)
    spec = TileSpec(512, resolution=Level(0))
    whole = TileExtractor(spec, mask_provider=provider).make_mask(source).picture
    assert np.array_equal(whole, plain)
    small = TileSpec(511, resolution=Level(0))
    finer = TileExtractor(small, mask_provider=provider).make_mask(source).picture
    assert finer.shape == (2 * plain.shape[0], 2 * plain.shape[1])
    assert 0 < (finer != np.kron(plain, np.ones((2, 2), bool))).mean() < 0.05


@pytest.mark.slow
def test_a_refined_mask_transposes_and_leaves_filled_holes() -> None:
    pixels = paint(glass(1400, 1900), 300, 200, 1200, 900, EOSIN)
    pixels = paint(pixels, 390, 500, 170, 150, GLASS)  # a hole near the rim, filled
    tile = TileSpec(100, resolution=Level(0))
    masks = [
        TileExtractor(tile, mask_provider=OtsuMask())
        .make_mask(levelled(np.ascontiguousarray(p), Box(0, 0, p.shape[1], p.shape[0]), (1,)))
        .picture
        for p in (pixels, pixels.transpose(1, 0, 2))
    ]
    assert np.array_equal(masks[0], masks[1].T)
    scale = masks[0].shape[1] / 1900
    assert share(masks[0], *(round(v * scale) for v in (390, 500, 170, 150))) == 1


@pytest.mark.parametrize("value", [0, 3, 128, -2, 2.0, True, "4"])
def test_refine_is_a_power_of_two(value) -> None:
    with pytest.raises(ConfigError, match=r"mask\.refine="):
        OtsuMask(refine=value)


@pytest.mark.slow
def test_refine_can_be_set_and_is_less_where_the_mask_would_be_too_large(monkeypatch) -> None:
    source = levelled(
        paint(glass(1100, 1500), 310, 250, 800, 500, EOSIN), Box(0, 0, 1500, 1100), (1,)
    )
    tile = TileSpec(40, resolution=Level(0))
    off = TileExtractor(tile, mask_provider=OtsuMask(refine=1)).make_mask(source).picture
    assert off.shape == (34, 47)
    monkeypatch.setattr("tiler.masks.thumbnail.MAX_PIXELS", 34 * 47 * 17)
    fine = TileExtractor(tile, mask_provider=OtsuMask()).make_mask(source).picture
    assert fine.shape == (34 * 4, 47 * 4)


def test_the_warning_of_a_slide_without_tissue_names_the_setting_that_removed_it(
    tmp_path: Path,
) -> None:
    blue = tinted(64, 96, (241, 240, 242), 2)
    blue[20:50, 20:70] = (40, 60, 170)
    Image.fromarray(blue).save(tmp_path / "pic.png")
    words = ["mask=otsu", "mask.remove_pen=true", "mask.mpp=1", "out=run"]
    done = tiler(*COMMON[:5], *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert len(warnings) == 1
    assert "found no tissue, mask_fraction=0; mask.remove_pen=true removed all" in warnings[0]
    assert "choose another mask" not in done.stderr
