"""The contract of ``TileExtractor``: its conventions, its laws, its stages and its files."""

from __future__ import annotations

import copy
import math
import re
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracle import axis_twin, exact_coverage, exact_mean
from PIL import Image

from tiler import (
    MPP,
    Level,
    Magnification,
    RegionMaskSpec,
    RegionSpec,
    TileExtractor,
    TileSpec,
)
from tiler.errors import ConfigError, MaskError, ResolutionError, SlideError
from tiler.geometry import Box, Size
from tiler.grid import Cells
from tiler.readers import open_slide
from tiler.stages import as_regions, reference_level, scale_mask, scale_tile, walk_grid

MASKS = arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 7)))
KNOWN = {"mpp": "metadata", "magnification": "metadata"}


def facts(
    width, height, *, bounds=None, mpp=0.25, levels=(1.0, 4.0), name="facts", rounding=math.floor
):
    """A slide without pixels, because extraction reads none."""
    return SimpleNamespace(
        name=name,
        dimensions=(width, height),
        bounds=Box(*(bounds or (0, 0, width, height))),
        level_dimensions=tuple(
            Size(max(1, rounding(width / level)), max(1, rounding(height / level)))
            for level in levels
        ),
        level_downsamples=levels,
        mpp=mpp,
        magnification=None if mpp is None else 10 / mpp,
        provenance=KNOWN,
    )


def boxes(regions):
    return [(*r.location, *r.shape) for r in regions]


def ratios(regions):
    return [r.ratio for r in regions]


@st.composite
def bounded_slides(draw, roundings=(math.floor, math.ceil)):
    """A lopsided slide with bounds somewhere in it."""
    x, y = draw(st.integers(0, 300)), draw(st.integers(0, 40))
    width, height = draw(st.integers(1, 700)), draw(st.integers(1, 300))
    mpp = draw(st.sampled_from([0.25, 0.499, 0.2281750559028887]))
    levels = draw(st.sampled_from([(1.0,), (1.0, 4.016), (1.0, 2.0, 8.086), (1.0, 2.0, 4.0)]))
    return facts(
        x + width + draw(st.one_of(st.just(0), st.integers(0, 60))),
        y + height + draw(st.one_of(st.just(0), st.integers(0, 200))),
        bounds=(x, y, width, height),
        mpp=mpp,
        levels=levels,
        rounding=draw(st.sampled_from(roundings)),
    )


@st.composite
def wishes(draw, edges=("drop", "pad", "shift")):
    """A lopsided tile spec of a few dozen pixels, in pixels or microns."""
    um = draw(st.booleans())
    target = draw(st.sampled_from([0.5, 0.7, 1.0, 1.37]))
    low, high, steps = (10, 60, 10) if um else (12, 70, 1)
    number = st.integers(low * steps, high * steps).map(lambda n: n / steps if um else n)
    return TileSpec(
        (draw(number), draw(number)),
        draw(st.one_of(st.none(), st.tuples(number, number))),
        MPP(target),
        "um" if um else "pixels",
        draw(st.sampled_from(edges)),
    )


def transposed(slide):
    x, y, width, height = slide.bounds
    turned = copy.copy(slide)
    turned.bounds = Box(y, x, height, width)
    turned.dimensions = slide.dimensions[::-1]
    turned.level_dimensions = tuple(Size(*size[::-1]) for size in slide.level_dimensions)
    return turned


# Laws


@given(slide=bounded_slides(), wish=wishes(), mask=MASKS)
def test_transposing_the_slide_transposes_the_answer(slide, wish, mask):
    turned_wish = TileSpec(
        wish.size[::-1], wish.stride[::-1], wish.resolution, wish.unit, wish.edge
    )
    here = TileExtractor(wish, mask, mask_threshold=0.3, include_mask=True).extract(slide)
    there = TileExtractor(turned_wish, mask.T, mask_threshold=0.3, include_mask=True).extract(
        transposed(slide)
    )
    turned = {(y, x, h, w): region for region in there for x, y, w, h in boxes([region])}
    assert sorted(boxes(here)) == sorted(turned)
    for region in here:
        other = turned[(*region.location, *region.shape)]
        assert region.ratio == pytest.approx(other.ratio, abs=1e-11)
        assert region.box0 == (other.box0.y, other.box0.x, other.box0.height, other.box0.width)
        assert np.array_equal(region.mask, other.mask.T)


