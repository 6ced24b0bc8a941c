"""Transforms against the published formulas, ImageCms, and slides that cannot be fitted."""

from __future__ import annotations

import json
import pickle
import re
import struct
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conftest import ArrayReader
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from profiles import scanner_profile

from tiler import TileExtractor, TileSpec
from tiler.cover.slide_mask import SlideMask
from tiler.errors import ArgumentError, ConfigError, OpenError, TransformError
from tiler.geometry import whole_box
from tiler.masks import OtsuMask
from tiler.protocols import HasProfile, Pixels
from tiler.readers import ImageReader, OpenSlideReader, TiffReader, open_slide
from tiler.resolution import MPP, Level
from tiler.transforms import Icc, Macenko, Reinhard
from tiler.transforms.icc import FittedIcc
from tiler.transforms.macenko import FittedMacenko
from tiler.transforms.reinhard import FittedReinhard
from tiler.transforms.stains import Colours, Stains, angle_between, solution
from tiler.transforms.tissue import resolution_for, tissue_pixels

SLIDES = Path(__file__).resolve().parents[2] / "shared/slides"
CMU = SLIDES / "CMU-1-Small-Region.svs"
TCGA = SLIDES / "TCGA-CR-7395-01A-01-TS1.svs"
DAPI = SLIDES / "test3-DAPI-2-(387).ndpi"
real = pytest.mark.skipif(not SLIDES.is_dir(), reason="needs ../shared/slides")


@dataclass(frozen=True)
class Named:
    """The part of a slide that stain transforms use."""

    name: str = "s"


@cache
def tissue_of(path: Path, mpp: float = 1.0, known: float | None = None) -> Pixels:
    """Return the sample of a slide's tissue, as a run takes it."""
    with open_slide(path, mpp=known) as source:
        mask = SlideMask.plain(OtsuMask().generate(source))
        return tissue_pixels(source, mask, resolution_for(mpp, source, Level(0)))[0]


def macenko_2009(rgb: Pixels) -> tuple[np.ndarray, np.ndarray]:
    """Macenko's algorithm step by step: the stains as rows, and their maxima."""
    optical = -np.log((rgb.reshape(-1, 3).astype(float) + 1) / 240)
    optical = optical[np.all(optical >= 0.15, axis=1)]
    _, _, directions = np.linalg.svd(optical, full_matrices=False)
    plane = directions[:2]
    if plane[0].sum() < 0:
        plane[0] *= -1
    projected = optical @ plane.T
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    angle = np.arctan2(projected[:, 1], projected[:, 0])
    low, high = np.percentile(angle, 1), np.percentile(angle, 99)
    found = np.array([[np.cos(phi), np.sin(phi)] for phi in (low, high)]) @ plane
    found = found[np.argsort(-found[:, 0])]
    amounts = np.linalg.lstsq(found.T, optical.T, rcond=None)[0]
    return found, np.percentile(amounts, 99, axis=1)


def macenko_pixels(rgb: Pixels, own: tuple, wanted: tuple) -> np.ndarray:
    """Return unrounded pixels with the wanted stains."""
    optical = -np.log((rgb.reshape(-1, 3).astype(float) + 1) / 240)
    amounts = np.linalg.lstsq(own[0].T, optical.T, rcond=None)[0]
    amounts *= (wanted[1] / own[1])[:, None]
    return (240 * np.exp(-(wanted[0].T @ amounts)).T - 1).reshape(rgb.shape)


LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
LAB = np.diag([3**-0.5, 6**-0.5, 2**-0.5]) @ [[1, 1, 1], [1, 1, -2], [1, -1, 0]]


def lab_2001(rgb: Pixels) -> np.ndarray:
    """Return Reinhard's lαβ, (n, 3)."""
    return np.log10((rgb.reshape(-1, 3) + 1.0) / 256 @ LMS.T) @ LAB.T


def reinhard_pixels(rgb: Pixels, own: tuple, wanted: tuple) -> np.ndarray:
    """Return unrounded pixels with the wanted mean and deviation."""
    moved = (lab_2001(rgb) - own[0]) * (wanted[1] / own[1]) + wanted[0]
    light = 10 ** (moved @ np.linalg.inv(LAB).T) @ np.linalg.inv(LMS).T
    return (light * 256 - 1).reshape(rgb.shape)


