"""The image of a TIFF that is the slide, and its pixel size: OME-XML, descriptions and tags."""

from __future__ import annotations

import csv
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command import tiler
from hypothesis import given
from hypothesis import strategies as st

from tiler import Level
from tiler.errors import ConfigError, OpenError, ResolutionError
from tiler.geometry import Size
from tiler.readers import OpenSlideReader, TiffReader, open_slide
from tiler.readers.tiff.ome import OmeError, ome_images
from tiler.resolution import MPP

TILE = {"tile": (32, 32), "photometric": "rgb", "compression": "zlib"}
CM = {"resolution": (10_000, 10_000), "resolutionunit": "CENTIMETER"}  # 1 µm
DPI = {"resolution": (72, 72), "resolutionunit": "INCH"}


def picture(width: int, height: int, blue: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x % 251, y % 251, np.full_like(x, blue)], axis=2).astype(np.uint8)


MACRO, SCAN = picture(90, 150, 10), picture(220, 170, 200)


def two_images(path: Path, *, scale: float = 0.5) -> Path:
    """Write an OME-TIFF with a macro image first, as Bio-Formats does for some scanners."""
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for image, mpp, levels in ((MACRO, 16.0, 1), (SCAN, scale, 2)):
            sizes = {f"PhysicalSize{axis}": mpp for axis in "XY"}
            tiff.write(image, subifds=levels, metadata={"axes": "YXS"} | sizes, **TILE)
            for _ in range(levels):
                image = image[::2, ::2]
                tiff.write(image, subfiletype=1, metadata=None, **TILE)
    return path


# Several images


@pytest.mark.parametrize("reader", [open_slide, TiffReader])
def test_the_largest_image_of_an_ome_tiff_is_the_slide(tmp_path, reader):
    with reader(two_images(tmp_path / "a.ome.tif")) as slide:
        assert slide.level_dimensions == ((220, 170), (110, 85), (55, 43))
        assert slide.level_downsamples == (1, 2, 4)
        assert slide.mpp == 0.5
        assert slide.provenance["image"] == "image 1 of 220x170; not read: image 0 of 90x150"
        for level in range(3):
            got = slide.read_region((3, 5), (40, 30), Level(level))
            step = 2**level
            assert np.array_equal(got, SCAN[::step, ::step][5:35, 3:43])


@pytest.mark.parametrize(("series", "size", "mpp"), [(0, (90, 150), 16.0), (1, (220, 170), 0.5)])
def test_series_chooses_the_image(tmp_path, series, size, mpp):
    with open_slide(two_images(tmp_path / "a.ome.tif"), series=series) as slide:
        assert slide.dimensions == size
        assert slide.mpp == mpp
        assert f"image {series} of" in slide.provenance["image"]


def test_a_missing_series_is_refused_with_the_existing_ones(tmp_path):
    path = two_images(tmp_path / "a.ome.tif")
    with pytest.raises(OpenError) as caught:
        open_slide(path, series=2)
    for word in ("series=2", "image 0 of 90x150", "image 1 of 220x170"):
        assert word in str(caught.value)
    for series in (-1, "1", True, 0.5):
        for reader in (open_slide, TiffReader, OpenSlideReader):
            with pytest.raises(ConfigError, match=r"reader\.series="):
                reader(path, series=series)


def first_is_small(path: Path, **options) -> Path:
    """A TIFF without OME-XML that begins with a small picture."""
    with tifffile.TiffWriter(path) as tiff:
        for image, kind in ((MACRO, 0), (SCAN, 0), (SCAN[::2, ::2], 1)):
            tiff.write(image, subfiletype=kind, metadata=None, **TILE, **CM, **options)
    return path


