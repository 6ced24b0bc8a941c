"""The frozen values: validation, error messages, and immutability."""

from __future__ import annotations

import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler import (
    MPP,
    Edge,
    Level,
    Magnification,
    MeasurementUnit,
    RegionMaskSpec,
    RegionSpec,
    TileSpec,
)
from tiler.errors import ConfigError, ReadError, ResolutionError, SlideError, TilerError
from tiler.geometry import Box, Extent, Point, Size
from tiler.readers.mpp import agreed_mpp
from tiler.regions import Regions, packed
from tiler.resolution import ReadPlan, plan_read

SCAN = SimpleNamespace(
    name="S1",
    level_downsamples=(1.0, 4.016),
    mpp=0.25,
    magnification=40.0,
    provenance={"mpp": "metadata", "magnification": "metadata"},
)
BLIND = SimpleNamespace(
    name="S2",
    level_downsamples=(1.0,),
    mpp=None,
    magnification=None,
    provenance={"mpp": "the file says 7 parsec", "magnification": "the file says nothing"},
)

REGION = RegionSpec((7, -3), (20, 30), MPP(0.5), 0.25, 2.0)
PIECE = RegionMaskSpec(
    (7, -3), (20, 30), MPP(0.5), 0.5, 2.0, np.array([[1, 0, 1], [0, 1, 0]]), (0.5, 0.25, 2, 1.5)
)
SPEC = TileSpec((256, 128), (200, 100), Magnification(20), "pixels", "shift")


def test_a_resolution_becomes_one_number():
    assert Level(1).downsample(SCAN) == 4.016
    assert Magnification(10).downsample(SCAN) == 4.0
    assert MPP(1.0).downsample(SCAN) == 4.0


def test_a_resolution_returns_its_microns():
    assert Level(1).mpp(SCAN) == 0.25 * 4.016
    assert Magnification(10).mpp(SCAN) == 1.0
    assert MPP(0.7).mpp(BLIND) == 0.7


SIDES = st.tuples(st.integers(1, 5000), st.integers(1, 5000))


@given(SIDES, st.integers(0, 99))
def test_the_stride_follows_the_size_and_the_overlap(size, percent):
    overlap = percent / 100
    spec = TileSpec(size, resolution=MPP(0.5), overlap=overlap)
    for side, stride in zip(size, spec.stride, strict=True):
        # Neighbours share at least this much, and not one pixel more than needed.
        shared = -(-side * percent // 100)
        assert stride == max(1, side - shared)
        assert isinstance(stride, int)
    microns = TileSpec(size, resolution=MPP(0.5), unit="um", overlap=overlap).stride
    assert microns == pytest.approx([side * (100 - percent) / 100 for side in size])


def test_half_an_odd_tile_is_rounded_up_and_a_stride_overrides():
    half = TileSpec((255, 1), resolution=MPP(0.5), overlap=0.5)
    assert half.stride == (127, 1)
    assert half == TileSpec((255, 1), (127, 1), MPP(0.5))
    assert TileSpec(100, resolution=MPP(0.5), overlap=0.55).stride == (45, 45)
    assert TileSpec(256, 64, MPP(0.5), overlap=0.5).stride == (64, 64)
    assert TileSpec(256, resolution=MPP(0.5)).stride == (256, 256)


@pytest.mark.parametrize("overlap", [1, -0.1, math.nan, math.inf, "0.5", None, True])
def test_an_overlap_is_a_share(overlap):
    with pytest.raises(ConfigError, match=r"tile\.overlap=.*share"):
        TileSpec(256, resolution=MPP(0.5), overlap=overlap)


@pytest.mark.parametrize(
    ("resolution", "token"),
    [
        (Level(0), "l_0"),
        (MPP(0.25), "mpp_0.25"),
        (MPP(1), "mpp_1.0"),
        (Magnification(40), "mag_40.0x"),
    ],
)
def test_tokens_are_those_of_file_names(resolution, token):
    assert resolution.token == token


@pytest.mark.parametrize(
    ("build", "field"),
    [(Level, "level"), (MPP, "mpp"), (Magnification, "magnification")],
)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "0.5", None, True, (1,)])
def test_resolutions_refuse_invalid_values_and_name_them(build, field, value):
    with pytest.raises(ConfigError, match=field) as caught:
        build(value)
    assert repr(value) in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("build", "value"), [(Level, 0.5), (MPP, 0), (Magnification, 0)])