def assert_rounded(found: Pixels, exact: np.ndarray) -> None:
    """Compare pixels with unrounded ones."""
    assert found.dtype == np.uint8
    assert np.abs(found - exact.clip(0, 255)).max() < 0.6, "at most a tenth away from rounding"


@real
@pytest.mark.parametrize(("path", "mpp"), [(CMU, None), (TCGA, 0.5)])
def test_macenko_is_the_published_algorithm_on_real_slides(path: Path, mpp: float | None) -> None:
    sample = tissue_of(path, known=mpp)
    fitted = Macenko().fit(Named(), lambda _: sample)
    stains, maxima = macenko_2009(sample)
    np.testing.assert_allclose(fitted.facts["stains"], stains, atol=1e-6, rtol=0)
    np.testing.assert_allclose(fitted.facts["max"], maxima, rtol=1e-6)
    target = fitted.facts["reference"]
    with open_slide(path, mpp=mpp) as source:
        tile = source.read_region((700, 600), (96, 64), Level(0))
    wanted = np.array(target["stains"]), np.array(target["max"])
    assert_rounded(fitted(tile), macenko_pixels(tile, (stains, maxima), wanted))


@real
@pytest.mark.parametrize(("path", "mpp"), [(CMU, None), (TCGA, 0.5)])
def test_reinhard_is_the_published_formula_on_real_slides(path: Path, mpp: float | None) -> None:
    sample = tissue_of(path, known=mpp)
    fitted = Reinhard().fit(Named(), lambda _: sample)
    own = lab_2001(sample)
    np.testing.assert_allclose(fitted.facts["mean"], own.mean(axis=0), atol=1e-6, rtol=0)
    np.testing.assert_allclose(fitted.facts["std"], own.std(axis=0), atol=1e-6, rtol=0)
    target = fitted.facts["reference"]
    with open_slide(path, mpp=mpp) as source:
        tile = source.read_region((700, 600), (96, 64), Level(0))
    wanted = np.array(target["mean"]), np.array(target["std"])
    assert_rounded(fitted(tile), reinhard_pixels(tile, (own.mean(0), own.std(0)), wanted))


@real
def test_the_built_in_colours_are_those_of_the_slide_that_the_page_names() -> None:
    sample = tissue_of(CMU)
    assert Reinhard().target() == Reinhard().fit(Named(), lambda _: sample).colours


def test_transparent_pixels_of_a_reference_are_white(tmp_path: Path) -> None:
    sample = two_stains(RNG.uniform(0.3, 1.5, (4096, 2))).reshape(64, 64, 3)
    shown = np.full((64, 64, 1), 255, np.uint8)
    shown[40:] = 0
    Image.fromarray(np.concatenate([sample, shown], axis=2)).save(tmp_path / "a.png")
    sample[40:] = 255
    Image.fromarray(sample).save(tmp_path / "b.png")
    for kind in (Macenko, Reinhard):
        one, other = (kind(reference=str(tmp_path / name)) for name in ("a.png", "b.png"))
        assert one.target() == other.target()


@real
def test_a_normalized_slide_has_the_stains_of_the_reference() -> None:
    sample = tissue_of(TCGA, known=0.5)
    for transform in (Macenko(), Reinhard()):
        fitted = transform.fit(Named(), lambda _: sample)
        again = transform.fit(Named(), lambda _, fitted=fitted: fitted(sample)).facts
        for key, tolerance in (("stains", 0.03), ("mean", 0.01), ("std", 0.02)):
            if key in again:
                np.testing.assert_allclose(again[key], again["reference"][key], atol=tolerance)


