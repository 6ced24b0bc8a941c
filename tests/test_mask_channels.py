"""Otsu's threshold on other channels than saturation, and masks by texture."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ArrayReader as Picture
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_masks import EOSIN, HAEMATOXYLIN, REAL, TINTS, glass, paint, share, tinted

from tiler import open_slide
from tiler.errors import ConfigError
from tiler.masks import OtsuMask, TextureMask
from tiler.masks.channels import BOUNDS, channel_of, white_of
from tiler.masks.texture import local_entropy, local_std
from tiler.pixels.colour import to_hsv
from tiler.readers import ImageReader

DENSITIES = ["optical_density", "hematoxylin", "grey"]
PIXELS = arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 7), st.just(3)))


def test_each_channel_has_the_values_of_its_formula():
    colours = [(255, 255, 255), EOSIN, HAEMATOXYLIN, (20, 30, 25), (0, 0, 0)]
    pixels = np.array([colours], np.uint8)
    assert channel_of(pixels, "red").tolist() == [[255, 215, 110, 20, 0]]
    assert channel_of(pixels, "blue").tolist() == [[255, 175, 150, 25, 0]]
    saturation = to_hsv(pixels)[..., 1]
    assert channel_of(pixels, "saturation").tolist() == [[*saturation[0, :3].tolist(), 0, 0]]
    grey = channel_of(pixels, "grey", 250)
    assert grey.tolist() == [[0, 250 - 161, 250 - 97, 0, 0]]
    density = [round(100 * np.mean([-np.log10((value + 1) / 256) for value in colour]))
               for colour in colours[:3]]  # fmt: skip
    assert channel_of(pixels, "optical_density").tolist() == [[*density, 0, 0]]
    white, eosin, nuclei, *dark = channel_of(pixels, "hematoxylin")[0].tolist()
    assert white == 0
    assert eosin < BOUNDS["hematoxylin"][1] < nuclei
    assert dark == [0, 0]


@given(PIXELS, st.sampled_from(["saturation", *DENSITIES, "red", "green", "blue"]))
def test_a_channel_of_any_picture_transposes(pixels, channel):
    found = channel_of(pixels, channel, white_of(pixels))
    assert found.dtype == np.uint8
    turned = pixels.transpose(1, 0, 2)
    assert (channel_of(turned, channel, white_of(turned)) == found.T).all()


@pytest.mark.parametrize("channel", DENSITIES)
@pytest.mark.parametrize("tint", [(241, 240, 242), (214, 214, 214), *TINTS.values()])
def test_glass_is_empty_and_tissue_on_it_is_found(channel, tint):
    blank = tinted(140, 230, tint, 3)
    assert not OtsuMask(channel=channel).generate(Picture(blank, mpp=8.0)).any()
    stained = np.rint(np.array(tint) / 255 * HAEMATOXYLIN).astype(np.uint8)
    paint(blank, 40, 30, 90, 60, stained)
    mask = OtsuMask(channel=channel).generate(Picture(blank, mpp=8.0))
    assert share(mask, 44, 34, 82, 52) == 1
    assert mask.sum() == pytest.approx(90 * 60, rel=0.05)


def test_a_black_border_is_no_tissue_in_bright_field():
    pixels = paint(glass(120, 200), 0, 0, 200, 30, (5, 5, 5))
    for channel in DENSITIES:
        assert not OtsuMask(channel=channel).generate(Picture(pixels, mpp=8.0)).any()


@pytest.mark.parametrize("channel", ["optical_density", "grey"])
@pytest.mark.parametrize("name", sorted(REAL))
def test_on_real_thumbnails_density_finds_what_saturation_finds(channel, name, shared_slides):
    with ImageReader(shared_slides / "thumbs" / name) as source:
        before, after = OtsuMask().generate(source), OtsuMask(channel=channel).generate(source)
    assert (before & after).sum() > 0.75 * (before | after).sum()
    for box in REAL[name]["tissue"]:
        assert share(after, *box) > 0.8, box


def test_haematoxylin_finds_nuclei_and_not_eosin():
    pixels = glass(100, 200)
    paint(pixels, 20, 20, 60, 60, EOSIN)
    paint(pixels, 110, 20, 60, 60, HAEMATOXYLIN)
    mask = OtsuMask(channel="hematoxylin").generate(Picture(pixels, mpp=8.0))
    assert share(mask, 20, 20, 60, 60) == 0
    assert share(mask, 112, 22, 56, 56) == 1


def test_a_fluorescence_channel_finds_what_is_bright_in_it(shared_slides):
    with open_slide(shared_slides / "test3-DAPI-2-(387).ndpi") as slide:
        masks = {channel: OtsuMask(channel=channel).generate(slide) for channel in ("red", "blue")}
        blue = slide.thumbnail(masks["blue"].shape[::-1])[..., 2]
    assert not masks["red"].any()
    assert 0.1 < masks["blue"].mean() < 0.6
    assert blue[masks["blue"]].mean() > 3 * blue[~masks["blue"]].mean()


def brute(grey, window, measure):
    """A measure of each window of a mirrored picture, one window at a time."""
    half = window // 2
    around = np.pad(grey.astype(float), half, mode="reflect")
    return np.array(
        [
            [measure(around[y : y + window, x : x + window]) for x in range(grey.shape[1])]
            for y in range(grey.shape[0])
        ]
    )


def entropy(values):
    _, counts = np.unique(values // 8, return_counts=True)
    shares = counts / counts.sum()
    return -(shares * np.log2(shares)).sum()


@given(arrays(np.uint8, st.tuples(st.integers(4, 9), st.integers(4, 9))), st.sampled_from([3, 5]))
def test_texture_is_that_of_each_window(grey, window):
    np.testing.assert_allclose(local_std(grey, window), brute(grey, window, np.std), atol=1e-3)
    np.testing.assert_allclose(local_entropy(grey, window), brute(grey, window, entropy), atol=1e-5)


@pytest.mark.parametrize("measure", ["std", "entropy"])
def test_texture_finds_grey_tissue_and_leaves_glass_of_any_tint(measure):
    mask = TextureMask(measure=measure)
    for tint in TINTS.values():
        assert not mask.generate(Picture(tinted(90, 140, tint, 3), mpp=8.0)).any()
    pixels = glass(160, 240)
    grain = np.random.default_rng(0).integers(120, 236, (80, 110, 1))
    pixels[40:120, 60:170] = grain
    source = Picture(pixels, mpp=8.0)
    assert not OtsuMask().generate(source).any(), "it has no colour"
    found = mask.generate(source)
    assert share(found, 60, 40, 110, 80) > 0.98
    assert found.sum() == pytest.approx(80 * 110, rel=0.1)
    turned = mask.generate(Picture(pixels.transpose(1, 0, 2), mpp=8.0))
    assert (found == turned.T).all()


@pytest.mark.parametrize("name", sorted(REAL))
def test_texture_finds_tissue_of_real_thumbnails(name, shared_slides):
    with ImageReader(shared_slides / "thumbs" / name) as source:
        mask = TextureMask().generate(source)
    boxes = REAL[name]["tissue"]
    assert np.mean([share(mask, *box) for box in boxes]) > 0.85
    glass_boxes = [share(mask, *box) for box in REAL[name]["glass"]]
    assert min(glass_boxes) < 0.65  # windows beside tissue contain some of it


def test_texture_finds_fluorescent_tissue(shared_slides):
    with open_slide(shared_slides / "test3-DAPI-2-(387).ndpi") as slide:
        mask = TextureMask().generate(slide)
        blue = slide.thumbnail(mask.shape[::-1])[..., 2]
    assert 0.1 < mask.mean() < 0.5
    assert blue[mask].mean() > 3 * blue[~mask].mean()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (
            lambda: OtsuMask(channel="dapi"),
            r"mask\.channel='dapi' is invalid; use one of saturation",
        ),
        (lambda: TextureMask(measure="x"), r"mask\.measure='x' is invalid; use std or entropy"),
        (lambda: TextureMask(window=4), r"mask\.window=4 is invalid; use an odd number"),
        (lambda: TextureMask(threshold=-1), r"mask\.threshold=-1 is invalid"),
    ],
)
def test_wrong_settings_are_named(make, problem):
    with pytest.raises(ConfigError, match=problem):
        make()