def test_a_level_is_whole_and_the_others_are_positive(build, value):
    with pytest.raises(ConfigError, match=str(value)):
        build(value)


def test_the_same_resolution_is_equal_in_every_spelling():
    assert MPP(1) == MPP(1.0) == MPP(np.float32(1))
    assert hash(MPP(1)) == hash(MPP(1.0))
    assert Level(np.int64(2)) == Level(2)
    assert len({Level(1), MPP(1), Magnification(1)}) == 3


def test_a_missing_level_names_the_existing_ones():
    with pytest.raises(ResolutionError, match=r"S1.*level 2 does not exist.*0 to 1"):
        Level(2).downsample(SCAN)


@pytest.mark.parametrize(
    ("resolution", "number", "said"),
    [(MPP(0.5), "mpp", "7 parsec"), (Magnification(20), "magnification", "says nothing")],
)
def test_a_missing_number_is_named_with_the_files_values_and_the_fix(resolution, number, said):
    with pytest.raises(ResolutionError) as caught:
        resolution.downsample(BLIND)
    text = str(caught.value)
    assert "S2" in text
    assert f"needs the slide's {number}" in text
    assert said in text
    assert f"open_slide(path, {number}=…)" in text, "Python's fix"
    assert "reader." not in text
    assert "\n" not in text
    in_config = caught.value.in_config()
    assert f"reader.{number}=" in in_config
    assert "slides.table" in in_config, "the override for one slide alone"
    assert "open_slide" not in in_config
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.in_config()) == (text, in_config)


def test_a_stride_left_out_is_the_size():
    assert TileSpec((256, 128), resolution=Level(0)).stride == (256, 128)
    assert TileSpec(64, resolution=Level(0)).size == (64, 64)


def test_yaml_lists_numpy_numbers_and_text_become_values():
    spec = TileSpec([np.int64(256), 128.0], np.int32(64), MPP(0.5), "um", "pad")
    assert spec == TileSpec((256, 128), 64, MPP(0.5), MeasurementUnit.UM, Edge.PAD)
    assert type(TileSpec((256.0, 128), resolution=Level(0)).size.width) is int