def test_the_largest_page_is_the_slide_where_no_ome_xml_lists_the_images(tmp_path):
    with open_slide(first_is_small(tmp_path / "a.tif")) as slide:
        assert slide.level_dimensions == ((220, 170), (110, 85))
        assert slide.mpp == 1.0
        assert np.array_equal(slide.read_region((0, 0), (220, 170), Level(0)), SCAN)
        assert np.array_equal(slide.read_region((0, 0), (110, 85), Level(1)), SCAN[::2, ::2])
    with open_slide(tmp_path / "a.tif", series=0) as slide:
        assert slide.dimensions == (90, 150)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (two_images, {}),
        (first_is_small, {}),
        (first_is_small, {"description": "Aperio Image Library v11\r\n|MPP = 0.5"}),
    ],
)
def test_openslide_never_tiles_a_macro_image_as_the_slide(tmp_path, make, options):
    path = make(tmp_path / "a.tif", **options)
    with pytest.raises(OpenError) as caught:
        OpenSlideReader(path)
    for word in ("90x150", "220x170", "slide=a"):
        assert word in str(caught.value)
    if options:  # no tag groups Aperio's pages
        with pytest.raises(OpenError, match=r"90x150 pixels, but page 1 has 220x170"):
            open_slide(path)
    elif make is two_images:
        with OpenSlideReader(path, series=0) as slide:
            assert slide.dimensions == (90, 150)
            assert slide.mpp == 16.0


