"""Readers: any box at any resolution, and a specific error for each file that is no slide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import numpy as np
import openslide
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import exact_mean
from PIL import Image

from tiler import MPP, Level, Magnification
from tiler.errors import ConfigError, DepthError, LimitError, OpenError, ReadError, ResolutionError
from tiler.geometry import Size
from tiler.pixels.area import area_mean
from tiler.readers import (
    ImageReader,
    OpenSlideReader,
    TiffReader,
    base,
    open_slide,
)
from tiler.readers.openslide import reader as openslide_reader

NOISE = np.random.default_rng(3).integers(0, 256, (90, 130, 3), dtype=np.uint8)
TINT = (200, 30, 77)


# Slides of arrays


def places(low: int, high: int) -> st.SearchStrategy[Fraction]:
    """Whole pixels and fractions of them."""
    return st.one_of(
        st.integers(low, high).map(Fraction), st.fractions(low, high, max_denominator=64)
    )


@given(
    x=places(-20, 40),
    y=places(-30, 40),
    width=st.integers(1, 30),
    height=st.integers(1, 30),
    scale=st.sampled_from([1000, 499, 768]).flatmap(
        lambda d: st.integers(d, 9 * d).map(lambda n: Fraction(n, d))
    ),
)
def test_a_region_is_the_exact_area_mean_and_background_beyond(
    fake_reader, x, y, width, height, scale
):
    slide = fake_reader(NOISE, mpp=1.0, background=TINT)
    margin = 700
    framed = np.empty((90 + 2 * margin, 130 + 2 * margin, 3), np.uint8)
    framed[:] = TINT
    framed[margin : margin + 90, margin : margin + 130] = NOISE
    place = float(x), float(y)
    got = slide.read_region(place, (width, height), MPP(float(scale)), bounded=False)
    assert got.dtype == np.uint8
    assert got.shape == (height, width, 3)
    exact = exact_mean(framed, x * scale + margin, y * scale + margin, scale, (width, height))
    assert np.abs(got - exact).max() <= 0.5 + 2e-3


@given(x=st.integers(-20, 140), y=st.integers(-20, 100), target=st.sampled_from([1.0, 1.7, 2.0]))
def test_a_whole_location_reads_the_same_bytes_as_float_and_with_rounding_errors(
    fake_reader, x, y, target
):
    slide = fake_reader(NOISE, NOISE[::2, ::2], mpp=1.0, bounds=(3, 5, 100, 70))
    one, two, three = (
        slide.read_region(place, (7, 5), MPP(target))
        for place in [(x, y), (float(x), np.float64(y)), (x + 1e-9, y - 1e-9)]
    )
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() == three.tobytes() or target == 1.7  # a mean of n + 0.5 may round down


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 40),
    scale=st.tuples(*[st.floats(1, 5)] * 2),
    corner=st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2),
)
def test_an_area_mean_is_the_share_of_the_sums_up_to_its_edges(height, width, scale, corner):
    noise = np.random.default_rng(height).integers(0, 256, (1501, 202, 3), dtype=np.uint8)
    sums = noise.astype(np.float64)
    for axis, count in enumerate((height, width)):
        sums = np.insert(np.cumsum(sums, axis), 0, 0, axis)
        edges = corner[axis] + scale[axis] * np.arange(count + 1)
        before, part = np.floor(edges).astype(int), edges % 1
        lower, upper = sums.take(before, axis), sums.take(before + 1, axis)
        part = part.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        sums = np.diff(lower + part * (upper - lower), axis=axis) / scale[axis]
    got = area_mean(noise, corner[1], corner[0], scale[1], scale[0], Size(width, height))
    assert got.shape == (height, width, 3)
    assert np.abs(got - sums).max() <= 0.5 + 2e-3


@given(
    x=st.integers(-5, 30),
    y=st.integers(-5, 30),
    width=st.integers(1, 30),
    height=st.integers(1, 30),
    target=st.sampled_from([1.0, 1.7, 2.0, 3.0, 4.0, 7.3]),
)
def test_transposing_the_slide_transposes_the_pixels(fake_reader, x, y, width, height, target):
    slide = fake_reader(NOISE, NOISE[::2, ::2], mpp=1.0, bounds=(11, 5, 100, 60))
    turned = fake_reader(
        NOISE.transpose(1, 0, 2),
        NOISE[::2, ::2].transpose(1, 0, 2),
        mpp=1.0,
        bounds=(5, 11, 60, 100),
    )
    here = slide.read_region((x, y), (width, height), MPP(target))
    there = turned.read_region((y, x), (height, width), MPP(target)).transpose(1, 0, 2)
    assert np.abs(here.astype(int) - there).max() <= (0 if target in (1, 2) else 1)


def test_level_0_is_copied_with_the_origin_in_the_corner(fake_reader, coded_slide):
    picture = coded_slide(300, 270)
    slide = fake_reader(picture)
    got = slide.read_region((17, 250), (40, 9), Level(0))
    assert np.array_equal(got, picture[250:259, 17:57])


@pytest.mark.parametrize(
    ("resolution", "corner"),
    [(Level(0), (37, 14)), (MPP(1.0), (19, 7)), (Magnification(8), (8, 3)), (MPP(0.75), (25, 10))],
)
def test_bounded_coordinates_count_from_the_scanned_area(fake_reader, resolution, corner):
    slide = fake_reader(NOISE, bounds=(37, 14, 80, 60), mpp=0.5, magnification=40)
    bounded = slide.read_region((2, 3), (7, 5), resolution)
    absolute = slide.read_region((corner[0] + 2, corner[1] + 3), (7, 5), resolution, bounded=False)
    assert np.array_equal(bounded, absolute)
    elsewhere = slide.read_region((2, 3), (7, 5), resolution, bounded=False)
    assert not np.array_equal(bounded, elsewhere)


@pytest.mark.parametrize(
    ("mpp", "target", "bounds", "corner"),
    [
        (0.1, 0.3, (3, 6), (1, 2)),
        (0.499, 1.0, (499, 998), (250, 499)),
        (0.2, 0.7, (7, 35), (2, 10)),
    ],
)
def test_float_dust_does_not_move_the_corner_of_the_bounds(
    fake_reader, mpp, target, bounds, corner
):
    slide = fake_reader(np.tile(NOISE, (12, 5, 1)), bounds=(*bounds, 60, 40), mpp=mpp)
    bounded = slide.read_region((0, 0), (5, 4), MPP(target))
    assert np.array_equal(bounded, slide.read_region(corner, (5, 4), MPP(target), bounded=False))


@pytest.mark.parametrize(
    ("downsample", "level"),
    [(1, 0), (2, 0), (3.9, 0), (4 / 1.019, 1), (4, 1), (5, 1), (15.5, 1), (16, 2), (99, 2)],
)
def test_the_coarsest_level_that_is_fine_enough_is_read(fake_reader, downsample, level):
    shades = (10, 110, 210)
    levels = [
        np.full((1280 // s, 1920 // s, 3), shade, np.uint8)
        for s, shade in zip((1, 4, 16), shades, strict=True)
    ]
    slide = fake_reader(*levels, mpp=0.25)
    got = slide.read_region((1, 2), (6, 4), MPP(0.25 * downsample))
    assert (got == shades[level]).all()


@pytest.mark.parametrize(
    "target", [0.985, 1.0, 1.015, 1.3, 1.97, 2.03, 3.7, 3.93, 4.016, 4.07, 6.5]
)
def test_no_other_scale_is_ever_returned(fake_reader, target):
    # A ramp: the mean over any box is its value at the centre, whatever level it is read from.
    ramps = []
    for s in (1, 2, 4):
        y, x = (np.arange(n // s) * s + (s - 1) / 2 for n in (240, 248))
        grid = np.stack(np.broadcast_arrays(x[None, :], y[:, None], 0.0), axis=2)
        ramps.append(np.rint(grid).astype(np.uint8))
    slide = fake_reader(*ramps, mpp=1.0)
    # In the far corner, where a scale 2 % off is four pixels off.
    left, top = int(248 / target) - 11, int(240 / target) - 9
    got = slide.read_region((left, top), (11, 9), MPP(target)).astype(float)
    columns, rows = left + np.arange(11) + 0.5, top + np.arange(9) + 0.5
    # Rounded when a level was made and when it was read, and a step within a level's pixel.
    assert np.abs(got[..., 0] - (columns * target - 0.5)).max() <= 1.5
    assert np.abs(got[..., 1].T - (rows * target - 0.5)).max() <= 1.5


def test_enlarging_is_refused_unless_allowed(fake_reader):
    with pytest.raises(ResolutionError, match=r"fake.*finer than the scan.*allow_upsampling"):
        fake_reader(NOISE, mpp=0.5).read_region((0, 0), (4, 4), MPP(0.25))
    allowed = fake_reader(NOISE, mpp=0.5, allow_upsampling=True)
    got = allowed.read_region((6, 4), (8, 6), MPP(0.25))
    assert np.array_equal(got, NOISE[2:5, 3:7].repeat(2, axis=0).repeat(2, axis=1))


def test_outside_is_background_and_never_black(fake_reader):
    slide = fake_reader(np.zeros((9, 7, 3), np.uint8), mpp=1.0)
    assert (slide.read_region((100, 3), (5, 4), Level(0)) == 255).all()
    assert (slide.read_region((-30, -30), (5, 4), MPP(2.5)) == 255).all()
    corner = slide.read_region((-2, -3), (4, 5), Level(0))
    assert (corner[3:, 2:] == 0).all()
    assert corner.sum() == 255 * 3 * (20 - 4)


@pytest.mark.parametrize(
    ("location", "shape", "words"),
    [
        ((0, 0), (0, 4), "shape"),
        ((0, 0), (2.5, 4), "shape"),
        ((0.5, math.nan), (2, 4), "location"),
        ((math.inf, 1), (2, 4), "location"),
        (("a", 1), (2, 4), "location"),
        ((1, 2, 3), (2, 4), "location"),
    ],
)
def test_a_bad_box_is_named(fake_reader, location, shape, words):
    with pytest.raises(ConfigError, match=words):
        fake_reader(NOISE).read_region(location, shape, Level(0))


@pytest.mark.parametrize("size", [(13, 9), (40, 31), (80, 60), (1, 1), (100, 3)])
def test_a_thumbnail_is_the_whole_bounded_area(fake_reader, size):
    slide = fake_reader(NOISE, bounds=(37, 14, 80, 60))
    got = slide.thumbnail(size)
    assert got.shape == (size[1], size[0], 3)
    exact = exact_mean(NOISE, 37, 14, (Fraction(80, size[0]), Fraction(60, size[1])), size)
    assert np.abs(got - exact).max() <= 0.5 + 2e-3


def test_a_thumbnail_is_read_from_the_level_that_is_fine_enough(fake_reader):
    level1 = NOISE[:60, :96]
    slide = fake_reader(np.zeros((240, 384, 3), np.uint8), level1, bounds=(40, 20, 300, 200))
    got = slide.thumbnail((37, 24))
    exact = exact_mean(level1, 10, 5, (Fraction(75, 37), Fraction(50, 24)), (37, 24))
    assert np.abs(got - exact).max() <= 0.5 + 2e-3
    assert (slide.thumbnail((150, 60)) == 0).all(), "across it needs level 0"


def test_a_thumbnail_in_strips_is_the_same(fake_reader, monkeypatch):
    slide = fake_reader(NOISE, bounds=(3, 4, 121, 83))
    whole = slide.thumbnail((17, 23))
    monkeypatch.setattr(base, "_STRIP_BYTES", 2000)
    strips = slide.thumbnail((17, 23))
    assert np.abs(whole.astype(int) - strips).max() <= 1
    assert np.mean(whole != strips) < 0.01


def test_a_thumbnail_of_empty_bounds_is_background(fake_reader):
    slide = fake_reader(NOISE, bounds=(5, 6, 0, 0), background=TINT)
    assert (slide.thumbnail((4, 3)) == TINT).all()


def test_a_thumbnail_needs_a_size(fake_reader):
    with pytest.raises(ConfigError, match="thumbnail"):
        fake_reader(NOISE).thumbnail((0, 3))


def test_a_reader_is_closed_when_its_context_ends(fake_reader):
    with fake_reader(NOISE) as slide:
        assert not slide.closed
    assert slide.closed


# OpenSlide: bounds, background, transparency, metadata (a handle of our own making)


class Handle:
    """A substitute of ``openslide.OpenSlide`` with one RGBA level."""

    rgba = np.zeros((60, 80, 4), np.uint8)
    properties: Mapping[str, str] = MappingProxyType({})

    def __init__(self, path):
        height, width = self.rgba.shape[:2]
        self.dimensions = (width, height)
        self.level_count = 1
        self.level_dimensions = (self.dimensions,)
        self.level_downsamples = (1.0,)

    def read_region(self, location, level, size):
        framed = Image.new("RGBA", size, (0, 0, 0, 0))
        framed.paste(Image.fromarray(self.rgba), (-location[0], -location[1]))
        return framed

    def close(self):
        pass


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """``opened(properties, rgba, **reader_arguments)``: a reader over a ``Handle``."""

    def build(properties, rgba=Handle.rgba, **arguments):
        handle = type("Made", (Handle,), {"properties": properties, "rgba": rgba})
        fake = SimpleNamespace(**{**vars(openslide), "OpenSlide": handle})
        monkeypatch.setattr(openslide_reader, "openslide", fake)
        path = tmp_path / "made.svs"
        path.write_bytes(b"not looked at")
        return OpenSlideReader(path, **arguments)

    return build


def test_bounds_are_read_and_cut_to_the_slide(opened):
    def given_bounds(*numbers):
        names = ("x", "y", "width", "height")
        return {f"openslide.bounds-{n}": str(v) for n, v in zip(names, numbers, strict=True)}

    assert opened({}).bounds == (0, 0, 80, 60)
    assert opened(given_bounds(10, 20, 30, 15)).bounds == (10, 20, 30, 15)
    assert opened(given_bounds(-5, 20, 30, 90)).bounds == (0, 20, 25, 40)


def test_transparent_pixels_become_the_slides_background(opened):
    rgba = np.zeros((60, 80, 4), np.uint8)
    rgba[10:20, 30:50] = (90, 60, 30, 255)
    rgba[10, 30] = (100, 50, 0, 51)
    white = opened({}, rgba).read_region((20, 5), (40, 30), Level(0))
    assert white[5, 10].tolist() == [224, 214, 204]
    assert white[14, 29].tolist() == [90, 60, 30]
    assert (white[15:] == 255).all()
    tinted = opened({"openslide.background-color": "C81E4D"}, rgba)
    assert (tinted.read_region((0, 0), (30, 60), Level(0)) == TINT).all()
    assert (tinted.read_region((-50, 900), (30, 20), Level(0)) == TINT).all()


MPP_XY = ("openslide.mpp-x", "openslide.mpp-y")


@pytest.mark.parametrize(
    ("pair", "mpp", "words"),
    [
        (("0.25", "0.25"), 0.25, ["openslide.mpp-x", "0.25"]),
        (("0.242535", "0.242647"), 0.242591, ["0.242535", "0.242647"]),
        (("352.78", "352.78"), None, ["352.78", "implausible"]),
        (("0.25", "0.5"), None, ["0.25", "0.5", "2 %"]),
        (("nan", "nan"), None, ["implausible"]),
        (("zero", "0.25"), None, ["'zero'", "not numbers"]),
        (("0.25", None), None, ["mpp-y"]),
        ((None, None), None, ["mpp-x"]),
    ],
)
def test_mpp_is_taken_from_metadata_or_not_at_all(opened, pair, mpp, words):
    properties = {k: v for k, v in zip(MPP_XY, pair, strict=True) if v is not None}
    properties["openslide.vendor"] = "aperio"
    slide = opened(properties)
    assert slide.mpp == (None if mpp is None else pytest.approx(mpp))
    for word in words:
        assert word in slide.provenance["mpp"]
    if mpp is None:
        with pytest.raises(ResolutionError, match=r"open_slide\(path, mpp="):
            slide.read_region((0, 0), (4, 4), MPP(1.0))
    overridden = opened(properties, mpp=352.78)
    assert overridden.mpp == 352.78
    assert "override" in overridden.provenance["mpp"]
    assert words[-1] in overridden.provenance["mpp"], "what the file said is kept beside it"


@pytest.mark.parametrize(("text", "power"), [("40", 40), ("abc", None), ("0", None), (None, None)])
def test_magnification_is_taken_from_metadata_or_not_at_all(opened, text, power):
    properties = {} if text is None else {"openslide.objective-power": text}
    slide = opened(properties)
    assert slide.magnification == power
    if power is None:
        with pytest.raises(ResolutionError, match=r"open_slide\(path, magnification="):
            slide.read_region((0, 0), (4, 4), Magnification(10))
    assert opened(properties, magnification=20).magnification == 20


@pytest.mark.parametrize("field", ["mpp", "magnification"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "0.5"])
def test_a_bad_override_is_named(opened, field, value):
    with pytest.raises(ConfigError, match=f"reader.{field}=") as caught:
        opened({}, **{field: value})
    assert repr(value) in str(caught.value)


# Real slides


@pytest.mark.parametrize(
    ("file", "size", "downsamples", "mpp", "power"),
    [
        ("CMU-1-Small-Region.svs", (2220, 2967), (1,), 0.499, 20),
        ("TCGA-CR-7395-01A-01-TS1.svs", (4443, 3567), (1, 2), None, None),
        ("test3-DAPI-2-(387).ndpi", (3968, 4864), (1, 2, 4, 8, 16, 32, 64), 0.2281750559, 40),
        ("boxes.tiff", (300, 250), (1, 2, 4, 8), None, None),
        ("small.svs", (16, 16), (1,), 0.499, 20),
        ("boxes_0.dcm", None, (1,), None, None),
        ("boxes_1.dcm", None, (1,), None, None),
    ],
)
def test_real_slides_have_the_facts_of_openslide(
    shared_slides, file, size, downsamples, mpp, power
):
    path = shared_slides / file
    with open_slide(path) as slide, openslide.OpenSlide(path) as peer:
        assert isinstance(slide, OpenSlideReader | TiffReader)
        assert slide.name == path.stem
        assert slide.path == path
        assert slide.dimensions == peer.dimensions
        assert slide.bounds == (0, 0, *peer.dimensions)
        assert slide.level_dimensions == peer.level_dimensions
        assert slide.level_downsamples == downsamples
        if size is not None:
            assert slide.dimensions == size
            assert slide.mpp == (None if mpp is None else pytest.approx(mpp))
            assert slide.magnification == power
        width, height = slide.dimensions
        x, y = width // 3, height // 2
        w, h = min(97, width - x), min(61, height - y)
        got = slide.read_region((x, y), (w, h), Level(0))
        assert np.array_equal(got, np.asarray(peer.read_region((x, y), 0, (w, h)).convert("RGB")))
        for level, (across, down) in enumerate(peer.level_dimensions):
            box = (min(across, 120), min(down, 90))
            truth = peer.read_region((0, 0), level, box).convert("RGB")
            assert np.array_equal(slide.read_region((0, 0), box, Level(level)), np.asarray(truth))


def test_a_level_of_another_vendor_is_read_at_its_place(shared_slides):
    path = shared_slides / "test3-DAPI-2-(387).ndpi"
    with open_slide(path) as slide, openslide.OpenSlide(path) as peer:
        level2 = np.asarray(peer.read_region((0, 0), 2, peer.level_dimensions[2]).convert("RGB"))
        assert level2.std() > 1
        got = slide.read_region((333, 401), (150, 120), Level(2))
        assert np.array_equal(got, level2[401:521, 333:483])
        by_power = slide.read_region((333, 401), (150, 120), Magnification(10))
        assert np.array_equal(by_power, got)
        # Six level-0 pixels each: from level 2, reduced by one and a half.
        reduced = slide.read_region((200, 250), (101, 77), Magnification(40 / 6))
        exact = exact_mean(level2, Fraction(300), Fraction(375), Fraction(3, 2), (101, 77))
        assert np.abs(reduced - exact).max() <= 0.5 + 2e-3


@pytest.mark.slow
def test_a_level_with_a_fractional_downsample_stays_within_half_a_pixel(shared_slides):
    path = shared_slides / "TCGA-CR-7395-01A-01-TS1.svs"
    with open_slide(path) as slide, openslide.OpenSlide(path) as peer:
        level1 = np.asarray(peer.read_region((0, 0), 1, peer.level_dimensions[1]).convert("RGB"))
        level1 = level1.astype(int)
        for x, y in ((300, 400), (777, 1001), (1000, 900), (1900, 1500)):
            got = slide.read_region((x, y), (200, 150), Level(1))

            def distance(right, down, got=got, x=x, y=y):
                there = level1[y + down : y + down + 150, x + right : x + right + 200]
                return np.abs(got - there).mean()

            neighbours = [(1, 0), (-1, 0), (0, 1), (0, -1)]
            assert distance(0, 0) < min(distance(*step) for step in neighbours)


def test_72_dpi_in_a_tiff_is_no_mpp(shared_slides):
    with open_slide(shared_slides / "boxes.tiff") as slide:
        with pytest.raises(ResolutionError) as caught:
            slide.read_region((0, 0), (10, 10), MPP(0.5))
        for word in ("boxes", "352.778", "implausible", "0.05", "20", "open_slide(path, mpp="):
            assert word in str(caught.value)
    with open_slide(shared_slides / "boxes.tiff", mpp=0.25, magnification=40) as slide:
        by_mpp = slide.read_region((3, 4), (50, 40), MPP(0.5))
        assert np.array_equal(by_mpp, slide.read_region((3, 4), (50, 40), Level(1)))
        assert np.array_equal(by_mpp, slide.read_region((3, 4), (50, 40), Magnification(20)))


def test_a_corrupt_tile_fails_alone(shared_slides, tmp_path):
    data = bytearray((shared_slides / "CMU-1-Small-Region.svs").read_bytes())
    data[600_000:604_096] = bytes(4096)
    path = tmp_path / "hurt.svs"
    path.write_bytes(data)
    with (
        open_slide(path) as slide,
        openslide.OpenSlide(shared_slides / "CMU-1-Small-Region.svs") as sound,
    ):
        errors, same = {}, 0
        for y in range(0, 2967 - 240, 240):
            for x in range(0, 2220 - 240, 240):
                truth = np.asarray(sound.read_region((x, y), 0, (240, 240)).convert("RGB"))
                try:
                    got = slide.read_region((x, y), (240, 240), Level(0))
                except ReadError as error:
                    errors[x, y] = error
                else:
                    same += np.array_equal(got, truth)
        assert same == 9 * 12 - 1
        (((x, y), error),) = errors.items()
        assert (error.slide, error.level, error.x, error.y) == ("hurt", 0, x, y)
        assert str(error).startswith(f"E_READ slide=hurt: level 0 at ({x}, {y}) 240x240")
        assert "Corrupt JPEG data" in str(error)


# Files that are no slides


BAD = {
    "empty.svs": (lambda path: path.write_bytes(b""), ["empty", "0 bytes"]),
    "text.svs": (
        lambda path: path.write_text("Dear reader,\nthis is no slide.\n"),
        ["not a slide", "starts with plain text"],
    ),
    "page.svs": (
        lambda path: path.write_text("<!DOCTYPE html>\n<title>404</title>"),
        ["not a slide", "starts with HTML"],
    ),
    "noise.svs": (
        lambda path: path.write_bytes(bytes(range(256)) * 4),
        ["not recognised", "1,024 bytes"],
    ),
    "missing.svs": (lambda path: None, ["no such file"]),
    "folder.svs": (lambda path: path.mkdir(), ["is a folder"]),
    "dangling.svs": (
        lambda path: path.symlink_to(path.parent / "gone"),
        ["link", "points to nothing"],
    ),
    "loop.svs": (lambda path: path.symlink_to(path), ["symbolic links"]),
    "half.svs": (
        lambda path: path.write_bytes(b"II*\0" + (5000).to_bytes(4, "little") + bytes(992)),
        ["cut off", "1,000 bytes", "5,000", "beyond the end"],
    ),
    "strips.tif": (
        lambda path: Image.fromarray(NOISE).save(path),
        ["not tiled", "vips tiffsave --tile --pyramid", "reader=image"],
    ),
}


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    for name, (make, _) in BAD.items():
        make(folder / name)
    return folder


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("opener", [open_slide, OpenSlideReader])
def test_the_error_of_each_bad_file_names_the_problem(bad_files, name, opener):
    with pytest.raises(OpenError) as caught:
        opener(bad_files / name)
    text = str(caught.value)
    assert text.startswith(f"E_OPEN slide={Path(name).stem}: {name}")
    assert "\n" not in text
    for word in BAD[name][1]:
        assert word in text


def test_a_damaged_index_file_is_not_quoted(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/Slidedat.ini").write_text("[GENERAL]\nmy password is hunter2\n")
    (tmp_path / "a.mrxs").write_bytes(b"\xff\xd8\xff\0")
    with pytest.raises(OpenError, match=r"a\.mrxs") as caught:
        open_slide(tmp_path / "a.mrxs")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken.svs", ["broken.svs", "not a slide", "starts with plain text"]),
        ("unopenable.tiff", ["unopenable.tiff", "Unsupported TIFF compression: 52479"]),
    ],
)
def test_the_errors_of_openslides_bad_files_name_the_problem(shared_slides, name, words):
    with pytest.raises(OpenError) as caught:
        open_slide(shared_slides / name)
    for word in words:
        assert word in str(caught.value)


def test_a_half_copied_slide_is_named_as_such(shared_slides, tmp_path):
    data = (shared_slides / "CMU-1-Small-Region.svs").read_bytes()
    path = tmp_path / "half.svs"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(OpenError, match=rf"half\.svs is cut off: {len(data) // 2:,} bytes"):
        open_slide(path)


def test_a_slide_that_opens_and_cannot_be_read_fails_when_read(shared_slides):
    with open_slide(shared_slides / "unreadable.svs") as slide:
        for _ in range(2):
            with pytest.raises(ReadError, match=r"E_READ slide=unreadable: .*Bogus marker length"):
                slide.read_region((0, 0), (16, 16), Level(0))


# Plain images


def test_a_picture_is_a_slide_of_one_level(tmp_path):
    path = tmp_path / "thumb.png"
    Image.fromarray(NOISE).save(path)
    with open_slide(path) as slide:
        assert isinstance(slide, ImageReader)
        assert slide.name == "thumb"
        assert slide.dimensions == (130, 90)
        assert slide.bounds == (0, 0, 130, 90)
        assert slide.level_downsamples == (1.0,)
        got = slide.read_region((100, 70), (40, 30), Level(0))
        assert np.array_equal(got[:20, :30], NOISE[70:, 100:])
        assert (got[20:] == 255).all()
        assert (got[:, 30:] == 255).all()
        with pytest.raises(ResolutionError, match=r"thumb.*mpp.*plain.*open_slide\(path, mpp="):
            slide.read_region((0, 0), (4, 4), MPP(1.0))
    with open_slide(path, mpp=8.0) as slide:
        assert slide.read_region((0, 0), (65, 45), MPP(16.0)).shape == (45, 65, 3)


def test_a_jpeg_is_a_picture_and_a_strip_tiff_with_reader_image(tmp_path):
    Image.fromarray(NOISE).save(tmp_path / "a.jpg")
    Image.fromarray(NOISE).save(tmp_path / "b.tif")
    assert isinstance(open_slide(tmp_path / "a.jpg"), ImageReader)
    pixels = ImageReader(tmp_path / "b.tif").read_region((0, 0), (130, 90), Level(0))
    assert np.array_equal(pixels, NOISE)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1"])
def test_transparency_becomes_white_and_grey_becomes_rgb(tmp_path, mode):
    rgba = np.dstack([NOISE, np.full((90, 130), 255, np.uint8)])
    rgba[:30, :, 3] = 0
    picture = Image.fromarray(rgba)
    if mode == "P":
        picture = picture.quantize(32)
    elif mode != "RGBA":
        picture = picture.convert(mode)
    picture.save(tmp_path / "x.png")
    pixels = ImageReader(tmp_path / "x.png").read_region((0, 0), (130, 90), Level(0))
    assert pixels.shape == (90, 130, 3)
    assert pixels[30:].std() > 10
    if mode in ("RGBA", "LA", "P"):
        assert (pixels[:30] == 255).all()
    if mode == "RGBA":
        assert np.array_equal(pixels[30:], NOISE[30:])


def test_pictures_that_would_lose_depth_or_are_too_large_are_refused(tmp_path):
    deep = tmp_path / "deep.png"
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 99).save(deep)
    with pytest.raises(DepthError, match=r"E_DEPTH slide=deep: deep\.png has 16 bits per sample"):
        open_slide(deep)
    wide = tmp_path / "wide.png"
    Image.fromarray(NOISE).save(wide)
    with pytest.raises(LimitError, match=r"130x90.*ImageReader\(path, max_pixels="):
        ImageReader(wide, max_pixels=130 * 90 - 1)
    assert ImageReader(wide, max_pixels=130 * 90).dimensions == (130, 90)


def test_a_file_with_only_the_beginning_of_a_picture_is_refused(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(NOISE).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(OpenError, match=r"E_OPEN slide=cut: cut\.png"):
        open_slide(path)