def test_microns_may_be_fractional_and_pixels_may_not():
    assert TileSpec(100.5, resolution=MPP(1), unit="um").size == (100.5, 100.5)
    with pytest.raises(ConfigError, match=r"tile.size=100\.5"):
        TileSpec(100.5, resolution=MPP(1))
    with pytest.raises(ConfigError, match=r"tile.stride=\(3, 2\.5\)"):
        TileSpec(100, (3, 2.5), resolution=MPP(1))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"size": 0}, "tile.size=0"),
        ({"size": (256, -1)}, r"tile.size=\(256, -1\)"),
        ({"size": "256"}, "tile.size='256'"),
        ({"size": math.nan}, "tile.size=nan"),
        ({"size": (1, 2, 3)}, r"tile.size=\(1, 2, 3\)"),
        ({"stride": 0}, "tile.stride=0"),
        ({"stride": math.inf}, "tile.stride=inf"),
        ({"resolution": None}, "tile.resolution=None"),
        ({"resolution": 0.5}, r"tile.resolution=0\.5"),
        ({"unit": "inch"}, "tile.unit='inch': choose one of pixels, um"),
        ({"edge": "keep"}, "tile.edge='keep': choose one of drop, pad, shift"),
    ],
)
def test_a_tile_spec_refuses_invalid_values_and_names_them(change, field):
    with pytest.raises(ValueError, match=field) as caught:
        TileSpec(**{"size": 256, "resolution": Level(0), **change})
    assert isinstance(caught.value, ConfigError)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"location": (0.5, 1)}, "location=.*0.5"),
        ({"location": ("a", 1)}, "location=.*'a'"),
        ({"location": (math.nan, 1)}, "location=.*nan"),
        ({"location": 3}, "location=3"),
        ({"shape": (0, 5)}, "shape=.*0, 5"),
        ({"shape": (None, 5)}, "shape=.*None"),
        ({"resolution": "mpp_0.5"}, "resolution='mpp_0.5'"),
        ({"ratio": 1.01}, "ratio=1.01"),
        ({"ratio": -0.1}, "ratio=-0.1"),
        ({"ratio": math.nan}, "ratio=nan"),
        ({"ratio": "1"}, "ratio='1'"),
        ({"downsample": 0}, "downsample=0"),
        ({"downsample": "2"}, "downsample='2'"),
    ],
)
def test_a_region_refuses_invalid_values_and_names_them(change, field):
    good = {"location": (0, 1), "shape": (4, 5), "resolution": Level(0), "ratio": 1}
    with pytest.raises(ConfigError, match=field):
        RegionSpec(**{**good, **change})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"mask": np.ones((2, 3, 3))}, "mask"),
        ({"footprint": (0, 0, 1)}, "footprint=.*0, 0, 1"),
        ({"footprint": (0, 0, 1, 0)}, "footprint=.*0, 0, 1, 0"),
    ],
)
def test_a_mask_piece_refuses_invalid_values_and_names_them(change, field):
    good = {"location": (0, 1), "shape": (4, 5), "resolution": Level(0), "ratio": 1}
    with pytest.raises(ConfigError, match=field):
        RegionMaskSpec(**{**good, **change})


@pytest.mark.parametrize("value", [Level(1), MPP(0.5), Magnification(20), SPEC, REGION, PIECE])
def test_values_are_hashable_picklable_and_equal_only_to_themselves(value):
    copy = pickle.loads(pickle.dumps(value))
    assert copy == value
    assert copy is not value
    assert hash(copy) == hash(value)
    assert value != "something else"
    assert repr(copy) == repr(value)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (Level(1), "value"),
        (MPP(0.5), "value"),
        (Magnification(20), "value"),
        (SPEC, "size"),
        (REGION, "ratio"),
        (PIECE, "mask"),
    ],
)
def test_values_are_frozen(value, field):
    with pytest.raises(AttributeError):
        setattr(value, field, getattr(value, field))


def test_regions_differ_by_each_field():
    variants = {
        REGION,
        RegionSpec((8, -3), (20, 30), MPP(0.5), 0.25, 2.0),
        RegionSpec((7, -3), (30, 20), MPP(0.5), 0.25, 2.0),
        RegionSpec((7, -3), (20, 30), Level(0), 0.25, 2.0),
        RegionSpec((7, -3), (20, 30), MPP(0.5), 0.5, 2.0),
        RegionSpec((7, -3), (20, 30), MPP(0.5), 0.25, 4.0),
    }
    assert len(variants) == 6


def test_a_mask_piece_keeps_its_own_mask():
    mask = np.array([[1, 0, 7], [0, 1, 0]])
    region = RegionMaskSpec((7, -3), (20, 30), MPP(0.5), 0.5, 2.0, mask, [0.5, 0.25, 2, 1.5])
    mask[:] = 0
    assert region == PIECE
    for held in (region, pickle.loads(pickle.dumps(region))):
        assert held.mask.dtype == bool
        with pytest.raises(ValueError, match="read-only"):
            held.mask[0, 0] = False
    other = RegionMaskSpec((7, -3), (20, 30), MPP(0.5), 0.5, 2.0, ~PIECE.mask, PIECE.footprint)
    assert region != other
    assert isinstance(region, RegionSpec)