@settings(max_examples=3 * settings().max_examples)
@example(  # bounds that end inside the last pixel of a level that was rounded up
    slide=facts(1, 298, bounds=(0, 0, 1, 297), levels=(1.0, 2.0, 4.0), rounding=math.ceil),
    wish=TileSpec((12, 15), resolution=MPP(1.0), edge="pad"),
    mask=np.array([[True]]),
    threshold=0,
)
@given(
    slide=bounded_slides(),
    wish=wishes(),
    mask=MASKS,
    threshold=st.sampled_from([0, 0.1, 0.25, 0.5, 1]),
)
def test_the_extractor_agrees_with_a_slow_exact_reference(slide, wish, mask, threshold):
    def exact(number):
        return Fraction(str(number))

    target = exact(wish.resolution.value)
    downsample = target / exact(slide.mpp)
    factor = 1 / target if wish.unit.value == "um" else Fraction(1)
    size = [exact(v) * factor for v in wish.size]
    stride = [exact(v) * factor for v in wish.stride]
    for number in (*size, *(i * s for s in stride for i in range(200))):
        assume(abs(number % 1 - Fraction(1, 2)) > 1e-9)  # decimals that tie are not floats
    width, height = (round(v) for v in size)
    corner, extent = slide.bounds[:2], slide.bounds[2:]
    # If the target is a level, the grid ends with the level, not at the slide's quotient.
    stored = dict(zip(slide.level_downsamples, slide.level_dimensions, strict=True)).get(downsample)
    ends = [(corner[i] + extent[i]) / downsample for i in (0, 1)]
    if stored is not None:
        ends = [
            Fraction(stored[i]) if corner[i] + extent[i] == slide.dimensions[i] else end
            for i, end in enumerate(ends)
        ]
        ends = [min(Fraction(stored[i]), end) for i, end in enumerate(ends)]
    x_axis, y_axis = (
        axis_twin(corner[i] / downsample, ends[i], (width, height)[i], stride[i], wish.edge.value)
        for i in (0, 1)
    )

    def place(position, axis):
        per_pixel = Fraction(mask.shape[1 - axis], extent[axis])
        if stored is not None and position == ends[axis]:  # a level that was rounded up
            position = min(position, (corner[axis] + extent[axis]) / downsample)
        return (position * downsample - corner[axis]) * per_pixel

    expected = {}
    for y in y_axis:
        for x in x_axis:
            ratio = exact_coverage(
                mask, place(x, 0), place(y, 1), place(x + width, 0), place(y + height, 1)
            )
            if ratio >= exact(threshold):
                expected[x, y, width, height] = ratio
    found = TileExtractor(wish, mask, mask_threshold=threshold).extract(slide)
    assert boxes(found) == list(expected)
    for region, ratio in zip(found, expected.values(), strict=True):
        assert region.ratio == pytest.approx(float(ratio), abs=2e-11)
        if ratio in (0, 1):
            assert region.ratio == ratio


@given(slide=bounded_slides(roundings=(math.floor,)), wish=wishes(edges=("drop", "shift")))
def test_drop_and_shift_stay_inside_the_bounds_in_both_frames(slide, wish):
    x, y, width, height = slide.bounds
    downsample = wish.resolution.downsample(slide)
    for region in TileExtractor(wish, mask_threshold=0).extract(slide):
        (left, top), (w, h) = region.location, region.shape
        assert left * downsample >= x - 1e-5
        assert top * downsample >= y - 1e-5
        assert (left + w) * downsample <= x + width + 1e-5
        assert (top + h) * downsample <= y + height + 1e-5
        box = region.box0
        assert box.x >= x
        assert box.y >= y
        assert box.x + box.width <= x + width
        assert box.y + box.height <= y + height


def no_gaps(wish, slide):
    """Return whether neighbours meet: a size in microns is rounded to pixels, its stride is not."""
    tile = scale_tile(wish, slide, reference_level(slide, wish.resolution))
    return all(step <= size for step, size in zip(tile.stride, tile.size, strict=True))


@given(slide=bounded_slides(roundings=(math.ceil,)), wish=wishes(edges=("pad",)))
def test_pad_covers_the_bounded_area(slide, wish):
    assume(no_gaps(wish, slide))
    left, top, width, height = slide.bounds
    covered = np.zeros((height, width), bool)
    for region in TileExtractor(wish, mask_threshold=0).extract(slide):
        x, y, w, h = region.box0
        covered[max(y - top, 0) : max(y - top + h, 0), max(x - left, 0) : max(x - left + w, 0)] = 1
    assert covered.all()


@given(slide=bounded_slides(), wish=wishes(edges=("shift",)))
def test_shift_reaches_the_end_or_finds_no_room(slide, wish):
    assume(no_gaps(wish, slide))
    downsample = wish.resolution.downsample(slide)
    x, y, width, height = slide.bounds
    regions = TileExtractor(wish, mask_threshold=0).extract(slide)
    if not regions:
        tile = scale_tile(wish, slide, reference_level(slide, wish.resolution))
        assert width < (tile.size.width + 2) * downsample or (
            height < (tile.size.height + 2) * downsample
        )
        return
    last = regions[-1]
    assert (last.location.x + last.shape.width + 1) * downsample > x + width
    assert (last.location.y + last.shape.height + 1) * downsample > y + height


@given(
    slide=bounded_slides(),
    wish=wishes(),
    mask=MASKS,
    thresholds=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
)
def test_thresholds_nest(slide, wish, mask, thresholds):
    low, high = (TileExtractor(wish, mask, mask_threshold=t).extract(slide) for t in thresholds)
    assert high == [region for region in low if region.ratio >= thresholds[1]]


@given(slide=bounded_slides(), wish=wishes())
def test_regions_are_unique_and_row_by_row(slide, wish):
    corners = [r.location for r in TileExtractor(wish, mask_threshold=0).extract(slide)]
    assert corners == sorted(set(corners), key=lambda p: (p.y, p.x))


@given(slide=bounded_slides(), wish=wishes(edges=("drop", "shift")), mask=MASKS)
def test_a_full_mask_gives_exactly_one_and_an_empty_one_exactly_zero(slide, wish, mask):
    full = TileExtractor(wish, np.ones_like(mask), mask_threshold=1).extract(slide)
    everything = TileExtractor(wish, mask_threshold=0).extract(slide)
    assert full == everything
    assert {r.ratio for r in full} <= {1.0}
    empty = TileExtractor(wish, np.zeros_like(mask), mask_threshold=0).extract(slide)
    assert boxes(empty) == boxes(everything)
    assert {r.ratio for r in empty} <= {0.0}
    assert TileExtractor(wish, np.zeros_like(mask), mask_threshold=1e-9).extract(slide) == []