def two_stains(
    amounts: np.ndarray, stains: tuple = ((0.65, 0.7, 0.29), (0.2, 0.8, 0.56))
) -> Pixels:
    """Return pixels (1, n, 3) of amounts (n, 2) of two stains."""
    vectors = np.array([np.array(one) / np.linalg.norm(one) for one in stains])
    light = 240 * np.exp(-np.asarray(amounts) @ vectors) - 1
    return np.rint(light.clip(0, 255)).astype(np.uint8)[np.newaxis]


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.tuples(st.floats(0.6, 0.9), st.floats(0.2, 0.3)))
def test_macenko_finds_the_stains_of_a_mixture(seed: int, reds: tuple[float, float]) -> None:
    stains = tuple((red, 0.7, 0.4) for red in reds)
    rng = np.random.default_rng(seed)
    amounts = rng.uniform(0.4, 1.5, (5000, 2)) * rng.choice([[1, 0], [0, 1], [1, 1]], 5000)
    pixels = two_stains(amounts[amounts.sum(axis=1) > 0.8], stains)
    found = Macenko().fit(Named(), lambda _: pixels).stains
    for vector, one in zip(found.vectors, stains, strict=True):
        assert angle_between((vector, one)) < 1.5
    assert np.array(solution(found.vectors)) @ np.array(found.vectors).T == pytest.approx(
        np.eye(2), abs=1e-9
    )


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_the_order_of_the_pixels_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = two_stains(rng.uniform(0.3, 1.5, (3000, 2)))
    mixed = rng.permutation(pixels, axis=1)
    for transform in (Macenko(), Reinhard()):
        one, other = (transform.fit(Named(), lambda _, p=p: p) for p in (pixels, mixed))
        assert one == other, "the results are rounded"


RNG = np.random.default_rng(0)
BLANK = RNG.integers(236, 250, (1, 20_000, 3), np.uint8)
ONE_STAIN = two_stains(np.stack([RNG.uniform(0.3, 2, 20_000), np.zeros(20_000)], axis=1))
DARK = (RNG.integers(0, 20, (1, 20_000, 3)) + np.array([0, 0, 60])).astype(np.uint8)
FEW = two_stains(RNG.uniform(0.5, 1, (999, 2)))
GREY = np.repeat(RNG.integers(90, 160, (1, 20_000, 1), np.uint8), 3, axis=2)
NOTHING = np.empty((1, 0, 3), np.uint8)


@pytest.mark.parametrize(
    ("transform", "pixels", "reason"),
    [
        (Macenko(), BLANK, "only 0 of 20000 pixels are stained"),
        (Reinhard(), BLANK, "only 0 of 20000 pixels are stained"),
        (Macenko(), ONE_STAIN, "it has one stain: all colours are within 0."),
        (Macenko(), DARK, r"the tissue is dark \(median grey 2. of 255\), as in fluorescence"),
        (Reinhard(), DARK, "the tissue is dark"),
        (Macenko(), FEW, "only 999 of 999 pixels are stained, but a fit needs 1000"),
        (Reinhard(), FEW, "a fit needs 1000"),
        (Reinhard(), GREY, "its colours are too uniform"),
        (Macenko(), GREY, "it has one stain"),
        (Macenko(), NOTHING, "there is no tissue"),
        (Reinhard(), NOTHING, "there is no tissue"),
    ],
)
def test_a_slide_that_cannot_be_fitted_says_why(
    transform: Macenko | Reinhard, pixels: Pixels, reason: str
) -> None:
    with pytest.raises(TransformError, match=reason) as caught:
        transform.fit(Named(), lambda _: pixels)
    assert str(caught.value).startswith("E_TRANSFORM slide=s: ")


def test_one_stain_has_colours_that_reinhard_fits() -> None:
    assert Reinhard().fit(Named(), lambda _: ONE_STAIN).facts["std"][2] > 0


@real
def test_a_fluorescence_slide_is_refused_by_both() -> None:
    sample = tissue_of(DAPI)
    for transform in (Macenko(), Reinhard()):
        with pytest.raises(TransformError, match=r"dark \(median grey 1. of 255\)"):
            transform.fit(Named(), lambda _: sample)


def fitted_ones() -> list[FittedMacenko | FittedReinhard]:
    sample = two_stains(np.random.default_rng(1).uniform(0.3, 1.5, (3000, 2)))
    return [one.fit(Named(), lambda _: sample) for one in (Macenko(), Reinhard())]


def test_fits_pickle_and_threads_agree() -> None:
    tiles = [RNG.integers(0, 256, (40, 24, 3), np.uint8) for _ in range(40)]
    for tile in tiles:
        tile.flags.writeable = False
    fitted = [*fitted_ones(), FittedIcc(scanner_profile())]
    for one in fitted:
        expected = [one(tile) for tile in tiles]
        copy = pickle.loads(pickle.dumps(one))
        assert copy == one
        assert len(pickle.dumps(one)) < 1500
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(copy, tiles * 5))
        assert all(np.array_equal(a, b) for a, b in zip(found, expected * 5, strict=True))
        assert json.loads(json.dumps(one.facts)) == one.facts