def test_a_region_contains_plain_numbers():
    region = RegionSpec(
        (np.int64(7), 3.0), [np.int32(20), 30], MPP(0.5), np.float64(0.5), np.float64(2)
    )
    assert [type(v) for v in (*region.location, *region.shape)] == [int] * 4
    assert type(region.ratio) is float


def test_box0_is_the_two_corners_rounded():
    region = RegionSpec((3, 5), (10, 20), MPP(1.0), 1, 1 / 0.499)
    x0, y0 = round(3 / 0.499), round(5 / 0.499)
    assert region.box0 == (x0, y0, round(13 / 0.499) - x0, round(25 / 0.499) - y0)
    assert REGION.box0 == (14, -6, 40, 60)


def test_box0_needs_the_slide():
    with pytest.raises(ConfigError, match="downsample"):
        _ = RegionSpec((3, 5), (10, 20), MPP(1.0), 1).box0


@given(
    x=st.integers(-1000, 10**6),
    y=st.integers(-1000, 10**6),
    width=st.integers(1, 1000),
    height=st.integers(1, 1000),
    downsample=st.floats(1, 64),
)
def test_tiles_that_abut_also_abut_at_level_0(x, y, width, height, downsample):
    here = RegionSpec((x, y), (width, height), MPP(1), 1, downsample).box0
    right = RegionSpec((x + width, y), (width, height), MPP(1), 1, downsample).box0
    below = RegionSpec((x, y + height), (width, height), MPP(1), 1, downsample).box0
    assert here.x + here.width == right.x
    assert here.y + here.height == below.y
    assert abs(here.x - x * downsample) <= 0.5
    assert abs(here.y - y * downsample) <= 0.5
    assert abs(here.width - width * downsample) <= 1
    assert here.height > 0


@pytest.mark.parametrize(
    ("downsample", "plan"),
    [
        (1.0, ReadPlan(0, 1.0)),
        (3.9, ReadPlan(0, 3.9)),
        (4.0, ReadPlan(1, 1.0)),
        (4 / 1.0199, ReadPlan(1, 1 / 1.0199)),  # 2 % coarser than the target is accepted
        (4 / 1.0201, ReadPlan(0, 4 / 1.0201)),
        (15.0, ReadPlan(1, 3.75)),
        (100.0, ReadPlan(2, 6.25)),
    ],
)
def test_the_plan_takes_the_coarsest_level_that_is_fine_enough(downsample, plan):
    got = plan_read(downsample, (1.0, 4.0, 16.0), slide="S", allow_upsampling=False)
    assert got.level == plan.level
    assert got.scale == pytest.approx(plan.scale, rel=1e-12)


@given(downsample=st.floats(0.99, 300), steps=st.lists(st.floats(1.5, 5), min_size=0, max_size=5))
def test_no_plan_changes_the_scale(downsample, steps):
    levels = [math.prod(steps[:i]) for i in range(len(steps) + 1)]
    plan = plan_read(downsample, levels, slide="S", allow_upsampling=False)
    assert plan.scale * levels[plan.level] == pytest.approx(downsample, rel=1e-8)
    assert plan.scale >= 1 / 1.021
    coarser = [d for d in levels if d > levels[plan.level]]
    assert all(d > downsample for d in coarser), "a coarser level would have been fine enough"


def test_finer_than_the_scan_is_refused_unless_allowed():
    with pytest.raises(ResolutionError, match=r"S9.*finer than the scan.*allow_upsampling"):
        plan_read(0.5, (1.0, 4.0), slide="S9", allow_upsampling=False)
    assert plan_read(0.5, (1.0, 4.0), slide="S9", allow_upsampling=True) == ReadPlan(0, 0.5)