def test_a_scan_behind_a_picture_in_strips_is_the_slide(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(MACRO, photometric="rgb", metadata=None)
        tiff.write(SCAN, metadata=None, **TILE, **CM)
    with open_slide(path) as slide:
        assert slide.dimensions == (220, 170)
        assert slide.mpp == 1.0
    with pytest.raises(OpenError, match="not tiled"):
        open_slide(path, series=0)


NARROW, THUMBNAIL = picture(63, 329, 200), picture(149, 154, 10)


@pytest.mark.parametrize("reader", [open_slide, TiffReader, OpenSlideReader])
@pytest.mark.parametrize("order", [(NARROW, THUMBNAIL), (THUMBNAIL, NARROW)])
def test_two_images_that_are_each_larger_along_one_side_are_refused(tmp_path, reader, order):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for image in order:
            tiff.write(image, metadata=None, **TILE)
    with pytest.raises(OpenError, match="which image is the slide is unclear") as caught:
        reader(tmp_path / "a.tif")
    for text in ("63x329", "149x154", "series"):
        assert text in str(caught.value)
    number = next(n for n, image in enumerate(order) if image is NARROW)
    if reader is not OpenSlideReader or number == 0:
        with reader(tmp_path / "a.tif", series=number) as slide:
            assert slide.dimensions == (63, 329)


@pytest.mark.parametrize("tiled_first", [True, False])
def test_of_two_large_images_the_only_tiled_one_is_the_slide(tmp_path, tiled_first):
    images = [(NARROW, TILE), (THUMBNAIL, {"photometric": "rgb"})]
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for image, options in images if tiled_first else images[::-1]:
            tiff.write(image, metadata=None, **options)
    with open_slide(tmp_path / "a.tif") as slide:
        assert slide.dimensions == (63, 329)
        assert np.array_equal(slide.read_region((3, 5), (40, 30), Level(0)), NARROW[5:35, 3:43])


def test_a_larger_image_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(MACRO, metadata=None, **TILE)
        tiff.write(SCAN.astype(np.uint16), metadata=None, **TILE)
    with pytest.raises(OpenError, match=r"image 1 of 220x170: .*16 bits"):
        open_slide(path)


@pytest.mark.parametrize("size", [(20, 25), (20, 40), (40, 20)])
@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("aperio", [False, True])
def test_a_padded_level_that_is_larger_than_the_slide_is_not_the_slide(
    tmp_path, size, kind, aperio
):
    slide_pixels, path = picture(*size, 200), tmp_path / "a.tif"
    options = {"description": "Aperio Image Library v11\r\n|MPP = 1.0"} if aperio else {}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(slide_pixels, metadata=None, **TILE, **CM, **options)
        for _ in range(2):
            padded = np.full((32, 32, 3), 255, np.uint8)
            tiff.write(padded, subfiletype=kind, metadata=None, **TILE, **options)
    for reader in (TiffReader, OpenSlideReader):
        with suppress(OpenError), reader(path) as slide:
            assert slide.dimensions == size
            whole = slide.read_region((0, 0), size, Level(0))
            assert np.array_equal(whole, slide_pixels)
    if not aperio:  # OpenSlide refuses Aperio slides with unordered levels
        with open_slide(path) as slide:
            assert slide.dimensions == size
            assert slide.mpp == 1.0


def test_a_pyramid_in_subifds_needs_no_ome_xml(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(SCAN, subifds=1, metadata=None, **TILE, **CM)
        tiff.write(SCAN[::2, ::2], subfiletype=1, metadata=None, **TILE)
    with open_slide(path) as slide:
        assert slide.level_downsamples == (1, 2)
        assert slide.mpp == 1.0


def test_the_record_names_the_image_and_what_is_no_level(tmp_path):
    two_images(tmp_path / "one.ome.tif")
    with tifffile.TiffWriter(tmp_path / "two.svs") as tiff:
        text = "Aperio Image Library v11\r\n|AppMag = 20|MPP = 0.5"
        for image in (SCAN, SCAN[:60, :40], SCAN[::2, ::2]):
            tiff.write(image, subfiletype=0, metadata=None, description=text, **TILE)
    words = ["slides=files", "slides.paths=[one.ome.tif,two.svs]", "mask=none", "tile.size=64"]
    done = tiler(*words, "resolution=level", "out=out", cwd=tmp_path)
    assert done.returncode == 0
    with (tmp_path / "out/slides.csv").open(newline="") as file:
        one, two = csv.DictReader(file)
    assert one["notes"] == "image 1 of 220x170; not read: image 0 of 90x150"
    assert "40x60 pixels is not a level of this slide of 220x170" in two["notes"]
    assert f"WARNING slide={two['slide_id']} {two['notes']}" in done.stderr
    assert f"INFO slide={one['slide_id']} {one['notes']}" in done.stderr
    for row in (one, two):
        assert done.stderr.count(row["notes"]) == 1
        record = tmp_path / "out/slides" / row["slide_id"] / "record.json"
        assert row["notes"] in record.read_text()


# Scale in OME-XML


def xml(size: tuple[int, int] = (220, 170), scale: str = "", inside: str = "") -> str:
    return (
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{inside}'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8"'
        f' SizeX="{size[0]}" SizeY="{size[1]}" SizeC="3" SizeZ="1" SizeT="1" {scale}>'
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData/></Pixels></Image></OME>'
    )


def scaled(x: str, unit: str, y: str | None = None) -> str:
    return (
        f'PhysicalSizeX="{x}" PhysicalSizeXUnit="{unit}"'
        f' PhysicalSizeY="{y or x}" PhysicalSizeYUnit="{unit}"'
    )


def described(path: Path, description: str, encoding: str = "utf-8", **options) -> Path:
    with tifffile.TiffWriter(path) as tiff:
        text = description.encode(encoding)
        tiff.write(SCAN, description=text, metadata=None, **TILE, **options)
    return path


@pytest.mark.parametrize("reader", [open_slide, OpenSlideReader])
@pytest.mark.parametrize("tags", [{}, CM, DPI])
@pytest.mark.parametrize("planar", [False, True])
def test_ome_xml_gives_the_scale_in_any_layout_and_takes_precedence(tmp_path, reader, tags, planar):
    path = tmp_path / "a.ome.tif"
    options = dict(TILE, planarconfig="separate") if planar else TILE
    sizes = {f"PhysicalSize{axis}": 0.5 for axis in "XY"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        metadata = {"axes": "SYX" if planar else "YXS"} | sizes
        tiff.write(
            np.moveaxis(SCAN, -1, 0) if planar else SCAN, metadata=metadata, **options, **tags
        )
    with reader(path) as slide:
        assert slide.mpp == 0.5
        assert slide.provenance["mpp"].startswith("OME PhysicalSizeX (0.5")
        if tags:  # the conflict is recorded
            said = "1" if tags is CM else "352.778 is implausible"
            assert f"tiff.XResolution says {said}" in slide.provenance["mpp"]


UNITS = {
    "µm": "0.25", "\u03bcm": "0.25", "nm": "250", "Å": "2500", "\u212b": "2500", "pm": "250000",
    "fm": "250000000", "mm": "0.00025", "cm": "0.000025", "dm": "2.5E-6", "m": "2.5e-7",
    "km": "2.5e-10", "thou": "0.00984251968503937", "in": "9.84251968503937e-06",
    "li": "0.00011811023622047244", "ft": "8.202099737532808e-07", "pt": "0.0007086614173228346",
}  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_of_length_is_understood(tmp_path, unit):
    (image,) = ome_images(xml(scale=scaled(UNITS[unit], unit)))
    assert image.mpp is not None
    assert image.mpp[0] == pytest.approx(0.25, rel=1e-9)
    with open_slide(described(tmp_path / "a.ome.tif", xml(scale=scaled(UNITS[unit], unit)))) as s:
        assert s.mpp == pytest.approx(0.25, rel=1e-9)


@pytest.mark.parametrize("unit", ["pixel", "reference frame"])
def test_a_unit_that_is_no_length_leaves_the_tags(tmp_path, unit):
    path = described(tmp_path / "a.ome.tif", xml(scale=scaled("1", unit)), **CM)
    with open_slide(path) as slide:
        assert slide.mpp == 1.0
        assert slide.provenance["mpp"].startswith("tiff.XResolution (1; the OME-XML gives no")


def test_a_scale_that_cannot_be_true_is_an_error_with_both_numbers(tmp_path):
    path = described(tmp_path / "a.ome.tif", xml(scale=scaled("250", "µm")), **CM)
    with open_slide(path) as slide, pytest.raises(ResolutionError) as caught:
        slide.read_region((0, 0), (3, 3), MPP(2.0))
    for word in ("250 is implausible", "tiff.XResolution says 1"):
        assert word in str(caught.value)


SCALE = scaled("0.25", "µm")
PREFIXED = (
    xml(scale=SCALE)
    .replace("<", "<ome:")
    .replace("<ome:/", "</ome:")
    .replace("xmlns=", "xmlns:ome=")
)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + xml(scale=SCALE),
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n' + xml(scale=SCALE),
        '<?xml version="1.0" encoding="UTF-16"?>' + xml(scale=SCALE),
        "<!-- Warning: this comment is an OME-XML metadata block. -->" + xml(scale=SCALE),
        "<!-- <OME> was here --> " + xml(scale=SCALE) + "<!-- </OME> and there -->\n",
        "some scanner v1\n" + xml(scale=SCALE) + "\nend of text",
        xml(scale=SCALE, inside="<!-- a comment with <Image> in it -->"),
        PREFIXED,
        xml(scale=SCALE).replace("</OME>", "</OME \n>"),
    ],
)
def test_text_around_the_ome_element_does_not_matter(tmp_path, text):
    with open_slide(described(tmp_path / "a.tif", text)) as slide:
        assert slide.mpp == 0.25
        assert slide.provenance["mpp"] == "OME PhysicalSizeX (0.25)"


def test_an_old_windows_encoding_of_the_unit_is_read(tmp_path):
    path = described(tmp_path / "a.tif", xml(scale=SCALE), encoding="cp1252")
    for reader in (open_slide, OpenSlideReader):
        with reader(path) as slide:
            assert slide.mpp == 0.25, reader


def test_entities_are_not_expanded_and_broken_xml_is_no_crash(tmp_path):
    bomb = '<!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for text in (
        bomb + "]>" + xml(scale=SCALE, inside="<Name>&i;</Name>"),
        xml(scale=SCALE, inside=bomb + "]>&i;"),
        xml(scale=SCALE)[:-20] + "<Image></OME>",
        xml(scale=SCALE).removesuffix("</OME>"),
        xml(scale=SCALE, inside="<a>" * 20_000),
    ):
        with pytest.raises(OmeError):
            ome_images(text)
        with open_slide(described(tmp_path / "a.tif", text, **CM)) as slide:
            assert slide.mpp == 1.0
            assert "the OME-XML" in slide.provenance["mpp"]