@given(slide=bounded_slides(), wish=wishes(), mask=MASKS)
def test_a_mask_piece_weighted_by_its_footprint_gives_the_ratio(slide, wish, mask):
    plain = TileExtractor(wish, mask, mask_threshold=0.1).extract(slide)
    pieces = TileExtractor(wish, mask, mask_threshold=0.1, include_mask=True).extract(slide)
    assert boxes(plain) == boxes(pieces)
    assert ratios(plain) == ratios(pieces)
    for region in pieces:
        assert isinstance(region, RegionMaskSpec)
        x, y, width, height = region.footprint
        assert 0 <= x < 1
        assert 0 <= y < 1
        rows, columns = region.mask.shape
        assert columns == math.ceil(x + width - 1e-9)
        assert rows == math.ceil(y + height - 1e-9)
        weighted = exact_coverage(region.mask, x, y, x + width, y + height)
        assert float(weighted) == pytest.approx(region.ratio, abs=5e-11)


TISSUE = np.random.default_rng(11).random((37, 23)) < 0.45


@pytest.mark.parametrize("mpp", [0.25, 0.499, 0.2281750559028887])
def test_twice_the_pixels_at_half_the_mpp_give_the_same_bits(mpp):
    slide = facts(22201, 29671, mpp=mpp)
    coarse = TileSpec((256, 192), (128, 192), MPP(1.0))
    fine = TileSpec((512, 384), (256, 384), MPP(0.5))
    for threshold in (0.0, 0.37, 0.5):
        here = TileExtractor(coarse, TISSUE, mask_threshold=threshold).extract(slide)
        there = TileExtractor(fine, TISSUE, mask_threshold=threshold).extract(slide)
        assert len(here) > 100
        assert ratios(here) == ratios(there)
        assert [r.box0 for r in here] == [r.box0 for r in there]