@pytest.mark.parametrize(
    ("pair", "mpp"),
    [
        ((0.25, 0.25), 0.25),
        ((0.242535, 0.242647), (0.242535 + 0.242647) / 2),
        ((0.05, 0.05), 0.05),
        ((20, 20), 20),
        ((0.5, 0.51), 0.505),
    ],
)
def test_plausible_pairs_of_mpp_become_one(pair, mpp):
    assert agreed_mpp(*pair)[0] == pytest.approx(mpp)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((352.78, 352.78), ["352.78", "implausible", "0.05", "20"]),
        ((0.0499, 0.0499), ["0.0499"]),
        ((20.1, 20.1), ["20.1"]),
        ((0, 0), ["implausible"]),
        ((-0.25, 0.25), ["-0.25"]),
        ((math.nan, 0.25), ["nan"]),
        ((4.3e13, 4.3e13), ["4.3e+13"]),
        ((0.25, 0.5), ["0.25", "0.5", "2 %"]),
        ((0.5, 0.5101), ["0.5", "0.5101", "2 %"]),
    ],
)
def test_implausible_or_unequal_mpp_is_not_used_and_the_reason_names_the_numbers(pair, words):
    value, reason = agreed_mpp(*pair)
    assert value is None
    for word in words:
        assert word in reason


def test_errors_can_be_pickled():
    error = pickle.loads(pickle.dumps(ReadError("S1", "bad tile", 1, 20, 30)))
    assert (error.slide, error.level, error.x, error.y) == ("S1", 1, 20, 30)
    assert isinstance(error, SlideError)
    assert isinstance(error, TilerError)
    assert str(error).startswith("E_READ slide=S1: bad tile")


@given(
    st.lists(st.tuples(st.integers(-9, 900), st.integers(-9, 900), st.floats(0, 1)), max_size=30),
    st.integers(0, 29),
)
def test_packed_regions_are_the_regions(tiles, cut):
    regions = [RegionSpec((x, y), (7, 5), MPP(0.5), ratio, 2.0005) for x, y, ratio in tiles]
    parts = packed(regions)
    assert [region for part in parts for region in part] == regions
    for part in parts:
        assert [part[i] for i in range(len(part))] == regions
        assert part[cut:] == regions[cut:]
        assert part.boxes0().tolist() == [list(region.box0) for region in regions]
        assert pickle.loads(pickle.dumps(part)) == regions


def test_packing_keeps_the_order_of_unlike_regions():
    unlike = [
        RegionSpec((x, 3), (size, 5), resolution, 0.5)
        for x, size, resolution in [
            (0, 7, MPP(0.5)),
            (9, 7, MPP(0.5)),
            (4, 6, MPP(0.5)),
            (4, 7, Level(1)),
        ]
    ]
    parts = packed(unlike)
    assert [len(part) for part in parts] == [2, 1, 1]
    assert [region for part in parts for region in part] == unlike


def test_packed_regions_refuse_what_a_region_refuses():
    with pytest.raises(ConfigError, match="ratio"):
        Regions(np.zeros((1, 2), np.int64), np.array([1.5]), Size(7, 5), Level(0))
    with pytest.raises(ConfigError, match="downsample"):
        Regions(np.zeros((1, 2), np.int64), np.array([0.5]), Size(7, 5), Level(0)).boxes0()


@given(x=st.integers(), y=st.integers(), width=st.integers(1), height=st.integers(1))
def test_a_point_plus_a_size_is_the_opposite_corner_and_never_equals_it(x, y, width, height):
    point, size, box = Point(x, y), Size(width, height), Box(x, y, width, height)
    assert point + size == Point(box.right, box.bottom)
    assert type(point + size) is Point
    pair = width, height
    assert point + pair == (x, y, width, height)
    same = Size(x, y)
    assert same != point
    assert point != same
    assert Extent(x, y) != point
    assert point == (x, y)
    assert same == (x, y)
    assert len({same, (x, y)}) == 1
