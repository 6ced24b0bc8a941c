"""Depth, colours, channels and orientation of TIFF slides: shown as meant, or refused."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command import read_csv, tiler
from test_tiff_reader import APERIO, PHILIPS, PYRAMID, TILE, ome, picture, write

from tiler import Level
from tiler.errors import DepthError, OpenError
from tiler.readers import open_slide
from tiler.readers.openslide.reader import OpenSlideReader
from tiler.readers.tiff.reader import TiffReader

RGB = PYRAMID[0]
GREY = RGB[..., 0].copy()
SIZE = (308, 236)
ALPHA = np.tile(np.linspace(0, 255, 308).astype(np.uint8), (236, 1))
COLOURS = np.random.default_rng(2).integers(0, 256, (3, 256)).astype(np.uint16) * 257

write_tiled = partial(tifffile.imwrite, tile=TILE[::-1], metadata=None)


def on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return pixels * share + 255 * (1 - share)


def in_grey(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., None], 3, axis=2)


def in_planes(pixels: np.ndarray) -> np.ndarray:
    return np.moveaxis(pixels, 2, 0).copy()


PREMULTIPLIED = np.dstack([np.rint(RGB * (ALPHA[..., None] / 255)).astype(np.uint8), ALPHA])

SHOWN = {
    "grey": (GREY, {"photometric": "minisblack"}, in_grey(GREY)),
    "grey JPEG": (GREY, {"photometric": "minisblack", "compression": "jpeg"}, None),
    "white is zero": (GREY, {"photometric": "miniswhite"}, in_grey(255 - GREY)),
    "palette": (GREY, {"photometric": "palette", "colormap": COLOURS},
                np.moveaxis(COLOURS[:, GREY] // 257, 0, 2)),
    "RGB": (RGB, {"photometric": "rgb"}, RGB),
    "RGB in planes": (in_planes(RGB), {"photometric": "rgb", "planarconfig": "separate"}, RGB),
    "alpha": (np.dstack([RGB, ALPHA]), {"photometric": "rgb", "extrasamples": ["unassalpha"]},
              on_white(RGB, ALPHA)),
    "associated alpha": (PREMULTIPLIED, {"photometric": "rgb", "extrasamples": ["assocalpha"]},
                         on_white(RGB, ALPHA)),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("description", [None, APERIO])
@pytest.mark.parametrize("opener", [open_slide, OpenSlideReader])
def test_pixels_are_shown_as_the_file_means_them(tmp_path, name, description, opener):
    stored, options, meant = SHOWN[name]
    path = tmp_path / "a.tif"
    write_tiled(path, stored, description=description, **({"compression": "deflate"} | options))
    if meant is None:
        meant = in_grey(tifffile.imread(path))
    with opener(path) as slide:
        got = slide.read_region((0, 0), SIZE, Level(0))
    assert np.abs(got - meant).max() <= (0 if "alpha" not in name else 2)


def deep(kind: type) -> np.ndarray:
    return RGB.astype(kind) * 3


FOUR = np.dstack([RGB, ALPHA])
REFUSED = {
    "16-bit RGB": (deep(np.uint16), {"photometric": "rgb"},
                   ["3 samples per pixel of 16 bits", "2 (RGB)"]),
    "16-bit grey": (GREY.astype(np.uint16), {"photometric": "minisblack"},
                    ["1 sample per pixel of 16 bits", "1 (MinIsBlack)"]),
    "float": (GREY.astype(np.float32), {"photometric": "minisblack"}, ["32 bits", "float"]),
    "half": (GREY.astype(np.float16), {"photometric": "minisblack"}, ["16 bits", "float"]),
    "signed": (GREY.view(np.int8), {"photometric": "minisblack"}, ["8 bits", "signed"]),
    "three called grey": (RGB, {"photometric": "minisblack", "planarconfig": "contig"},
                          ["3 samples per pixel of 8 bits", "1 (MinIsBlack)"]),
    "four called grey": (FOUR, {"photometric": "minisblack", "planarconfig": "contig"},
                         ["4 samples per pixel of 8 bits", "1 (MinIsBlack)"]),
    "three grey planes": (in_planes(RGB), {"photometric": "minisblack", "planarconfig": "separate"},
                          ["3 samples per pixel", "1 (MinIsBlack)", "in separate planes"]),
    "grey and alpha": (np.dstack([GREY, ALPHA]),
                       {"photometric": "minisblack", "planarconfig": "contig",
                        "extrasamples": ["unassalpha"]}, ["2 samples", "extra samples alpha"]),
    "five samples": (np.dstack([FOUR, GREY]), {"photometric": "rgb", "planarconfig": "contig"},
                     ["5 samples per pixel"]),
    "five planes": (in_planes(np.dstack([FOUR, GREY])),
                    {"photometric": "minisblack", "planarconfig": "separate"},
                    ["5 samples per pixel", "in separate planes"]),
    "a fourth sample of unknown meaning": (FOUR, {"photometric": "rgb",
                                                  "extrasamples": ["unspecified"]},
                                           ["4 samples", "extra samples unspecified"]),
    "CMYK": (FOUR, {"photometric": "separated"}, ["4 samples per pixel", "5 (CMYK)"]),
    "CIE L*a*b*": (RGB, {"photometric": "cielab"}, ["8 (CIE L*a*b*)"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("description", [None, APERIO])
def test_misread_pixel_kinds_are_refused_by_all_readers(tmp_path, name, description):
    stored, options, words = REFUSED[name]
    path = tmp_path / "a.tif"
    write_tiled(path, stored, description=description, compression="deflate", **options)
    for opener in (open_slide, OpenSlideReader, TiffReader):
        with pytest.raises(OpenError) as caught:
            opener(path)
        for word in words:
            assert word in str(caught.value)
    if name not in ("float", "half"):  # which OpenSlide does not open
        with pytest.raises(DepthError, match=r"^E_DEPTH slide=a: a\.tif: page 0: "):
            open_slide(path)


def test_a_16_bit_level_below_an_8_bit_one_is_refused(tmp_path):
    path = tmp_path / "a.svs"
    with tifffile.TiffWriter(path) as tiff:
        options = {"tile": TILE[::-1], "photometric": "rgb", "metadata": None}
        tiff.write(RGB, description=APERIO, compression="jpeg", **options)
        tiff.write(PYRAMID[1].astype(np.uint16), compression="deflate", **options)
    with pytest.raises(DepthError, match="page 1: 3 samples per pixel of 16 bits"):
        open_slide(path)


def test_a_deep_ndpi_is_refused_and_the_real_one_is_not(tmp_path, shared_slides):
    real = shared_slides / "test3-DAPI-2-(387).ndpi"
    path = tmp_path / "deep.ndpi"
    shutil.copyfile(real, path)
    OpenSlideReader(path).close()
    for page, refused in ((5, False), (2, True)):  # a map of the slide, and its levels
        with tifffile.TiffFile(path, mode="r+") as tiff:
            tags = tiff.pages[page].tags
            tags[258].overwrite(16 if page == 5 else (16, 16, 16))
        if refused:
            with pytest.raises(DepthError, match="3 samples per pixel of 16 bits"):
                open_slide(path)
        else:
            open_slide(path).close()


# Orientation

LEICA = """<?xml version="1.0"?>
<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01" uuid="u">
<collection name="c" sizeX="640000" sizeY="480000"><image name="i" uuid="v">
<pixels sizeX="320" sizeY="240"><dimension sizeX="320" sizeY="240" r="0" ifd="0"/></pixels>
<view sizeX="160000" sizeY="120000" offsetX="80000" offsetY="60000" spacingZ="0"/>
<scanSettings><objectiveSettings><objective>20</objective></objectiveSettings>
<illuminationSettings><numericalAperture>0.4</numericalAperture>
<illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings>
</image></collection></scn>"""
TRESTLE = "Background Color=FFFFFF;Image Width=320;OverlapsXY=0 0 0 0"
OTHERS = {
    "leica": {"description": LEICA, "bigtiff": True},
    "trestle": {"description": TRESTLE, "software": "MedScan 1"},
}
"""Formats of TIFFs that OpenSlide alone reads."""


def of_another_vendor(path: Path, vendor: str, pixels: np.ndarray, **options) -> Path:
    with tifffile.TiffWriter(path, bigtiff=OTHERS[vendor].get("bigtiff", False)) as tiff:
        words = {k: v for k, v in OTHERS[vendor].items() if k != "bigtiff"}
        options = {"photometric": "rgb", "compression": "deflate", "metadata": None} | options
        tiff.write(pixels, tile=(48, 64), **words, **options)
    return path


@pytest.mark.parametrize("vendor", OTHERS)
def test_slides_of_other_vendors_are_checked_too(tmp_path, vendor):
    pixels = picture(320, 240)
    path = of_another_vendor(tmp_path / "good.tif", vendor, pixels)
    with open_slide(path) as slide:
        assert isinstance(slide, OpenSlideReader)
        assert slide.properties["openslide.vendor"] == vendor
        got = slide.read_region((0, 0), (320, 240), Level(0))
        assert np.array_equal(got, pixels)
    deep = of_another_vendor(tmp_path / "deep.tif", vendor, pixels.astype(np.uint16))
    with pytest.raises(DepthError, match="page 0: 3 samples per pixel of 16 bits"):
        open_slide(deep)
    turned = [(274, 3, 1, 8, True)]
    path = of_another_vendor(tmp_path / "turned.tif", vendor, pixels, extratags=turned)
    with pytest.raises(OpenError, match=r"Orientation tag \(274\) is 8"):
        open_slide(path)
    path = of_another_vendor(tmp_path / "hurt.tif", vendor, pixels)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        counts = list(tiff.pages.first.tags[325].value)
        tiff.pages.first.tags[325].overwrite([*counts[:7], 0, *counts[8:]])
    with pytest.raises(OpenError, match=r"hurt\.tif: page 0: native tile 7 .*byte count is 0"):
        open_slide(path)


PLACES = {
    "generic": {},
    "Aperio": {"description": APERIO},
    "Philips": {"description": PHILIPS, "software": "Philips DP v1.0"},
}


@pytest.mark.parametrize("orientation", [0, 2, 3, 4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("vendor", PLACES)
@pytest.mark.parametrize("compression", ["jpeg", "deflate"])
def test_a_turned_or_mirrored_image_is_refused_by_all_readers(
    tmp_path, orientation, vendor, compression
):
    path = write(
        tmp_path / "a.tiff",
        *(picture(320, 240), picture(192, 144)),
        extratags=[(274, 3, 1, orientation, True)],
        compression=compression,
        **PLACES[vendor],
    )
    for opener in (open_slide, OpenSlideReader, TiffReader):
        with pytest.raises(OpenError) as caught:
            opener(path)
        for words in (f"Orientation tag (274) is {orientation}", "rotate it first", "tag to 1"):
            assert words in str(caught.value)


def test_the_orientation_of_a_label_does_not_matter(tmp_path):
    path = tmp_path / "a.svs"
    with tifffile.TiffWriter(path) as tiff:
        options = {"photometric": "rgb", "metadata": None}
        tiff.write(RGB, description=APERIO, tile=TILE[::-1], compression="jpeg", **options)
        label = picture(90, 80)
        tiff.write(label, rowsperstrip=80, extratags=[(274, 3, 1, 6, True)], **options)
    for opener in (open_slide, OpenSlideReader):
        with opener(path) as slide:
            assert slide.dimensions == SIZE


def test_the_run_names_the_tag(tmp_path):
    write_tiled(
        tmp_path / "a.tiff", RGB, photometric="rgb", extratags=[(274, 3, 1, 6, True)],
        compression="deflate",
    )  # fmt: skip
    words = ["slides=files", "slides.paths=a.tiff", "resolution=level", "mask=none", "out=out"]
    assert tiler(*words, "exporter=[csv,images]", cwd=tmp_path).returncode == 3
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert "Orientation tag (274) is 6 (turn it by 90 degrees clockwise)" in row["reason"]


# Channels in pages


@pytest.mark.parametrize("channels", [2, 3, 5])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("subifds", [0, 1])
def test_channels_in_pages_are_refused(tmp_path, channels, kind, subifds):
    path = tmp_path / "a.ome.tif"
    stack = np.stack([GREY + channel for channel in range(channels)]).astype(kind)
    options = {"tile": TILE[::-1], "photometric": "minisblack", "compression": "deflate"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(stack, metadata={"axes": "CYX"}, subifds=subifds, **options)
        for _ in range(subifds):
            tiff.write(stack[:, ::2, ::2], subfiletype=1, metadata=None, **options)
    bits = 8 * np.dtype(kind).itemsize
    for opener in (open_slide, OpenSlideReader):
        with pytest.raises(DepthError) as caught:
            opener(path)
        assert f"1 sample per pixel of {bits} bits" in str(caught.value)
        if bits == 8 or opener is open_slide:
            said = f"{channels} (pages of 308x236|channels in several pages)"
            assert re.search(said, str(caught.value))
            assert "channels" in str(caught.value)


def test_channels_without_ome_xml_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        for page in (GREY, GREY[::-1], GREY[:, ::-1]):
            write = partial(tiff.write, photometric="minisblack", metadata=None)
            write(page, tile=TILE[::-1], compression="deflate")
    for opener in (open_slide, OpenSlideReader):
        with pytest.raises(DepthError, match="3 pages of 308x236, each with 1 sample per pixel of"):
            opener(path)


def test_colours_in_several_pages_are_refused(tmp_path):
    path = tmp_path / "a.ome.tif"
    stack = np.stack([RGB, RGB[::-1]])
    options = {"tile": TILE[::-1], "photometric": "rgb", "compression": "deflate"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(stack, metadata={"axes": "CYXS"}, **options)
    for opener in (open_slide, OpenSlideReader):
        with pytest.raises(DepthError, match=r"lists 6 channels .* page 0 .*3 samples per pixel"):
            opener(path)


def test_one_grey_image_with_a_pyramid_and_a_thumbnail_has_no_channels(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        options = {"photometric": "minisblack", "metadata": None, "compression": "deflate"}
        tiff.write(GREY, tile=TILE[::-1], **options)
        for step in (2, 4):
            tiff.write(GREY[::step, ::step], tile=TILE[::-1], subfiletype=1, **options)
        tiff.write(GREY[::8, ::8], **options)
    with open_slide(path) as slide:
        assert slide.level_dimensions == ((308, 236), (154, 118), (77, 59))
        assert np.array_equal(slide.read_region((0, 0), SIZE, Level(0)), in_grey(GREY))


def test_an_rgb_pyramid_in_subifds_has_no_channels(tmp_path):
    with open_slide(ome(tmp_path / "a.ome.tif", *PYRAMID)) as slide:
        assert isinstance(slide, TiffReader)
        assert np.array_equal(slide.read_region((0, 0), SIZE, Level(0)), RGB)


def test_a_plain_pyramid_is_no_stack(tmp_path):
    with open_slide(write(tmp_path / "a.tif", *PYRAMID, compression="lzw")) as slide:
        assert len(slide.level_dimensions) == 3