@pytest.mark.filterwarnings("error")
def test_the_largest_numbers_of_a_reference_give_black_and_white() -> None:
    """Numbers beyond int32 would turn into any colour, another one on each processor."""
    pixels = np.array([[[20, 60, 90], [240, 240, 240]]], np.uint8)
    own = Stains(((0.65, 0.7, 0.29), (0.25, 0.8, 0.54)), (1e-6, 1e-6))
    made = FittedMacenko(own, Stains(((0.6, 0.7, 0.4), (0.4, 0.7, 0.6)), (1000, 1000)), 0)(pixels)
    assert made[0, 0].tolist() == [0, 0, 0]
    assert (made[0, 1] >= 239).all()
    for sign, value in ((1, 255), (-1, 0)):
        target = Colours((sign * 1000.0, 0, 0), (1, 1, 1))
        assert (FittedReinhard(Colours((0, 0, 0), (1, 1, 1)), target, 0)(pixels) == value).all()
    wide = FittedReinhard(Colours((0, 0, 0), (1e-3,) * 3), Colours((0, 0, 0), (1000,) * 3), 0)
    assert wide(np.full((1, 1, 3), 20, np.uint8)).tolist() == [[[0, 0, 0]]]


@pytest.mark.parametrize("shape", [(1100, 1301), (3, 70_000), (1, 70_000), (40_000, 1)])
def test_a_large_tile_is_transformed_in_strips(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (*shape, 3), np.uint8)
    at = rng.integers(0, shape[0] * shape[1], 1000)
    for one in (*fitted_ones(), FittedIcc(scanner_profile())):
        single = one(pixels.reshape(-1, 3)[at][np.newaxis])
        tracemalloc.start()
        found = one(pixels)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        np.testing.assert_array_equal(found.reshape(-1, 3)[at], single[0])
        if pixels.size > 1_000_000:
            assert peak < 1.5 * pixels.nbytes, "whole planes take ten times the tile"


def test_a_slide_with_the_reference_stains_stays_as_it_is() -> None:
    macenko, reinhard = fitted_ones()
    amounts = RNG.uniform(0, 1.5, (500, 2))
    inside = two_stains(amounts, macenko.stains.vectors)
    same = FittedMacenko(macenko.stains, macenko.stains, 0)
    assert np.abs(same(inside).astype(int) - inside).max() <= 1
    colours = RNG.integers(0, 256, (64, 64, 3), np.uint8)
    unchanged = FittedReinhard(reinhard.colours, reinhard.colours, 0)(colours)
    assert np.abs(unchanged.astype(int) - colours).max() <= 1


# References.


def test_a_fit_in_a_record_is_a_reference(tmp_path: Path) -> None:
    for fitted, kind in zip(fitted_ones(), (Macenko, Reinhard), strict=True):
        path = tmp_path / f"{kind.__name__}.json"
        path.write_text(json.dumps(fitted.facts))
        target = kind(reference=str(path)).target()
        known = fitted.stains if isinstance(fitted, FittedMacenko) else fitted.colours
        np.testing.assert_allclose(np.hstack([np.ravel(x) for x in target]),
                                   np.hstack([np.ravel(x) for x in known]), atol=1e-8)  # fmt: skip


def test_a_picture_is_a_reference(tmp_path: Path) -> None:
    sample = two_stains(np.random.default_rng(1).uniform(0.3, 1.5, (3000, 2)))
    Image.fromarray(sample.reshape(50, 60, 3)).save(tmp_path / "reference.png")
    macenko, reinhard = fitted_ones()
    path = str(tmp_path / "reference.png")
    assert Macenko(reference=path).target() == macenko.stains
    assert Reinhard(reference=path).target() == reinhard.colours
    assert Macenko(reference=path).inputs() == (Path(path),)
    assert Macenko().inputs() == ()