@pytest.mark.parametrize("piece", ["<!--", "<OME ", "</", "</OME", "<!-- -->", "</a:"])
def test_reading_a_long_description_takes_linear_time(piece):
    start = time.perf_counter()
    with pytest.raises(OmeError):
        ome_images("<OME >" + piece * 200_000)
    assert time.perf_counter() - start < 2


@given(text=st.text("<OME/> !-ab:\"='xmlns&;", max_size=80))
def test_any_text_is_ome_xml_or_an_error(text):
    with suppress(OmeError):
        assert isinstance(ome_images("<OME>" + text + "</OME>"), list)


def test_images_are_found_by_the_pages_that_the_xml_names(tmp_path):
    text = xml().replace(
        "</OME>",
        '<Image ID="Image:1"><Pixels ID="Pixels:1" DimensionOrder="XYCZT" Type="uint8" SizeX="90"'
        ' SizeY="150" SizeC="3" SizeZ="1" SizeT="1"><Channel ID="Channel:1:0" SamplesPerPixel="3"/>'
        '<TiffData IFD="0"/></Pixels></Image></OME>',
    )
    text = text.replace("<TiffData/>", '<TiffData IFD="1"/>', 1)
    assert [(image.size, image.page) for image in ome_images(text)] == [
        (Size(220, 170), 1),
        (Size(90, 150), 0),
    ]
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(MACRO, description=text.encode(), metadata=None, **TILE)
        tiff.write(SCAN, metadata=None, **TILE)
    with open_slide(path) as slide:
        assert slide.provenance["image"] == "image 0 of 220x170; not read: image 1 of 90x150"
        assert np.array_equal(slide.read_region((0, 0), (220, 170), Level(0)), SCAN)


