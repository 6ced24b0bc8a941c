"""Levels of a pyramid: downsample, the part that shows the slide, images that are no levels."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import openslide
import pytest
import tifffile
from dicom_files import write_dicom
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tiler import MPP, Level, TileExtractor, TileSpec
from tiler.errors import ResolutionError
from tiler.geometry import Size
from tiler.masks import OtsuMask
from tiler.readers import OpenSlideReader, TiffReader, open_slide
from tiler.readers.level_fit import StoredLevel
from tiler.readers.openslide.dicom import stated_downsamples
from tiler.readers.openslide.levels import exact_location, levels_of
from tiler.readers.pyramid import pyramid

APERIO = "Aperio Image Library v11\r\n|AppMag = 40|MPP = 0.25"
ROUNDINGS = {"floor": math.floor, "ceil": math.ceil, "half up": lambda v: math.floor(v + 0.5)}


def sizes_of(base, *levels, tile=None):
    """Return the downsamples that ``pyramid`` finds for sizes with one native tile."""
    tile = tile and Size(*tile)
    return pyramid([StoredLevel(Size(*size), tile) for size in (base, *levels)])


# The decision: sizes in, downsamples out


@pytest.mark.parametrize(
    ("base", "levels", "tile", "downsamples"),
    [
        # openslide-python's boxes.tiff, and a slide of TCGA: rounded down
        ((300, 250), [(150, 125), (75, 62), (37, 31)], (64, 64), (2, 4, 8)),
        ((4443, 3567), [(2221, 1783)], (256, 256), (2,)),
        # Aperio's CMU-1 and Leica's Leica-1, of OpenSlide's test data
        ((46000, 32914), [(11500, 8228), (2875, 2057)], (240, 240), (4, 16)),
        ((106259, 306939), [(26564, 76734), (6641, 19183), (1660, 4795)], (512, 512), (4, 16, 64)),
        # Aperio's usual steps: 4, 4, 2
        ((99999, 70001), [(24999, 17500), (6249, 4375), (3124, 2187)], (256, 256), (4, 16, 32)),
        # Rounded up, and steps of three
        ((1001, 704), [(501, 352), (251, 176)], (64, 64), (2, 4)),
        ((1000, 700), [(333, 233), (111, 77), (37, 25)], (16, 16), (3, 9, 27)),
        # The first level fits 3 alone, the others 9 and 27 among many
        ((700, 500), [(256, 192), (128, 64), (64, 64)], (64, 64), (3, 9, 27)),
        # CAMELYON17's patient_010_node_4: padded to tiles of 512
        (
            (97792, 217088),
            [
                *((49152, 108544), (24576, 54272), (12288, 27136), (6144, 13824), (3072, 7168)),
                *((1536, 3584), (1024, 2048), (512, 1024), (512, 512)),
            ],
            (512, 512),
            (2, 4, 8, 16, 32, 64, 128, 256, 512),
        ),
        # No whole number fits
        ((1000, 750), [(400, 300)], None, (2.5,)),
        ((1000, 700), [(400, 288)], (16, 16), (2.5,)),
        # A few pixels fit thousands of numbers: equal steps decide, or powers of two
        ((3000, 2000), [(750, 500), (187, 125), (46, 31), (11, 7), (2, 1)], None, 4 ** np.r_[1:6]),
        ((3000, 2000), [(11, 7)], None, (256,)),
    ],
)
def test_the_downsample_is_the_one_that_explains_the_sizes(base, levels, tile, downsamples):
    found = sizes_of(base, *levels, tile=tile)
    assert found.downsamples == (1, *downsamples)
    assert found.indices == tuple(range(len(levels) + 1))
    assert found.left_out == ()


@given(
    width=st.integers(40, 3000),
    height=st.integers(40, 3000),
    step=st.sampled_from([2, 3, 4, 5, 8]),
    count=st.integers(1, 5),
    roundings=st.lists(
        st.tuples(*[st.sampled_from(list(ROUNDINGS.values()))] * 2), min_size=5, max_size=5
    ),
)
def test_the_downsample_is_the_product_of_steps_with_any_rounding(
    width, height, step, count, roundings
):
    levels, size = [], (width, height)
    for rounding in roundings[:count]:
        size = tuple(max(1, r(length / step)) for r, length in zip(rounding, size, strict=True))
        levels.append(size)
    assume(min(levels[0]) >= 12)  # fewer pixels fit other steps as well
    found = sizes_of((width, height), *levels)
    assert found.downsamples == tuple(float(step**power) for power in range(count + 1))
    assert found.sizes == ((width, height), *levels)


@pytest.mark.parametrize("base", [(6112, 13568), (6144, 6144), (6112, 6112)])
def test_padded_levels_end_before_the_pixel_in_which_the_slide_ends(base):
    width, height = base
    levels = [
        tuple(-(-(length // 2**power) // 32) * 32 for length in base) for power in range(1, 9)
    ]
    found = sizes_of(base, *levels, tile=(32, 32))
    assert found.downsamples == tuple(float(2**power) for power in range(9))
    assert found.sizes == tuple((width // 2**power, height // 2**power) for power in range(9))


@pytest.mark.parametrize("place", [1, 2, 3])
def test_an_image_of_another_aspect_is_no_level(place):
    images = [(46000, 32914), (11500, 8228), (2875, 2057)]
    images.insert(place, (1024, 768))  # a tiled thumbnail, of whole tiles
    found = sizes_of(*images, tile=(256, 256))
    assert found.downsamples == (1, 4, 16)
    assert place not in found.indices
    (note,) = found.left_out
    for word in ("1024x768", "46000x32914", "aspect"):
        assert word in note


@pytest.mark.parametrize(
    ("base", "tile", "levels"),
    [
        ((1000, 800), (256, 256), [(512, 512)]),  # 2 or 3
        ((1009, 1064), (240, 240), [(480, 480), (240, 240)]),  # 3 or 4
        ((3957, 5444), (512, 512), [(1024, 1536), (512, 512), (512, 512)]),  # 4 or 5
        ((249, 249), (32, 32), [(64, 64), (32, 32)]),  # 4 to 7, then 8 without padding, or 16
    ],
)
def test_no_power_of_two_is_guessed_for_padded_levels(base, tile, levels):
    found = sizes_of(base, *levels, tile=tile)
    assert found.downsamples == (1,)
    assert len(found.left_out) == len(levels)


def test_a_padded_level_that_several_downsamples_explain_is_left_out():
    found = sizes_of((500, 400), (256, 256), (256, 256), tile=(256, 256))
    assert found.downsamples == (1,)
    assert len(found.left_out) == 2
    assert "256x256" in found.left_out[0]
    assert "several downsamples" in found.left_out[0]


def test_a_level_that_is_larger_than_level_0_is_left_out():
    found = sizes_of((60, 70), (64, 96), tile=(32, 32))
    assert found.sizes == ((60, 70),)
    assert found.left_out == ("an image of 64x96 pixels is larger than level 0",)


@pytest.mark.parametrize(
    ("stated", "downsample", "shown"),
    [
        (4, 4, (125, 100)),  # of several that fit
        (3.988, 4, (125, 100)),  # pixel sizes of three digits
        (2.2, 2.2, (227, 181)),
        (1, None, None),  # some files repeat one pixel size for all levels
    ],
)
def test_a_stated_downsample_wins(stated, downsample, shown):
    images = [StoredLevel(Size(500, 400)), StoredLevel(Size(256, 256), Size(256, 256), stated)]
    found = pyramid(images)
    assert found.downsamples == (1, *([downsample] if downsample else []))
    assert found.sizes == (images[0].size, *([shown] if shown else []))


# Files: pixels that encode their place

RAMP = 250
"""Slides are smaller than this: a pixel's red is its x, its green its y, its blue 100."""