def test_a_reference_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"mean": [0, 0, 0], "std": [1, 1, 1]}')
    assert Reinhard(reference=str(path)).target().mean == (0, 0, 0)
    path.write_text('{"mean": [0, 0, 0.5], "std": [1, 1, 1]}')
    assert Reinhard(reference=str(path)).target().mean == (0, 0, 0.5)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "does not exist; correct the path, or use builtin"),
        ("{", "is not the JSON file of a reference: Expecting property name"),
        ("[]", "it contains no object"),
        ("{}", '"stains" must be a list of 2 lists of 3 numbers'),
        ('{"stains": [[1, 2]]}', '"stains" must be a list of 2 lists'),
        ('{"stains": [[1, 2, 3], [1, 2]], "max": [1, 1]}', "must be a list of 3 numbers"),
        ('{"stains": [[1, 2, 3], [0, 0, 0]], "max": [1, 1]}', "a vector of zeros"),
        ('{"stains": [[1, 2, 3], [2, 4, 6]], "max": [1, 1]}', "one stain"),
        ('{"stains": [[1, 2, 3], [3, 2, NaN]], "max": [1, 1]}', "must be a list of 3 numbers"),
        ('{"stains": [[1, 2, 3], [3, 2, 1]], "max": [1, 0]}', "is not positive"),
        (f'{{"stains": [[1, 2, 3], [3, 2, 1]], "max": [1, 1{"0" * 400}]}}', "from -1000 to 1000"),
        ('{"stains": [[1, 2, 3], [3, 2, 1]], "max": [1, 1e308]}', "from -1000 to 1000"),
        ('{"stains": [[1, 2, 3], [-3, 2, 1]], "max": [1, 1]}', "which absorbs no light"),
        ('{"stains": [[1, 2, 3], [-1, -2, -3]], "max": [1, 1]}', "which absorbs no light"),
    ],
)
def test_a_reference_file_that_cannot_be_used_is_one_line(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    path = tmp_path / "r.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=reason) as caught:
        Macenko(reference=str(path))
    assert str(caught.value).startswith(f"transform.macenko.reference={path}")
    assert "\n" not in str(caught.value)


def test_a_picture_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    uniform = np.full((60, 60, 3), (180, 90, 150), np.uint8)
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head
    bomb += struct.pack(">II4s", zlib.crc32(b"IHDR" + head), 99, b"IDAT") + bytes(100)
    cases = {
        "text.png": (b"no picture", "its format is none of PNG, JPEG, TIFF, WEBP, BMP"),
        "white.png": (np.full((60, 60, 3), 255, np.uint8), "pixels are stained"),
        "uniform.png": (uniform, "one stain|too uniform"),
        "dark.png": (uniform // 8, "is dark"),
        "deep.png": (uniform[..., 0].astype(np.uint16) * 256, "pixels of kind I;16"),
        "bomb.png": (bomb, "exceeds limit"),
        "cut.png": (bomb[:30], "is not a picture"),
        "deep.json": (b"[" * 100_000, "is not the JSON file"),
    }
    for name, (content, reason) in cases.items():
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            Image.fromarray(content).save(path)
        for kind in (Macenko, Reinhard):
            with pytest.raises(ConfigError, match=reason) as caught:
                kind(reference=str(path))
            assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="it is not a regular file"):
        Macenko(reference=str(tmp_path))
    for value in ("", None, 3):
        with pytest.raises(ConfigError, match=r"transform\.reinhard\.reference"):
            Reinhard(reference=value)
    for mpp in (0, -1, "a", True, float("nan")):
        with pytest.raises(ConfigError, match=r"transform\.macenko\.mpp"):
            Macenko(mpp=mpp)


# The sample of tissue.


@real
def test_the_sample_is_tissue_at_the_resolution_that_is_asked_for() -> None:
    with open_slide(CMU) as source:
        mask = np.zeros((30, 20), bool)
        mask[6:12, 4:17] = True
        for mpp in (1.0, 3.0):
            found, unreadable = tissue_pixels(source, SlideMask.plain(mask), MPP(mpp, 0.02))
            pixels = source.dimensions.width * source.dimensions.height * (source.mpp / mpp) ** 2
            assert found.shape[1] == pytest.approx(mask.mean() * pixels, rel=0.03)
            assert not unreadable
        mean = source.read_region((222, 296), (719, 296), MPP(1.0, 0.02)).mean(axis=(0, 1))
        found, _ = tissue_pixels(source, SlideMask.plain(mask), MPP(1.0, 0.02))
        np.testing.assert_allclose(found[0].mean(axis=0), mean, atol=0.3)
        assert not tissue_pixels(source, SlideMask.plain(~mask & mask), MPP(1.0))[0].size


@given(
    st.tuples(st.integers(0, 90), st.integers(0, 70)),
    st.tuples(st.integers(1, 130), st.integers(1, 150)),
    st.sampled_from([1.0, 2.0, 2.5]),
    st.integers(0, 2**32),
)
def test_the_sample_is_the_masks_pixels_within_the_bounds(
    corner: tuple[int, int], size: tuple[int, int], downsample: float, seed: int
) -> None:
    """Each pixel of the slide states whether it is in the bounds and in the mask."""
    (x, y), (width, height) = corner, size
    rng = np.random.default_rng(seed)
    mask = rng.random((rng.integers(1, 9), rng.integers(1, 9))) < 0.5
    down, across = (
        ((np.arange(length) + 0.5) * cells / length).astype(int)
        for length, cells in ((height, mask.shape[0]), (width, mask.shape[1]))
    )
    inside = mask[np.ix_(down, across)]
    pixels = np.full((240, 260, 3), 255, np.uint8)
    pixels[y : y + height, x : x + width] = np.where(inside, 40, 200)[..., np.newaxis]
    source = ArrayReader(pixels, bounds=(x, y, width, height), mpp=1.0)
    resolution = resolution_for(downsample, source, Level(0))
    found, _ = tissue_pixels(source, SlideMask.plain(mask), resolution)
    area = whole_box(source.bounds, downsample, inside=True)
    assert found.shape[1] <= area.width * area.height
    if downsample == 1:
        assert (found == 40).all()
        assert found.shape[1] == inside.sum()
    assert not any(reading[3] is False for reading in source.reads)


def test_a_large_slide_costs_no_more_than_its_blocks(tmp_path: Path) -> None:
    path = tmp_path / "s.tiff"
    pixels = np.full((1500, 2100, 3), 200, np.uint8)
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", compression="deflate")
    with open_slide(path) as source:
        found, _ = tissue_pixels(source, SlideMask.plain(np.ones((1, 1), bool)), Level(0))
    assert found.shape[1] <= 128 * 64 * 64
    assert found.shape[1] > 120 * 64 * 64, "the last row and column of blocks are smaller"


# Colour management.


def profiled(path: Path, profile: bytes | None, kind: str = "tiff") -> Pixels:
    """Write a slide with an ICC profile; return its pixels."""
    pixels = np.random.default_rng(3).integers(0, 256, (70, 90, 3), np.uint8)
    if kind == "tiff":
        tifffile.imwrite(path, pixels, tile=(32, 32), photometric="rgb", iccprofile=profile)
    else:
        Image.fromarray(pixels).save(path, icc_profile=profile)
    return pixels


@pytest.mark.parametrize("opener", [open_slide, TiffReader, OpenSlideReader, ImageReader])
@pytest.mark.parametrize("intent", [0, 1, 3])
def test_icc_gives_the_pixels_that_imagecms_gives(
    tmp_path: Path, opener: type, intent: int
) -> None:
    kind = "png" if opener is ImageReader else "tiff"
    path, profile = tmp_path / f"s.{kind}", scanner_profile(intent=intent)
    pixels = profiled(path, profile, kind)
    with opener(path) as source:
        assert isinstance(source, HasProfile)
        assert source.icc_profile == profile
        tile = source.read_region((3, 5), (60, 40), Level(0))
        fitted = Icc().fit(source, lambda _: pytest.fail("it needs no tissue"))
        assert not fitted.notes(source)
    expected = ImageCms.profileToProfile(
        Image.fromarray(pixels),
        ImageCms.getOpenProfile(BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        ImageCms.Intent(intent),
    )
    np.testing.assert_array_equal(fitted(tile), np.asarray(expected)[5:45, 3:63])
    assert np.abs(fitted(tile).astype(int) - tile).mean() > 5, "the profile matters"
    assert fitted.facts["profile"] == "a scanner"


def test_a_slide_without_profile_stays_as_it_is(tmp_path: Path) -> None:
    pixels = profiled(tmp_path / "s.tiff", None)
    for opener in (TiffReader, OpenSlideReader, ImageReader):
        with opener(tmp_path / "s.tiff") as source:
            fitted = Icc().fit(source, lambda _: pytest.fail("it needs no tissue"))
            assert source.icc_profile is None
        assert fitted.facts == {"profile": None}
        assert fitted(pixels) is pixels
        assert fitted.notes(source) == ("icc: the slide has no ICC profile; its pixels stay",)


def test_a_profile_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    grey = scanner_profile().replace(b"RGB XYZ ", b"GRAYXYZ ")
    missing = scanner_profile().replace(b"rTRC", b"xTRC")
    other = scanner_profile(intent=7)
    for profile in (b"no profile", scanner_profile()[:300], grey, missing, other):
        profiled(tmp_path / "s.tiff", profile)
        for opener in (TiffReader, OpenSlideReader):
            with opener(tmp_path / "s.tiff") as source, pytest.raises(TransformError) as caught:
                Icc().fit(source, lambda _: pytest.fail("it needs no tissue"))
            assert "\n" not in str(caught.value)
            assert str(caught.value).startswith("E_TRANSFORM slide=s: icc: the")


def test_a_description_that_is_no_text_does_not_matter(tmp_path: Path) -> None:
    """Some scanners write their names in Latin-1."""
    found = []
    for name in (b"a scanner", b"a \xe9canner"):
        profile = scanner_profile().replace(b"a scanner", name)
        pixels = profiled(tmp_path / "s.tiff", profile)
        with open_slide(tmp_path / "s.tiff") as source:
            fitted = Icc().fit(source, lambda _: pytest.fail("it needs no tissue"))
        found.append(fitted(pixels))
        assert fitted.facts["sha256"] == sha256(profile).hexdigest()
        json.dumps(fitted.facts)
    np.testing.assert_array_equal(*found)


def test_a_profile_outside_the_file_does_not_keep_a_slide_from_opening(tmp_path: Path) -> None:
    path = tmp_path / "s.tiff"
    profiled(path, scanner_profile())
    data = bytearray(path.read_bytes())
    entry = data.index(b"\x73\x87\x07\x00")  # tag 34675 of bytes
    data[entry + 8 : entry + 12] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(data)
    with TiffReader(path) as source:
        with pytest.raises(OpenError, match="the ICC profile of page 0 is damaged"):
            _ = source.icc_profile
        with pytest.raises(TransformError, match="damaged"):
            Icc().fit(source, lambda _: pytest.fail("it needs no tissue"))


@real
def test_real_profiles_are_read_alike_by_both_readers() -> None:
    with TiffReader(TCGA) as one, OpenSlideReader(TCGA) as other:
        assert one.icc_profile == other.icc_profile
        assert Icc().fit(one, lambda _: None).facts["profile"] == "sRGB IEC61966-2.1"


# docs/transforms.md.

PAGE = (Path(__file__).resolve().parents[1] / "docs/transforms.md").read_text(encoding="utf-8")


@real
def test_the_page_shows_a_real_fit_and_code_that_runs(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.M | re.S)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    names: dict[str, Any] = {}
    exec(code.replace("slide.svs", str(CMU)).replace('"tiles"', repr(str(tmp_path))), names)
    fitted, content = names["fitted"], json.loads(f"{{{shown}}}")["transforms"]["images"]["macenko"]
    assert fitted.facts == content
    files = sorted(tmp_path.glob("*.png"))
    assert len(files) == len(names["extractor"].region_specs_) > 3
    with open_slide(CMU) as source:
        first = names["extractor"].region_specs_[0]
        raw = source.read_region(first.location, first.shape, first.resolution, bounded=False)
    expected = fitted(raw).tobytes()
    assert expected in {np.asarray(Image.open(file)).tobytes() for file in files}


def test_transforms_that_are_not_fitted_are_refused(tmp_path: Path) -> None:
    Image.fromarray(two_stains(RNG.uniform(0.3, 1, (4096, 2))).reshape(64, 64, 3)).save(
        tmp_path / "s.png"
    )
    extractor = TileExtractor(TileSpec(16, resolution=Level(0)), mask_threshold=0)
    with ImageReader(tmp_path / "s.png") as source:
        extractor.fit_extract(source)
        for wrong in ([Macenko()], [Macenko], Macenko()):
            with pytest.raises(ArgumentError, match="transforms"):
                extractor.save(tmp_path / "out", transforms=wrong)
        assert not (tmp_path / "out").exists()
        with pytest.raises(RuntimeError, match="return uint8 of shape"):
            extractor.save(tmp_path / "out", transforms=[lambda pixels: pixels[1:]])