# Scale in descriptions


@pytest.mark.parametrize("reader", [open_slide, OpenSlideReader])
@pytest.mark.parametrize(
    ("text", "mpp", "power"),
    [
        ("Scanner 3\nMPP = 0.257290\nSerial 11", 0.25729, None),
        ("mpp: 0.25", 0.25, None),
        ('{"mpp": 0.25, "magnification": 40}', 0.25, 40),
        ("Scan|AppMag = 20|MPP = 0.499|Filtered = 5", 0.499, 20),
        ("QuickMag = 40;mpp-x=0.25;mpp-y=0.252", 0.251, 40),
        ("MicronsPerPixel=0.25", 0.25, None),
        ("XMicronsPerPixel: 0.25\nYMicronsPerPixel: 0.25", 0.25, None),
        ("Objective Power = 20x, 0.5 µm/px", 0.5, 20),
        ("resolution 0.5 microns per pixel", 0.5, None),
        ("MPP = 2.5e-1", 0.25, None),
        ("MPP = 0,25; AppMag = 40", 0.25, 40),
        ("0,25 µm/Pixel", 0.25, None),
        ("mpp: 0.25,0.25", 0.25, None),
        ("20x magnification: 20, 0.5 mpp", 0.5, 20),
        ("7" * 300_000 + " MPP = 0.25", 0.25, None),
    ],
)
def test_an_mpp_in_a_description_is_found(tmp_path, reader, text, mpp, power):
    with reader(described(tmp_path / "a.tif", text, **DPI)) as slide:
        assert slide.mpp == pytest.approx(mpp)
        assert slide.magnification == power
        assert slide.provenance["mpp"].startswith("ImageDescription (")
        assert "tiff.XResolution says 352.778" in slide.provenance["mpp"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("MPP = 0.25\nMPP = 0.5", "MPP = 0.25"),
        ("MPP unknown", "MPP unknown"),
        ("Camera, pixel size 5.5 um", "pixel size 5.5 um"),
        ("MPP = 1,5", "MPP = 1,5"),
        ("MPP = 1,234.5", "MPP = 1,234.5"),
        ("scanned at 1,5 µm/px", "1,5 µm/px"),
        ("-0.25 µm/px", "0.25 µm/px"),
        ("250 nm/px", "250 nm/px"),
        ("0.25 mpp, 0.5 mpp", "0.25 mpp"),
        ("PhysicalSizeX=0.25", "PhysicalSizeX=0.25"),
    ],
)
def test_text_without_exactly_one_number_is_quoted_in_the_error(tmp_path, text, said):
    with open_slide(described(tmp_path / "a.tif", text)) as slide:
        assert slide.mpp is None
        with pytest.raises(ResolutionError) as caught:
            slide.read_region((0, 0), (3, 3), MPP(2.0))
    assert said in str(caught.value)
    assert "mpp" in str(caught.value)


@pytest.mark.parametrize("text", ["comppass = 3", "Tempp: 0.3", "an image", "MAGIC = 4"])
def test_other_text_is_no_scale(tmp_path, text):
    with open_slide(described(tmp_path / "a.tif", text)) as slide:
        assert slide.mpp is None
        assert slide.magnification is None
        assert "ImageDescription" not in slide.provenance["mpp"]