def ramp(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 100)], axis=2).astype(np.uint8)


def tissue(width: int, height: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """Glass with one box of stained tissue."""
    pixels = np.full((height, width, 3), (244, 243, 245), np.uint8)
    x, y, w, h = box
    pixels[y : y + h, x : x + w] = (190, 90, 150)
    return pixels


def reduced(pixels: np.ndarray, k: int, rounding) -> np.ndarray:
    """Return area means over k x k pixels; at the end, over the existing pixels."""
    for axis in (0, 1):
        length = pixels.shape[axis]
        count = max(1, rounding(length / k))
        starts = np.arange(count) * k
        ends = np.minimum(starts + k, length)
        sums = np.insert(np.cumsum(pixels, axis, dtype=np.float64), 0, 0, axis)
        shape = [-1 if a == axis else 1 for a in range(3)]
        pixels = (sums.take(ends, axis) - sums.take(starts, axis)) / (ends - starts).reshape(shape)
    return np.rint(pixels).astype(np.uint8)


def padded(pixels: np.ndarray, tile: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    out = np.full((-(-height // tile) * tile, -(-width // tile) * tile, 3), 255, np.uint8)
    out[:height, :width] = pixels
    return out


def write(path: Path, levels, tile: int, kind: str) -> Path:
    options = {"tile": (tile, tile), "photometric": "rgb", "compression": "zlib"}
    if kind == "ome":
        with tifffile.TiffWriter(path, ome=True) as tiff:
            scale = {f"PhysicalSize{axis}": 0.25 for axis in "XY"}
            tiff.write(
                levels[0], subifds=len(levels) - 1, metadata={"axes": "YXS"} | scale, **options
            )
            for level in levels[1:]:
                tiff.write(level, subfiletype=1, metadata=None, **options)
        return path
    if kind == "aperio":
        options["description"] = APERIO
    scale = {"resolution": (40_000, 40_000), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as tiff:
        for index, level in enumerate(levels):
            tiff.write(level, subfiletype=int(index > 0), metadata=None, **options, **scale)
    return path


def explaining(base, size, tile, whole_tiles):
    """Return all whole numbers that explain a size, by the literal rule."""

    def fits(length, whole, k):
        quotients = {math.floor(whole / k), math.ceil(whole / k)}
        return length in ({-(-q // tile) * tile for q in quotients} if whole_tiles else quotients)

    return [k for k in range(2, 300) if all(fits(s, b, k) for s, b in zip(size, base, strict=True))]


def check_ramp(pixels, left, top, step, size, ds):
    """Compare the places of pixels, each ``step`` level-0 pixels large, with the encoded ones."""
    for axis, (start, whole) in enumerate(zip((left, top), size, strict=True)):
        count = pixels.shape[1 - axis]
        edges = np.minimum(start + np.arange(count + 1) * step[axis], whole)
        expected = (edges[1:] + edges[:-1]) / 2 - 0.5
        found = pixels[..., axis].astype(float)
        found = found if axis == 0 else found.T
        assert np.abs(found - expected).max() <= ds + 1
    assert (pixels[..., 2] <= 101).all(), "padding or background inside the slide"


@settings(max_examples=3 * settings().max_examples // 4)
@given(
    width=st.integers(60, RAMP - 1),
    height=st.integers(60, RAMP - 1),
    k=st.sampled_from([2, 3, 4, 5]),
    levels=st.integers(2, 6),
    rounding=st.sampled_from(["floor", "ceil"]),
    pad=st.booleans(),
    tile=st.sampled_from([16, 32, 48]),
    kind=st.sampled_from(["generic", "aperio", "ome"]),
    target=st.one_of(st.integers(0, 5).map(Level), st.floats(0.25, 4).map(MPP)),
    thumbnail=st.tuples(st.integers(3, 60), st.integers(3, 60)),
    edge=st.sampled_from(["drop", "shift"]),
)
def test_a_tile_shows_its_place_and_no_padding(
    tmp_path_factory, width, height, k, levels, rounding, pad, tile, kind, target, thumbnail, edge
):
    stored = [ramp(width, height)]
    for power in range(1, levels):
        level = reduced(stored[0], k**power, ROUNDINGS[rounding])
        stored.append(padded(level, tile) if pad else level)
    first = stored[1].shape[1::-1]
    exact = explaining((width, height), first, tile, False)
    fitting = exact or explaining((width, height), first, tile, True)
    assume(not exact or k in exact)  # a padded level may have the size of one without padding
    path = write(tmp_path_factory.mktemp("law") / "a.tif", stored, tile, kind)
    for reader in (open_slide,) if kind == "ome" else (open_slide, OpenSlideReader):
        with reader(path) as slide:
            downsamples = slide.level_downsamples
            assert set(downsamples) <= {k**power for power in range(levels)}
            if len(fitting) == 1 or exact:
                assert len(downsamples) == levels
            if isinstance(target, Level) and target.value >= len(downsamples):
                target = Level(len(downsamples) - 1)
            d = target.downsample(slide)
            ds = max(v for v in downsamples if v <= d * 1.02)
            regions = TileExtractor(
                TileSpec((5, 4), (7, 9), target, edge=edge), mask_threshold=0
            ).extract(slide)
            for region in regions:
                pixels = slide.read_region(region.location, region.shape, target, bounded=False)
                x, y, w, h = region.box0
                assert (x, y) == (round(region.location.x * d), round(region.location.y * d))
                assert x + w < width + ds
                assert y + h < height + ds
                left, top = (v * d for v in region.location)
                check_ramp(pixels, left, top, (d, d), (width, height), ds)
            size = Size(*thumbnail)
            step = width / size.width, height / size.height
            ds = max(v for v in downsamples if v <= max(1, min(step)) * 1.02)
            check_ramp(slide.thumbnail(size), 0, 0, step, (width, height), ds)


def test_requesting_a_level_that_is_left_out_names_it(tmp_path):
    stored = [ramp(240, 200), padded(ramp(60, 50), 128)]
    with open_slide(write(tmp_path / "a.tif", stored, 128, "generic")) as slide:
        assert slide.level_downsamples == (1,)
        with pytest.raises(ResolutionError, match=r"level 1 does not exist: .*128x128.*several"):
            slide.read_region((0, 0), (5, 5), Level(1))
        assert (slide.read_region((0, 0), (55, 45), MPP(1.0))[..., 2] == 100).all()


@pytest.mark.parametrize(
    ("vendor", "size", "own", "downsamples"),
    [
        ("trestle", (1004, 498), None, (1, 2000 / 1004 / 2 + 1000 / 498 / 2)),
        ("trestle", (1004, 600), None, (1,)),
        ("generic-tiff", (1004, 498), None, (1,)),
        ("mirax", (1004, 498), 2, (1, 2)),
        ("ventana", (1000, 500), None, (1, 2)),
    ],
)
def test_levels_that_a_format_lists_are_believed(tmp_path, vendor, size, own, downsamples):
    ratio = (2000 / size[0] + 1000 / size[1]) / 2
    slide = SimpleNamespace(
        level_dimensions=((2000, 1000), size),
        level_downsamples=(1.0, own or ratio),
        properties={"openslide.vendor": vendor},
    )
    assert levels_of(slide, tmp_path / "a.tif").downsamples == pytest.approx(downsamples)


@given(
    width=st.integers(2, 5000),
    height=st.integers(2, 5000),
    levels=st.lists(st.tuples(*[st.integers(1, 5000)] * 2), max_size=4),
    tile=st.sampled_from([None, 1, 16, 240]),
)
def test_transposing_the_sizes_transposes_the_pyramid(width, height, levels, tile):
    levels = [(min(w, width), min(h, height)) for w, h in levels]
    tile = tile and (tile, tile)
    here = sizes_of((width, height), *levels, tile=tile)
    there = sizes_of((height, width), *(level[::-1] for level in levels), tile=tile)
    if len({*levels}) == len(levels):
        assert dict(zip(here.indices, here.downsamples, strict=True)) == dict(
            zip(there.indices, there.downsamples, strict=True)
        )
    assert len(here.left_out) == len(there.left_out) == len(levels) + 1 - len(here.indices)
    assert here.sizes[0] == (width, height)
    assert list(here.downsamples) == sorted(here.downsamples)
    for index, size in zip(here.indices, here.sizes, strict=True):
        stored = ((width, height), *levels)[index]
        assert 1 <= size.width <= stored[0]
        assert 1 <= size.height <= stored[1]


@pytest.mark.parametrize("reader", [open_slide, OpenSlideReader])
def test_padding_changes_neither_pixels_nor_mask_nor_tiles(tmp_path, reader):
    width, height, box = 764, 1696, (450, 1370, 204, 198)  # CAMELYON17's geometry at 1/128
    stored = [tissue(width, height, box)]
    for _ in range(6):
        stored.append(reduced(stored[-1], 2, math.floor))
    plain = write(tmp_path / "plain.tif", stored, 32, "generic")
    pad = write(
        tmp_path / "pad.tif", [stored[0], *(padded(s, 32) for s in stored[1:])], 32, "generic"
    )
    with reader(plain) as one, reader(pad) as other:
        assert one.level_downsamples == other.level_downsamples == tuple(2.0**n for n in range(7))
        for size in ((24, 53), (96, 212), (100, 37)):
            assert np.array_equal(one.thumbnail(Size(*size)), other.thumbnail(Size(*size)))
        wish = TileSpec(16, resolution=MPP(0.25))
        otsu = OtsuMask(mpp=0.5, min_tissue_mm2=None, min_hole_mm2=None)
        kept = [
            TileExtractor(wish, mask_provider=otsu, mask_threshold=0.5).extract(slide)
            for slide in (one, other)
        ]
        assert kept[0] == kept[1]
    x, y, w, h = box
    share = {
        (left, top): max(0, min(left + 16, x + w) - max(left, x))
        * max(0, min(top + 16, y + h) - max(top, y))
        / 256
        for left in range(0, width - 15, 16)
        for top in range(0, height - 15, 16)
    }
    found = {region.box0[:2] for region in kept[1]}
    assert {place for place, ratio in share.items() if ratio > 0.7} <= found
    assert found <= {place for place, ratio in share.items() if ratio > 0.3}


# OpenSlide: whole pixels of a level, although it addresses level-0 pixels


def noise(width: int, height: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@given(
    downsample=st.floats(1, 300),
    pixel=st.one_of(st.integers(0, 600), st.integers(0, 200_000)),
)
def test_a_location_is_exact_or_the_nearest(downsample, pixel):
    location, skipped = exact_location(pixel, downsample)
    assert 0 <= skipped <= min(pixel, 512)
    distance = abs(location / downsample - (pixel - skipped))
    assert distance < 1 / 512 or (skipped == 0 and distance <= 0.5 / downsample + 1e-9)
    if downsample == int(downsample) or downsample > 260:
        assert skipped == 0


@pytest.mark.parametrize("kind", ["generic", "aperio"])
@pytest.mark.parametrize(
    ("size", "k"), [((8255, 1039), 16), ((8255, 1039), 64), ((2063, 411), 4), ((4443, 267), 2)]
)
def test_openslide_reads_whole_pixels_of_a_level_that_was_cut_off(tmp_path, kind, size, k):
    width, height = size
    stored = noise(width // k, height // k)
    path = write(tmp_path / "a.tif", [np.zeros((height, width, 3), np.uint8), stored], 256, kind)
    with OpenSlideReader(path) as slide, TiffReader(path) as direct:
        own = openslide.OpenSlide(path).level_downsamples[1]
        assert own != k
        assert slide.level_downsamples == direct.level_downsamples == (1, k)
        assert slide.level_dimensions == direct.level_dimensions
        for x in range(0, width // k - 20, 11):
            got = slide.read_region((x, 3), (20, 9), Level(1))
            assert np.array_equal(
                direct.read_region((x, 3), (20, 9), Level(1)), stored[3:12, x : x + 20]
            )
            weight = sum(
                abs(location / own - (at - skipped))
                for at in (x, 3)
                for location, skipped in [exact_location(at, own)]
            )
            error = np.abs(got.astype(int) - stored[3:12, x : x + 20])
            assert error.max() <= (0 if weight < 1 / 256 else math.ceil(255 * weight) + 1)
        around = slide.read_region((-3, -2), (width // k + 7, height // k + 5), Level(1))
        assert (around[:2] == 255).all()
        assert (around[:, :3] == 255).all()
        assert (around[-3:] == 255).all()
        assert (around[:, -4:] == 255).all()


def test_a_wide_read_of_openslide_equals_its_parts(tmp_path):
    stored = noise(5000, 20)
    path = write(tmp_path / "a.tif", [np.zeros((41, 10_001, 3), np.uint8), stored], 256, "generic")
    with OpenSlideReader(path) as slide:
        whole = slide.read_region((0, 0), (5000, 20), Level(1)).astype(int)
        assert np.abs(whole - stored).max() <= math.ceil(2 * 255 * 0.25) + 1


def test_the_real_slide_with_a_cut_off_level_is_read_at_its_place(shared_slides):
    path = shared_slides / "TCGA-CR-7395-01A-01-TS1.svs"
    with tifffile.TiffFile(path) as tiff:
        stored = [page for page in tiff.pages if page.is_tiled][1].asarray()
    with TiffReader(path) as direct, OpenSlideReader(path) as slide:
        for x, y in ((300, 400), (1900, 1500), (0, 1700)):
            there = stored[y : y + 80, x : x + 120].astype(int)
            assert np.array_equal(direct.read_region((x, y), (120, 80), Level(1)), there)
            # At most a quarter of each neighbour is mixed in.
            assert np.abs(slide.read_region((x, y), (120, 80), Level(1)) - there).mean() < 9
        (region,) = TileExtractor(TileSpec((2221, 1783), resolution=Level(1))).extract(slide)
        assert region.box0 == (0, 0, 4442, 3566)


# Grids on levels


@pytest.mark.parametrize("rounding", ["floor", "ceil"])
@pytest.mark.parametrize("edge", ["drop", "pad", "shift"])
def test_a_grid_that_fills_a_level_has_all_its_tiles(fake_reader, rounding, edge):
    width, height = (8255, 4159) if rounding == "floor" else (8129, 4033)
    levels = [
        np.zeros((ROUNDINGS[rounding](height / k), ROUNDINGS[rounding](width / k), 3), np.uint8)
        for k in (1, 64)
    ]
    slide = fake_reader(*levels, downsamples=(1, 64), mpp=0.25)
    assert slide.level_dimensions[1] == (128, 64)
    for target in (Level(1), MPP(16.0)):
        regions = TileExtractor(
            TileSpec(16, resolution=target, edge=edge), np.ones((3, 5)), mask_threshold=1
        ).extract(slide)
        assert len(regions) == 8 * 4
        assert {region.ratio for region in regions} == {1.0}
        last = regions[-1]
        assert last.box0 == (64 * 112, 64 * 48, 1024, 1024)
        assert 0 <= 64 * 128 - (width if rounding == "ceil" else 64 * 128) < 64


def test_the_bounds_end_a_grid_before_the_level_does(fake_reader):
    levels = [np.zeros((40 // k, 61 // k, 3), np.uint8) for k in (1, 4)]
    slide = fake_reader(*levels, downsamples=(1, 4), bounds=(3, 0, 50, 40))
    for edge, columns in (("drop", range(1, 13)), ("pad", range(14))):
        regions = TileExtractor(
            TileSpec(1, resolution=Level(1), edge=edge), mask_threshold=0
        ).extract(slide)
        assert sorted({region.location.x for region in regions}) == list(columns)


# DICOM: levels in files of their own, padded by some scanners, with a pixel spacing each


@pytest.mark.parametrize(
    ("size", "tile", "k", "spacing"),
    [((220, 170), 64, 2, True), ((220, 170), 64, 2, False), ((500, 400), 256, 4, True)],
)
def test_the_levels_of_a_dicom_slide_follow_their_pixel_spacing(tmp_path, size, tile, k, spacing):
    width, height = size
    stored = [noise(width, height)]
    stored.append(padded(reduced(stored[0], k, math.floor), tile))
    for level, pixels in enumerate(stored):
        number = 0.00025 * (k**level if spacing else 1)
        name = tmp_path / f"{level}.dcm"
        write_dicom(name, pixels, tile=tile, spacing=f"{number}\\{number}")
    write_dicom(tmp_path / "z.dcm", stored[0], tile=tile, spacing="9\\9", series="1.2.3.5")
    with open_slide(tmp_path / "0.dcm") as slide:
        assert slide.dimensions == size
        assert slide.level_downsamples == (1, k)
        assert slide.level_dimensions[1] == (width // k, height // k)
        got = slide.read_region((1, 2), (width // k, height // k), Level(1))
        assert np.array_equal(got[:-2, :-1], stored[1][2 : height // k, 1 : width // k])
        assert (got[-2:] == 255).all()
        assert (got[:, -1] == 255).all()
    (tmp_path / "0.dcm").rename(tmp_path / "one")
    assert stated_downsamples(tmp_path / "one")[Size(*size)] == 1
    assert stated_downsamples(tmp_path / "z.dcm") == {Size(*size): 1.0}
