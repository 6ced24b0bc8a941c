"""``resolution.tolerance``: a level within it is used unchanged, and the record shows it."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from command import tiler
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tiler import MPP, Level, Magnification, TileExtractor, TileSpec
from tiler.errors import ConfigError, ResolutionError

NOISE = np.random.default_rng(5).integers(0, 256, (90, 130, 3), dtype=np.uint8)


def scan(mpp=0.499, downsamples=(1.0, 2.0, 4.0), magnification=20.0):
    return SimpleNamespace(
        name="s",
        level_downsamples=downsamples,
        mpp=mpp,
        magnification=magnification,
        provenance={"mpp": "", "magnification": ""},
    )


@pytest.mark.parametrize(
    ("target", "downsample", "effective"),
    [
        (MPP(0.5, 0.02), 1, 0.499),
        (MPP(0.5), 0.5 / 0.499, 0.5),
        (MPP(0.5, 0.001), 0.5 / 0.499, 0.5),
        (MPP(1.0, 0.02), 2, 0.998),
        (MPP(0.49, 0.02), 1, 0.499),  # finer than the scan, but near enough
        (MPP(0.7, 0.02), 0.7 / 0.499, 0.7),
        (Magnification(20.1, 0.02), 1, 0.499),
        (Magnification(5.05, 0.01), 4, 1.996),
        (Magnification(5.06, 0.01), 20 / 5.06, 0.499 * 20 / 5.06),
    ],
)
def test_a_level_within_the_tolerance_is_the_target(target, downsample, effective):
    slide = scan()
    assert target.downsample(slide) == downsample
    assert target.mpp(slide) == pytest.approx(effective, rel=1e-12)
    assert target.token in ("mpp_0.5", "mpp_1.0", "mpp_0.49", "mpp_0.7", "mag_20.1x", "mag_5.05x",
                            "mag_5.06x")  # fmt: skip


def test_the_tolerance_is_exact_and_selects_the_nearest_level():
    assert MPP(0.5, 0.02).downsample(scan(mpp=0.51)) == 1
    assert MPP(0.5, 0.02).downsample(scan(mpp=0.5101)) != 1
    assert MPP(1.0, 0.02).downsample(scan(mpp=1.0, downsamples=(1.0, 1.01, 1.004))) == 1
    assert MPP(1.006, 0.02).downsample(scan(mpp=1.0, downsamples=(1.0, 1.01, 1.004))) == 1.004


@given(
    mpp=st.floats(0.1, 2), target=st.floats(0.05, 20), tolerance=st.floats(0, 0.2, exclude_max=True)
)
def test_the_effective_scale_is_within_the_tolerance_and_the_requested_one_is_kept(
    mpp, target, tolerance
):
    slide, wish = scan(mpp=mpp), MPP(target, tolerance)
    downsample = wish.downsample(slide)
    assert abs(downsample * mpp - target) <= tolerance * target * (1 + 1e-8) + 1e-12
    assert wish.mpp(slide) == pytest.approx(downsample * mpp, rel=1e-12)
    assert wish.token == MPP(target).token
    if not any(abs(d * mpp - target) <= tolerance * target * (1 + 1e-8) for d in (1, 2, 4)):
        assert downsample == MPP(target).downsample(slide)


@pytest.mark.parametrize("tolerance", [-0.01, 1, 2.0, float("nan"), "2%", None, True])
@pytest.mark.parametrize("kind", [MPP, Magnification])
def test_an_invalid_tolerance_is_named(kind, tolerance):
    with pytest.raises(ConfigError, match=r"resolution\.tolerance=") as caught:
        kind(0.5, tolerance)
    assert repr(tolerance) in str(caught.value)


def test_tiles_within_the_tolerance_are_a_levels_own_pixels(fake_reader):
    half = NOISE[::2, ::2]
    slide = fake_reader(NOISE, half, downsamples=(1, 2), mpp=0.499)
    for target, level, pixels in ((MPP(0.5, 0.02), 0, NOISE), (MPP(1.0, 0.02), 1, half)):
        wish = TileSpec((20, 15), resolution=target, edge="shift")
        found = TileExtractor(wish, mask_threshold=0).extract(slide)
        plain = TileExtractor(
            TileSpec((20, 15), resolution=Level(level), edge="shift"), mask_threshold=0
        ).extract(slide)
        assert [(r.location, r.box0) for r in found] == [(r.location, r.box0) for r in plain]
        for region in found:
            (x, y), (width, height) = region.location, region.shape
            got = slide.read_region(region.location, region.shape, target, bounded=False)
            assert np.array_equal(got, pixels[y : y + height, x : x + width])
            assert region.box0 == tuple(v * 2**level for v in (x, y, width, height))


def test_microns_are_those_of_the_pixels_that_are_taken(fake_reader):
    slide = fake_reader(NOISE, mpp=0.499)
    (region, *_) = TileExtractor(
        TileSpec(20, resolution=MPP(0.5, 0.02), unit="um"), mask_threshold=0
    ).extract(slide)
    assert region.shape == (40, 40)  # 40.08 pixels of 0.499 µm
    (region, *_) = TileExtractor(
        TileSpec(26, resolution=MPP(0.51, 0.03), unit="um"), mask_threshold=0
    ).extract(slide)
    assert region.shape == (52, 52)  # 52.1 of 0.499 µm; of 0.51 µm they were 51


def test_a_scan_that_is_too_coarse_for_the_tolerance_is_still_refused(fake_reader):
    slide = fake_reader(NOISE, mpp=0.52)
    with pytest.raises(ResolutionError, match="finer than the scan"):
        slide.read_region((0, 0), (4, 4), MPP(0.5, 0.02))
    assert slide.read_region((0, 0), (4, 4), MPP(0.5, 0.05)).shape == (4, 4, 3)


def test_the_record_contains_requested_and_actual_values(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        scale = {"resolution": (1e4 / 0.499, 1e4 / 0.499), "resolutionunit": "CENTIMETER"}
        tiff.write(NOISE, tile=(32, 32), photometric="rgb", metadata=None, **scale)
    words = ["slides=files", "slides.paths=a.tif", "mask=none", "tile.size=32"]
    done = tiler(*words, "resolution.tolerance=0.02", "exporter=[csv,images]", cwd=tmp_path,
                 env={"COLUMNS": "200"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("outputs/**/slides/a*")
    with (folder.parent.parent / "slides.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["requested"] == "mpp_0.5"
    assert float(row["downsample"]) == 1
    assert float(row["effective_mpp"]) == pytest.approx(0.499, rel=1e-6)
    with next(folder.glob("*.csv")).open(newline="") as file:
        tiles = list(csv.DictReader(file))
    assert len(tiles) == 4 * 2
    for tile in tiles:
        assert tile["resolution"] == "mpp_0.5"
        assert [tile[k] for k in ("x", "y", "width", "height")] == [
            tile[f"{k}0"] for k in ("x", "y", "width", "height")
        ]
        x, y = int(tile["x"]), int(tile["y"])
        (image,) = folder.rglob(f"*_x{x}_y{y}_*_mpp_0.5_*.png")
        assert np.array_equal(np.asarray(Image.open(image)), NOISE[y : y + 32, x : x + 32])
    record = json.loads((folder / "record.json").read_text())
    assert record["settings"]["resolution"]["tolerance"] == 0.02
    assert record["row"]["effective_mpp"] == pytest.approx(0.499, rel=1e-6)
    level = tiler(*words, "resolution=level", "+resolution.tolerance=0.02", cwd=tmp_path)
    assert level.returncode == 2