@pytest.mark.parametrize(
    ("one", "other"),
    [((256, 0.9), (768, 0.3)), ((300, 1.0), (200, 1.5)), ((100, 0.7), (700, 0.1))],
)
@pytest.mark.parametrize("mpp", [0.1, 0.0499, 0.09])
def test_resolutions_of_the_same_footprints_keep_the_same_tiles(one, other, mpp):
    slide = facts(22201, 29671, mpp=mpp)
    # Lopsided stripes: many tiles lie at decimal shares of tissue.
    mask = np.zeros((40, 30), bool)
    mask[::2, :17] = True
    for threshold in (0.0, 0.1, 0.25, 0.3, 0.5):
        kept = [
            TileExtractor(
                TileSpec(size, resolution=MPP(value)), mask, mask_threshold=threshold
            ).extract(slide)
            for size, value in (one, other)
        ]
        assert len(kept[0]) > 0 or threshold == 0.5
        assert [r.ratio for r in kept[0]] == pytest.approx([r.ratio for r in kept[1]], abs=1e-12)
        corners = [
            [(r.location.x // size, r.location.y // size) for r in regions]
            for regions, (size, _) in zip(kept, (one, other), strict=True)
        ]
        assert corners[0] == corners[1]


@pytest.mark.parametrize(
    ("extent", "size", "share"),
    [(82_400, 1000, 0.4), (8_512, 320, 0.6), (49_440, 200, 0.2), (151_200, 1000, 0.2)],
)
@pytest.mark.parametrize("width", [None, 1, 33, 745])
def test_a_padded_tile_reaches_the_decimal_threshold_of_its_inside_share(
    extent, size, share, width
):
    wish = TileSpec((size, 7), resolution=Level(0), edge="pad")
    mask = None if width is None else np.ones((3, width))
    kept = TileExtractor(wish, mask, mask_threshold=share).extract(facts(extent, 7))
    assert len(kept) == math.ceil(extent / size)
    assert kept[-1].ratio == share
    assert len(
        TileExtractor(wish, mask, mask_threshold=share + 1e-6).extract(facts(extent, 7))
    ) == (extent // size)


@pytest.mark.parametrize(
    ("mpp", "target", "extent", "count"),
    [(0.25, 1.1, 14784, 15), (0.3, 0.7, 4704, 9), (0.3, 1.1, 7392, 9), (0.3, 1.3, 2912, 3)],
)
@pytest.mark.parametrize("edge", ["drop", "pad", "shift"])
@pytest.mark.parametrize("corner", [(0, 0), (4400, 2100)])
def test_a_slide_of_exactly_n_tiles_has_n(mpp, target, extent, count, edge, corner):
    # Divided as floats, each of these extents is a little less than whole tiles.
    bounds = (*(c * extent for c in corner), extent, extent * 2)
    slide = facts(10**9, 10**9, bounds=bounds, mpp=mpp)
    found = TileExtractor(
        TileSpec(224, resolution=MPP(target), edge=edge), mask_threshold=1
    ).extract(slide)
    assert len(found) == count * count * 2
    assert found[0].box0[:2] == bounds[:2]


def test_equal_sizes_in_pixels_and_microns_agree():
    slide = facts(5000, 3300, mpp=0.499)
    pixels = TileSpec((300, 200), (250, 170), MPP(0.8), edge="pad")
    microns = TileSpec((240, 160), (200, 136), MPP(0.8), "um", "pad")
    one, other = (
        TileExtractor(wish, TISSUE, mask_threshold=0.4).extract(slide) for wish in (pixels, microns)
    )
    assert one == other
    assert len(one) > 20


# Conventions: fit, extract, parameters


class Provider:
    """A provider that returns a mask for each slide, by its name."""

    def __init__(self, **masks):
        self.masks = masks
        self.asked = []

    def generate(self, source):
        self.asked.append(source)
        return self.masks[source.name]


SPEC = TileSpec((60, 40), resolution=MPP(0.5))
SLIDE_A = facts(700, 410, name="A")
SLIDE_B = facts(350, 830, bounds=(37, 50, 300, 700), mpp=0.2, levels=(1.0,), name="B")
MASK_A, MASK_B = np.eye(3, 5), np.eye(4, 2)[::-1]


def test_configuring_reads_nothing_and_changes_nothing():
    provider = Provider()
    mask = np.eye(2)
    extractor = TileExtractor(SPEC, mask, provider, 0.25, True)
    assert provider.asked == []
    assert extractor.tile_spec is SPEC
    assert extractor.mask is mask
    assert extractor.mask_provider is provider
    assert extractor.mask_threshold == 0.25
    assert extractor.include_mask is True
    assert extractor.region_specs_ == []
    assert not hasattr(extractor, "source_")


def test_fit_binds_the_slide_and_chains():
    extractor = TileExtractor(SPEC, mask_threshold=0)
    assert extractor.fit(SLIDE_A) is extractor
    assert extractor.source_ is SLIDE_A
    assert extractor.slide_name_ == "A"
    assert extractor.region_specs_ == []
    found = extractor.extract()
    assert found
    assert extractor.region_specs_ == found
    assert TileExtractor(SPEC, mask_threshold=0).fit_extract(SLIDE_A) == found
    assert TileExtractor(SPEC, mask_threshold=0).extract(SLIDE_A) == found
    assert TileExtractor(SPEC, mask_threshold=0).fit(SLIDE_A).extract() == found


def test_a_new_fit_clears_earlier_regions():
    extractor = TileExtractor(SPEC, mask_threshold=0)
    extractor.extract(SLIDE_A)
    extractor.fit(SLIDE_B)
    assert extractor.region_specs_ == []
    assert extractor.slide_name_ == "B"


@pytest.mark.parametrize("include_mask", [False, True])
def test_fit_on_a_then_b_equals_fit_on_b(include_mask):
    def fresh():
        return TileExtractor(
            TileSpec((60.5, 40), (33.3, 40), MPP(0.5), "um", "pad"),
            mask_provider=Provider(A=MASK_A, B=MASK_B),
            mask_threshold=0.2,
            include_mask=include_mask,
        )

    both = fresh()
    both.extract(SLIDE_A)
    alone = fresh()
    assert both.extract(SLIDE_B) == alone.extract(SLIDE_B)
    assert len(alone.region_specs_) == 2
    assert both.candidates_.keys() == alone.candidates_.keys()
    for name, values in alone.candidates_.items():
        assert np.array_equal(both.candidates_[name], values), name
    assert np.array_equal(both.mask_, alone.mask_)


def test_fit_touches_no_parameter():
    mask = np.array([[0, 3, 0], [1, 0, 255]], np.uint8)
    extractor = TileExtractor(SPEC, mask, None, 0.25, True)
    names = ("tile_spec", "mask", "mask_provider", "mask_threshold", "include_mask")
    before = [getattr(extractor, name) for name in names]
    content = mask.tobytes()
    extractor.extract(SLIDE_A)
    extractor.extract(SLIDE_B)
    assert all(getattr(extractor, n) is b for n, b in zip(names, before, strict=True))
    assert mask.tobytes() == content


def test_a_provider_is_called_once_per_fit_and_takes_precedence_over_a_static_mask():
    provider = Provider(A=np.zeros((2, 3)), B=np.ones((2, 3)))
    extractor = TileExtractor(SPEC, np.ones((4, 4)), provider, 0.5)
    assert extractor.fit(SLIDE_A).extract() == []
    assert extractor.extract() == []
    assert len(extractor.extract(SLIDE_B)) > 3
    assert provider.asked == [SLIDE_A, SLIDE_B]


def test_a_static_mask_is_tissue_wherever_it_is_not_zero():
    mask = np.array([[0, 7], [-1, 0]])
    found = TileExtractor(SPEC, mask, mask_threshold=0.1).extract(SLIDE_A)
    assert found == TileExtractor(SPEC, mask != 0, mask_threshold=0.1).extract(SLIDE_A)
    assert found


def test_the_tissue_of_a_static_mask_is_at_its_place():
    mask = np.zeros((2, 3))
    mask[1, 2] = 1  # the lower right sixth
    found = TileExtractor(TileSpec((100, 50), resolution=Level(0)), mask, mask_threshold=1).extract(
        facts(1000 + 600, 200 + 200, bounds=(1000, 200, 600, 200))
    )
    assert boxes(found) == [(x, y, 100, 50) for y in (300, 350) for x in (1400, 1500)]


def test_extract_without_a_slide_is_a_runtime_error():
    with pytest.raises(RuntimeError, match="fit"):
        TileExtractor(SPEC).extract()


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan, "0.5", None, True])
def test_an_invalid_threshold_is_named_when_the_component_is_built(threshold):
    with pytest.raises(ConfigError, match="threshold") as caught:
        TileExtractor(SPEC, mask_threshold=threshold)
    assert repr(threshold) in str(caught.value)


@pytest.mark.parametrize("shape", [(2, 3, 3), (4,), (0, 5)])
def test_a_mask_of_the_wrong_shape_is_named_with_the_slide(shape):
    with pytest.raises(MaskError, match="A") as caught:
        TileExtractor(SPEC, np.ones(shape)).fit(SLIDE_A)
    assert str(shape) in str(caught.value)


def test_a_failed_fit_keeps_the_previous_one():
    extractor = TileExtractor(SPEC, mask_provider=Provider(A=MASK_A), mask_threshold=0.1)
    found = list(extractor.extract(SLIDE_A))
    with pytest.raises(KeyError):
        extractor.fit(SLIDE_B)
    assert extractor.source_ is SLIDE_A
    assert extractor.extract() == found


@pytest.mark.parametrize(("edge", "found"), [("drop", []), ("shift", []), ("pad", [0.8, 0.24])])
def test_a_slide_narrower_than_a_tile_has_no_tiles_unless_padded(edge, found):
    wish = TileSpec((20, 10), resolution=Level(0), edge=edge)
    kept = TileExtractor(wish, mask_threshold=0).extract(facts(16, 13))
    assert ratios(kept) == found


def test_empty_bounds_have_no_tiles():
    for edge in ("drop", "shift", "pad"):
        nothing = facts(500, 400, bounds=(20, 30, 0, 0))
        wish = TileSpec((20, 10), resolution=Level(0), edge=edge)
        extractor = TileExtractor(wish, mask_threshold=0)
        assert extractor.extract(nothing) == []
        assert not any(map(len, extractor.candidates_.values()))


def test_a_size_in_microns_below_a_pixel_is_refused_for_that_slide():
    wish = TileSpec(0.4, resolution=Level(0), unit="um")
    with pytest.raises(SlideError, match=r"B.*0\.4.*um"):
        TileExtractor(wish).extract(facts(300, 200, mpp=0.9, name="B"))


def test_candidates_are_counted_before_the_threshold():
    extractor = TileExtractor(TileSpec((100, 50), resolution=Level(0)), np.eye(4), None, 0.9)
    kept = extractor.extract(facts(800, 400))
    assert len(extractor.candidates_["decision"]) == 8 * 8
    assert len(kept) == 4 * 2 * 2
    assert extractor.best_ratio_ == 1.0


# Stages


def test_the_reference_is_the_lowest_level():
    slide = facts(1000, 800, mpp=0.25, levels=(1.0, 4.016, 16.2))
    reference = reference_level(slide, MPP(1.0))
    assert reference.level == 2
    assert reference.target_downsample == 4.0
    assert reference.target_per_reference == pytest.approx(16.2 / 4)
    assert reference.downsample == pytest.approx(16.2)


def test_a_tile_may_be_fractional_in_the_reference_and_never_in_the_target():
    slide = facts(10_000, 8_000, mpp=0.25, levels=(1.0, 64.0))
    reference = reference_level(slide, MPP(0.25))
    tile = scale_tile(TileSpec((224, 100), resolution=MPP(0.25)), slide, reference)
    assert tile.size == (224, 100)
    assert tile.reference_size == (3.5, 100 / 64)
    microns = scale_tile(TileSpec((56.1, 25), (40.3, 25), MPP(0.25), "um"), slide, reference)
    assert microns.size == (224, 100)
    assert microns.stride == pytest.approx((161.2, 100))


def test_another_unit_is_a_value_error():
    forged = TileSpec(100, resolution=Level(0))
    object.__setattr__(forged, "unit", "furlong")
    slide = facts(1000, 800)
    with pytest.raises(ValueError, match="furlong"):
        scale_tile(forged, slide, reference_level(slide, Level(0)))
    with pytest.raises(ValueError, match="furlong"):
        TileSpec(100, resolution=Level(0), unit="furlong")


def test_the_mask_is_stretched_over_the_bounded_area():
    slide = facts(1000, 800, bounds=(100, 200, 640, 320), levels=(1.0, 16.0))
    scaled = scale_mask(np.ones((5, 8)), slide, reference_level(slide, MPP(0.5)))
    assert scaled.per_pixel == pytest.approx((8 / 40, 5 / 20))
    everything = scale_mask(None, slide, reference_level(slide, MPP(0.5)))
    assert everything.mask.all()


def test_the_grid_walk_returns_every_cell():
    slide = facts(1000, 800, bounds=(100, 200, 640, 320), levels=(1.0, 16.0))
    wish = TileSpec((160, 80), resolution=Level(0))
    reference = reference_level(slide, wish.resolution)
    cells = walk_grid(
        slide,
        reference,
        scale_mask(np.eye(4), slide, reference),
        scale_tile(wish, slide, reference),
        wish.edge,
    )
    every = as_regions(cells, cells.ratios >= 0, Level(0))
    assert (every.shape, every.downsample) == ((160, 80), 1.0)
    assert every.locations.tolist() == [
        [100 + 160 * i, 200 + 80 * j] for j in range(4) for i in range(4)
    ]
    assert cells.ratios.tolist() == np.eye(4).tolist()


@given(
    x=st.lists(st.integers(-50, 9999), unique=True, max_size=7).map(sorted),
    y=st.lists(st.integers(-50, 9999), unique=True, max_size=5).map(sorted),
    data=st.data(),
)
def test_regions_go_row_by_row_x_fastest(x, y, data):
    ratios = [[data.draw(st.sampled_from([0.0, 0.3, 0.5, 1.0])) for _ in x] for _ in y]
    edges = [np.zeros((len(axis), 2)) for axis in (x, y)]
    table = np.array(ratios, float).reshape(len(y), len(x))
    cells = Cells(np.array(x, np.int64), np.array(y, np.int64), *edges, Size(2, 3), 1.0, table)
    kept = as_regions(cells, table >= 0.5, Level(0))
    expected = [
        ((a, b), share)
        for b, row in zip(y, ratios, strict=True)
        for a, share in zip(x, row, strict=True)
        if share >= 0.5
    ]
    assert [(tile.location, tile.ratio) for tile in kept] == expected
    assert kept.locations.dtype == np.int64


def test_extraction_calls_nothing_per_candidate():
    def calls(count):
        extractor = TileExtractor(
            TileSpec((10, 8), resolution=Level(0)), np.zeros((3, 2)), None, 0.5
        )
        slide = facts(count * 10, count * 8)
        extractor.extract(slide)
        total = 0

        def tell(frame, event, argument):
            nonlocal total
            total += event in ("call", "c_call")

        sys.setprofile(tell)
        try:
            extractor.extract(slide)
        finally:
            sys.setprofile(None)
        assert len(extractor.candidates_["x"]) == count**2
        return total

    assert calls(5) == calls(320)


# Level-0 boxes, bounds and pixels on coordinate-coded slides


def decoded(pixel):
    """Return the (x, y) that a pixel of a coded slide contains."""
    r, g, b = (int(v) for v in pixel)
    return (b >> 4) << 8 | r, (b & 15) << 8 | g


def saved(paths):
    return [np.asarray(Image.open(path)) for path in paths]


def test_saved_tiles_prove_their_origin_scale_and_orientation(tmp_path, fake_reader, coded_slide):
    slide = fake_reader(coded_slide(900, 700), bounds=(310, 120, 500, 470), name="coded")
    extractor = TileExtractor(TileSpec((90, 70), (120, 110), Level(0)), mask_threshold=0)
    regions = extractor.extract(slide)
    assert regions[0].location == (310, 120), "the bounds' offset is in the location, once"
    paths = extractor.save(tmp_path)
    assert len(paths) == len(regions) == 4 * 4
    for region, path, tile in zip(regions, paths, saved(paths), strict=True):
        x, y = region.location
        assert region.box0 == (x, y, 90, 70)
        assert path.name.startswith(f"coded_x{x}_y{y}_w90_h70_l_0_r1.00.")
        assert tile.shape == (70, 90, 3)
        assert decoded(tile[0, 0]) == (x, y)
        assert decoded(tile[0, -1]) == (x + 89, y)
        assert decoded(tile[-1, 0]) == (x, y + 69)
    assert {call[3] for call in slide.reads} == {False}


def ramp(width, height):
    """Red grows across and green down, so area means are the values at the tile's centre."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 9)], axis=2).astype(np.uint8)


@pytest.mark.parametrize("resolution", [MPP(1.0), Magnification(10), MPP(0.65), MPP(0.5)])
def test_reduced_tiles_are_at_their_level_0_box(tmp_path, fake_reader, resolution):
    slide = fake_reader(
        ramp(250, 201), bounds=(31, 12, 210, 180), mpp=0.25, magnification=40, name="ramp"
    )
    extractor = TileExtractor(TileSpec((20, 15), resolution=resolution), mask_threshold=0)
    regions = extractor.extract(slide)
    assert len(regions) >= 4
    scale = resolution.downsample(slide)
    for region, tile in zip(regions, saved(extractor.save(tmp_path)), strict=True):
        x, y = region.location
        columns, rows = np.arange(20), np.arange(15)
        assert np.abs(tile[..., 0] - ((x + columns + 0.5) * scale - 0.5)).max() <= 0.51
        assert np.abs(tile[..., 1].T - ((y + rows + 0.5) * scale - 0.5)).max() <= 0.51
        assert (tile[..., 2] == 9).all()
        box = region.box0
        assert abs(tile[0, 0, 0] - (box.x + scale / 2 - 0.5)) <= 1.01


def test_padding_is_background_and_counts_as_such(tmp_path, fake_reader):
    slide = fake_reader(np.zeros((50, 70, 3), np.uint8), background=(200, 210, 220), name="dark")
    extractor = TileExtractor(TileSpec((40, 30), resolution=Level(0), edge="pad"), mask_threshold=0)
    regions = extractor.extract(slide)
    assert ratios(regions) == [1.0, 0.75, pytest.approx(2 / 3), 0.5]
    last = saved(extractor.save(tmp_path))[-1]
    assert (last[:20, :30] == 0).all()
    assert (last[20:] == (200, 210, 220)).all()
    assert (last[:, 30:] == (200, 210, 220)).all()


# Files


NAME = re.compile(
    r"(?P<slide>.+)_x(?P<x>-?\d+)_y(?P<y>-?\d+)_w(?P<w>\d+)_h(?P<h>\d+)"
    r"_(?P<res>l_\d+|mpp_[\d.]+|mag_[\d.]+x)_r(?P<ratio>\d\.\d\d)\.png"
)


@pytest.fixture
def fitted(fake_reader):
    slide = fake_reader(ramp(200, 130), mpp=0.25, magnification=40, name="slide_001")
    extractor = TileExtractor(
        TileSpec((40, 30), resolution=MPP(0.5)), np.eye(2, 3), mask_threshold=0.2
    )
    extractor.extract(slide)
    assert len(extractor.region_specs_) == 3
    return extractor


@pytest.mark.parametrize("call", ["to_csv", "to_json", "save"])
def test_writing_needs_a_fit_and_regions(tmp_path, call, fitted, fake_reader):
    with pytest.raises(RuntimeError, match="fit"):
        getattr(TileExtractor(SPEC), call)(tmp_path / "out")
    only_fitted = TileExtractor(fitted.tile_spec).fit(fitted.source_)
    with pytest.raises(RuntimeError, match=r"no regions.*slide_001"):
        getattr(only_fitted, call)(tmp_path / "out")
    with pytest.raises(RuntimeError, match=r"no regions.*slide_001"):
        getattr(fitted, call)(tmp_path / "out", regions=[])
    assert not (tmp_path / "out").exists()


def test_tables_are_written_to_the_given_folder_and_parents_are_created(tmp_path, fitted):
    csv = fitted.to_csv(tmp_path / "a" / "b")
    json = fitted.to_json(str(tmp_path / "c"))
    assert csv == tmp_path / "a" / "b" / "slide_001.csv"
    assert json == tmp_path / "c" / "slide_001.json"
    assert csv.is_file()
    assert json.is_file()
    assert len(csv.read_text().splitlines()) == 1 + len(fitted.region_specs_)
    chosen = fitted.to_csv(tmp_path / "d", regions=fitted.region_specs_[1:])
    assert chosen.read_text().splitlines() == [
        line for i, line in enumerate(csv.read_text().splitlines()) if i != 1
    ]


def test_a_region_without_a_slide_gets_its_level_0_box_from_the_fitted_one(tmp_path, fitted):
    bare = [RegionSpec((10, 20), (40, 30), MPP(0.5), 0.5)]
    row = fitted.to_csv(tmp_path, regions=bare).read_text().splitlines()[1]
    assert row == "slide_001,10,20,40,30,mpp_0.5,0.5,20,40,80,60"


def test_files_are_named_after_their_tiles(tmp_path, fitted):
    paths = fitted.save(tmp_path / "x" / "tiles")
    assert sorted(p.name for p in (tmp_path / "x" / "tiles").iterdir()) == sorted(
        p.name for p in paths
    )
    for region, path in zip(fitted.region_specs_, paths, strict=True):
        parts = NAME.fullmatch(path.name)
        assert parts["slide"] == "slide_001"
        assert (int(parts["x"]), int(parts["y"])) == region.location
        assert (int(parts["w"]), int(parts["h"])) == region.shape
        assert parts["res"] == "mpp_0.5"
        assert parts["ratio"] == f"{region.ratio:.2f}"


def test_the_number_of_threads_changes_no_byte(tmp_path, fitted):
    fitted.mask_threshold = 0
    fitted.extract()
    trees = []
    for workers in (1, 4):
        folder = tmp_path / str(workers)
        paths = fitted.save(folder, max_workers=workers)
        assert [p.name for p in paths] == [
            f"slide_001_x{r.location.x}_y{r.location.y}_w40_h30_mpp_0.5_r{r.ratio:.2f}.png"
            for r in fitted.region_specs_
        ]
        trees.append({p.name: p.read_bytes() for p in folder.iterdir()})
    assert trees[0] == trees[1]
    assert len(trees[0]) == 4
    with pytest.raises(ConfigError, match="max_workers=0"):
        fitted.save(tmp_path, max_workers=0)


def test_tiles_that_fail_are_counted_and_the_others_stay(tmp_path, fake_reader):
    slide = fake_reader(ramp(200, 90), name="hurt", broken=[(55, 35), (130, 10)])
    extractor = TileExtractor(TileSpec((50, 30), resolution=Level(0)), mask_threshold=0)
    extractor.extract(slide)
    with pytest.raises(RuntimeError) as caught:
        extractor.save(tmp_path)
    text = str(caught.value)
    assert "2 of 12" in text
    assert "hurt" in text
    assert "broken at (130, 10)" in text, "the first in order, not in time"
    left = sorted(p.name for p in tmp_path.iterdir())
    assert len(left) == 10
    assert all(NAME.fullmatch(name) for name in left), "nothing half-written"
    sound = fake_reader(ramp(200, 90), name="hurt")
    paths = TileExtractor(TileSpec((50, 30), resolution=Level(0)), mask_threshold=0)
    paths.extract(sound)
    whole = {p.name: p.read_bytes() for p in paths.save(tmp_path / "sound")}
    assert all((tmp_path / name).read_bytes() == whole[name] for name in left)


# A real slide, computed a second time with OpenSlide and NumPy alone


@pytest.fixture(scope="module")
def small_region(shared_slides):
    import openslide

    path = shared_slides / "CMU-1-Small-Region.svs"
    with openslide.OpenSlide(path) as slide:
        assert slide.dimensions == (2220, 2967)
        assert float(slide.properties["openslide.mpp-x"]) == 0.499
        assert slide.properties["openslide.objective-power"] == "20"
        pixels = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    return path, pixels


MPP0 = Fraction("0.499")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wish", "downsample", "size", "stride"),
    [
        (TileSpec((300, 200), (290, 417), MPP(1.0)), 1 / MPP0, (300, 200), (290, 417)),
        (
            TileSpec((151.3, 97.9), (400.7, 297.9), MPP(1.0), "um", "pad"),
            1 / MPP0,
            (151, 98),
            (Fraction("400.7"), Fraction("297.9")),
        ),
        (
            TileSpec((300, 200), (290, 417), Magnification(10), edge="shift"),
            Fraction(2),
            (300, 200),
            (290, 417),
        ),
        (
            TileSpec((151.3, 97.9), (400.7, 297.9), Magnification(10), "um"),
            Fraction(2),
            (152, 98),
            (Fraction("400.7") / (2 * MPP0), Fraction("297.9") / (2 * MPP0)),
        ),
        (TileSpec((257, 180), (600, 700), Level(0)), Fraction(1), (257, 180), (600, 700)),
        (
            TileSpec((151.3, 97.9), (300.7, 397.9), Level(0), "um", "shift"),
            Fraction(1),
            (303, 196),
            (Fraction("300.7") / MPP0, Fraction("397.9") / MPP0),
        ),
    ],
    ids=["mpp", "mpp-um-pad", "mag-shift", "mag-um", "level", "level-um-shift"],
)
def test_a_real_slide_agrees_with_openslide_and_numpy(
    tmp_path, small_region, wish, downsample, size, stride
):
    path, pixels = small_region
    x_axis, y_axis = (
        axis_twin(Fraction(0), extent / downsample, size[i], Fraction(stride[i]), wish.edge.value)
        for i, extent in enumerate((2220, 2967))
    )

    def ratio_at(x, y):
        left, right = (Fraction(v) * downsample * 23 / 2220 for v in (x, x + size[0]))
        top, bottom = (Fraction(v) * downsample * 37 / 2967 for v in (y, y + size[1]))
        return exact_coverage(TISSUE, left, top, right, bottom)

    cells = {(x, y): ratio_at(x, y) for y in y_axis for x in x_axis}
    kept = {corner: ratio for corner, ratio in cells.items() if ratio >= Fraction("0.45")}
    assert 2 <= len(kept) < len(cells)
    padded = np.pad(pixels, ((0, 700), (0, 700), (0, 0)), constant_values=255)
    with open_slide(path) as slide:
        extractor = TileExtractor(wish, TISSUE, mask_threshold=0.45)
        regions = extractor.extract(slide)
        assert len(extractor.candidates_["ratio"]) == len(cells)
        assert boxes(regions) == [(*corner, *size) for corner in kept]
        assert ratios(regions) == pytest.approx([float(v) for v in kept.values()], abs=2e-11)
        tiles = saved(extractor.save(tmp_path))
    for region, tile in zip(regions, tiles, strict=True):
        corners = [
            round(Fraction(v) * downsample)
            for v in (
                *region.location,
                *(a + b for a, b in zip(region.location, size, strict=True)),
            )
        ]
        x0, y0, x1, y1 = corners
        assert region.box0 == (x0, y0, x1 - x0, y1 - y0)
        assert tile.shape == (size[1], size[0], 3)
        left, top = (Fraction(v) * downsample for v in region.location)
        exact = exact_mean(padded, left, top, downsample, size)
        assert np.abs(tile - exact).max() <= 0.5 + 1e-3


@pytest.mark.slow
def test_level_0_tiles_are_openslides_to_the_bit(tmp_path, small_region):
    import openslide

    path, _ = small_region
    with open_slide(path) as slide, openslide.OpenSlide(path) as peer:
        extractor = TileExtractor(
            TileSpec((311, 173), (500, 433), Level(0), edge="shift"), mask_threshold=0
        )
        regions = extractor.extract(slide)
        tiles = saved(extractor.save(tmp_path))
        assert len(tiles) == 5 * 7
        for region, tile in zip(regions, tiles, strict=True):
            truth = peer.read_region(region.location, 0, region.shape).convert("RGB")
            assert np.array_equal(tile, np.asarray(truth))


def test_a_slide_without_mpp_is_tiled_by_level_or_with_an_override(tmp_path, shared_slides):
    path = shared_slides / "TCGA-CR-7395-01A-01-TS1.svs"
    by_mpp = TileExtractor(TileSpec((512, 300), resolution=MPP(0.5)), mask_threshold=0)
    with open_slide(path) as slide:
        with pytest.raises(ResolutionError) as caught:
            by_mpp.fit(slide)
        text = str(caught.value)
        assert "TCGA-CR-7395-01A-01-TS1" in text
        assert "needs the slide's mpp" in text
        assert "no openslide.mpp-x" in text
        assert "open_slide(path, mpp=…)" in text
        assert "reader.mpp" not in text
        assert "\n" not in text
        level = TileExtractor(TileSpec((512, 300), resolution=Level(1)), mask_threshold=0)
        assert len(level.extract(slide)) == (2221 // 512) * (1783 // 300)
        microns = TileExtractor(TileSpec(100, resolution=Level(1), unit="um"), mask_threshold=0)
        with pytest.raises(ResolutionError, match=r"microns needs the slide's mpp"):
            microns.extract(slide)
    with open_slide(path, mpp=0.25) as slide:
        found = by_mpp.extract(slide)
        assert len(found) == (4443 // 2 // 512) * (3567 // 2 // 300)
        assert found[0].box0 == (0, 0, 1024, 600)
        assert "override" in slide.provenance["mpp"]
        assert len(by_mpp.save(tmp_path, regions=found[:2])) == 2
