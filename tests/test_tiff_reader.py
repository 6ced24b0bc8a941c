"""The direct reader of tiled TIFFs: OpenSlide's pixels, and each native tile decoded once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import openslide
import pytest
import simplejpeg
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st

from tiler import MPP, Level
from tiler.errors import ConfigError
from tiler.geometry import Size
from tiler.pixels.area import area_mean
from tiler.readers.openslide.reader import OpenSlideReader
from tiler.readers.tiff.reader import TiffReader

TILE = (64, 48)
APERIO = "Aperio Image Library v11\r\n|AppMag = 20|MPP = 0.4990"


def picture(width: int, height: int, seed: int = 5) -> np.ndarray:
    """Smooth colours, sharp edges and some noise: uint8 (height, width, 3)."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([x / 9 + y / 31, x / 23 - y / 7, (x * y) / 900], axis=-1)
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    stripes = 50 * ((x // 13 + y // 29) % 3 == 0)
    return np.clip(150 + 70 * np.sin(waves) + noise - stripes[..., None], 0, 255).astype(np.uint8)


def tiles(pixels: np.ndarray, tile: tuple[int, int] = TILE) -> Iterator[np.ndarray]:
    """Return native tiles, row by row; pixels beyond the picture repeat its edge."""
    width, height = tile
    rows, columns, _ = pixels.shape
    padded = np.pad(pixels, ((0, -rows % height), (0, -columns % width), (0, 0)), "edge")
    for y, x in product(range(0, rows, height), range(0, columns, width)):
        yield np.ascontiguousarray(padded[y : y + height, x : x + width])


def write(path: Path, *levels: np.ndarray, tile=TILE, data=None, bigtiff=False, **options) -> Path:
    """A tiled pyramid; ``data`` makes the bytes of each tile instead of tifffile."""
    options = {"photometric": "rgb", "metadata": None, "software": False} | options
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as tiff:
        for index, level in enumerate(levels):
            tiff.write(
                level if data is None else (data(t) for t in tiles(level, tile)),
                shape=level.shape,
                dtype=np.uint8,
                tile=tile[::-1],
                subfiletype=int(index > 0),
                **options,
            )
    return path


def jpeg(sampling: str, quality: int = 85):
    return lambda t: simplejpeg.encode_jpeg(t, quality=quality, colorsubsampling=sampling)


def segments(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and segments of a JPEG up to its scan; then 0 and the rest."""
    at = 2
    while stream[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        yield stream[at + 1], stream[at:end]
        at = end
    yield 0, stream[at:]


def tables_of(stream: bytes) -> bytes:
    """The stream of a JPEGTables tag."""
    found = b"".join(s for marker, s in segments(stream) if marker in (0xDB, 0xC4))
    return b"\xff\xd8" + found + b"\xff\xd9"


def abbreviated(encode):
    """Return the tiles without tables and without any marker of their colours."""

    def data(tile: np.ndarray) -> bytes:
        kept = (s for marker, s in segments(encode(tile)) if marker not in (0xDB, 0xC4, 0xE0))
        return b"\xff\xd8" + b"".join(kept)

    return data


def with_adobe(encode, transform: int):
    """Return the tiles with an Adobe marker that names the colours."""
    marker = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])

    def data(tile: np.ndarray) -> bytes:
        kept = (s for code, s in segments(encode(tile)) if code != 0xE0)
        return b"\xff\xd8" + marker + b"".join(kept)

    return data


PYRAMID = [picture(308, 236), picture(154, 118, 6), picture(77, 59, 7)]
"""Downsamples of exactly 2 and 4; the last tiles of all levels are partial."""

TABLES = tables_of(jpeg("420")(PYRAMID[0]))

VARIANTS = {
    "jpeg": {"compression": "jpeg"},
    "jpeg 4:4:4": {"compression": "jpeg", "subsampling": (1, 1), "bigtiff": True},
    "jpeg 4:2:2": {"compression": "jpeg", "subsampling": (2, 1)},
    "jpeg RGB": {"compression": "jpeg", "compressionargs": {"outcolorspace": "rgb"}},
    "jpeg 4:4:0": {"compression": "jpeg", "photometric": "ycbcr", "data": jpeg("440")},
    "jpeg 4:1:1": {"compression": "jpeg", "photometric": "ycbcr", "data": jpeg("411")},
    "JFIF YCbCr in a TIFF that says RGB": {"compression": "jpeg", "data": jpeg("444")},
    "Adobe YCbCr in a TIFF that says RGB": {
        "compression": "jpeg",
        "data": with_adobe(jpeg("444"), 1),
    },
    "Adobe RGB in a TIFF that says YCbCr": {
        "compression": "jpeg",
        "photometric": "ycbcr",
        "data": with_adobe(jpeg("422"), 0),
    },
    "fill bytes before a marker": {
        "compression": "jpeg",
        "data": lambda t: jpeg("420")(t).replace(b"\xff\xc0\x00\x11", b"\xff\xff\xff\xc0\x00\x11"),
    },
    "tables apart, YCbCr": {
        "compression": "jpeg",
        "photometric": "ycbcr",
        "data": abbreviated(jpeg("420")),
        "jpegtables": TABLES,
    },
    "tables apart, RGB": {
        "compression": "jpeg",
        "data": abbreviated(jpeg("422")),
        "jpegtables": TABLES,
    },
    "Aperio, tables apart, RGB": {
        "compression": "jpeg",
        "data": abbreviated(jpeg("444")),
        "jpegtables": TABLES,
        "description": APERIO,
    },
    "uncompressed": {"compression": None},
    "LZW": {"compression": "lzw"},
    "LZW, differences": {"compression": "lzw", "predictor": True, "bigtiff": True},
    "deflate": {"compression": "deflate", "bigtiff": True},
    "deflate, differences": {"compression": "adobe_deflate", "predictor": True},
    "zstd": {"compression": "zstd"},
    "zstd, differences": {"compression": "zstd", "predictor": True},
    "Aperio JPEG 2000 RGB": {"compression": 33005, "description": APERIO},
    "Aperio JPEG 2000 YCbCr": {"compression": 33003, "description": APERIO},
}


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Each variant, open in both readers."""
    folder = tmp_path_factory.mktemp("variants")
    pairs = {}
    for number, (name, options) in enumerate(VARIANTS.items()):
        path = write(folder / f"{number}.tif", *PYRAMID, **options)
        pairs[name] = (TiffReader(path), OpenSlideReader(path))
    yield pairs
    for pair in pairs.values():
        for reader in pair:
            reader.close()


def both(pair, location, shape, level: int) -> tuple[np.ndarray, np.ndarray]:
    mine, theirs = (r.read_region(location, shape, Level(level), bounded=False) for r in pair)
    assert mine.shape == (shape[1], shape[0], 3)
    assert mine.dtype == np.uint8
    return mine, theirs


@pytest.mark.parametrize("name", VARIANTS)
def test_whole_levels_and_what_surrounds_them_are_openslides(twins, name):
    mine, theirs = twins[name]
    assert mine.facts == theirs.facts
    for level, (width, height) in enumerate(mine.level_dimensions):
        a, b = both(twins[name], (-3, -5), (width + 9, height + 12), level)
        assert np.array_equal(a, b)
        assert a[5:-7, 3:-6].std() > 20
        assert (a[:5] == 255).all()


@given(
    name=st.sampled_from(list(VARIANTS)),
    level=st.integers(0, 2),
    x=st.integers(-90, 330),
    y=st.integers(-70, 250),
    width=st.integers(1, 140),
    height=st.integers(1, 110),
)
@example(name="jpeg", level=0, x=64, y=48, width=64, height=48)
@example(name="jpeg 4:2:2", level=0, x=256, y=192, width=52, height=44)
@example(name="LZW", level=2, x=-100, y=3, width=40, height=20)
def test_any_region_is_openslides(twins, name, level, x, y, width, height):
    a, b = both(twins[name], (x, y), (width, height), level)
    assert np.array_equal(a, b)


@pytest.mark.parametrize(
    "name",
    [
        "CMU-1-Small-Region.svs",
        "small.svs",
        "boxes.tiff",
        pytest.param("TCGA-CR-7395-01A-01-TS1.svs", marks=pytest.mark.slow),
    ],
)
def test_real_slides_are_openslides(shared_slides, name):
    with TiffReader(shared_slides / name) as mine, OpenSlideReader(shared_slides / name) as theirs:
        assert mine.facts == theirs.facts
        width, height = mine.dimensions
        # Of the large one, the lower right, with the parts that its tiles lack.
        corner = (2500, 2300) if width * height > 10_000_000 else (0, 0)
        size = width - corner[0], height - corner[1]
        a, b = both((mine, theirs), corner, size, 0)
        assert np.array_equal(a, b)
        # From the corner, OpenSlide reads other levels at whole pixels too.
        for level, size in list(enumerate(mine.level_dimensions))[1:]:
            a, b = both((mine, theirs), (0, 0), tuple(size), level)
            assert np.array_equal(a, b)


@pytest.mark.parametrize("compression", ["jpeg", "lzw"])
def test_odd_sizes_are_openslides(tmp_path, compression):
    for width, height in ((1, 1), (63, 49), (129, 48), (64, 97)):
        path = write(tmp_path / "odd.tif", picture(width, height), compression=compression)
        pair = TiffReader(path), OpenSlideReader(path)
        a, b = both(pair, (-1, -2), (width + 2, height + 5), 0)
        assert np.array_equal(a, b)


def test_other_levels_are_whole_pixels_even_where_openslides_downsample_is_not(tmp_path):
    finest, coarse = picture(301, 233), picture(150, 116, 9)
    with TiffReader(write(tmp_path / "a.tif", finest, coarse, compression="lzw")) as slide:
        assert slide.level_downsamples == (1, 2)
        got = slide.read_region((71, 33), (60, 50), Level(1))
        assert np.array_equal(got, coarse[33:83, 71:131])


def test_between_levels_the_next_finer_one_is_reduced(tmp_path):
    path = write(tmp_path / "a.tif", *PYRAMID, compression="lzw")
    with TiffReader(path, mpp=0.25) as mine, OpenSlideReader(path, mpp=0.25) as theirs:
        for target in (0.75, 0.4, 1.7):
            asked = ((3, 5), (31, 22), MPP(target))
            assert np.array_equal(mine.read_region(*asked), theirs.read_region(*asked))
        assert np.array_equal(mine.thumbnail((40, 31)), theirs.thumbnail((40, 31)))


@pytest.mark.parametrize(
    ("compression", "options"),
    [
        ("webp", {"compressionargs": {"lossless": True}}),
        ("jpegxl", {"compressionargs": {"lossless": True}}),
        ("jpeg2000", {}),
    ],
)
def test_compressions_that_openslide_lacks_are_read_by_the_tags(tmp_path, compression, options):
    path = write(
        tmp_path / "a.tif",
        *PYRAMID,
        compression=compression,
        resolution=(40_000, 40_000),
        resolutionunit="CENTIMETER",
        **options,
    )
    with pytest.raises(openslide.OpenSlideError, match="Unsupported TIFF compression"):
        openslide.OpenSlide(path)
    with TiffReader(path) as slide:
        assert slide.level_dimensions == ((308, 236), (154, 118), (77, 59))
        assert slide.level_downsamples == (1.0, 2.0, 4.0)
        assert slide.bounds == (0, 0, 308, 236)
        assert slide.mpp == 0.25
        assert slide.provenance["mpp"] == "tiff.XResolution (0.25)"
        assert slide.properties["tiff.ResolutionUnit"] == "3"
        for level, pixels in enumerate(PYRAMID):
            got = slide.read_region((13, 7), (55, 50), Level(level))
            assert np.array_equal(got, pixels[7:57, 13:68])


@pytest.mark.parametrize(
    ("resolution", "unit", "word"),
    [((72, 72), "INCH", "implausible"), (None, None, "no unit"), ((100_000, 50_000), 2, "differ")],
)
def test_resolutions_that_are_not_of_a_scan_are_ignored(tmp_path, resolution, unit, word):
    scale = {} if resolution is None else {"resolution": resolution, "resolutionunit": unit}
    path = write(tmp_path / "a.tif", PYRAMID[0], compression="webp", **scale)
    with TiffReader(path) as slide:
        assert slide.mpp is None
        assert word in slide.provenance["mpp"]
    with TiffReader(path, mpp=0.5, magnification=20) as slide:
        assert (slide.mpp, slide.magnification) == (0.5, 20)
        assert "override" in slide.provenance["mpp"]


def test_a_resolution_in_inches_is_understood(tmp_path):
    scale = {"resolution": (101_600, 101_600), "resolutionunit": "INCH"}
    with TiffReader(write(tmp_path / "a.tif", PYRAMID[0], compression="webp", **scale)) as slide:
        assert slide.mpp == 0.25


def ome(path: Path, *levels: np.ndarray, **metadata) -> Path:
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for index, level in enumerate(levels):
            tiff.write(
                level,
                tile=TILE[::-1],
                photometric="rgb",
                compression="deflate",
                subfiletype=int(index > 0),
                **({"metadata": None} if index else {"subifds": len(levels) - 1}),
                **({} if index else {"metadata": {"axes": "YXS"} | metadata}),
            )
    return path


def test_a_pyramid_in_subifds_has_all_its_levels(tmp_path):
    scale = {"PhysicalSizeX": 250.0, "PhysicalSizeY": 252.0, "PhysicalSizeXUnit": "nm"}
    path = ome(tmp_path / "a.ome.tif", *PYRAMID, **scale, PhysicalSizeYUnit="nm")
    with TiffReader(path) as mine, OpenSlideReader(path) as theirs:
        assert theirs.level_dimensions == ((308, 236),)
        assert mine.level_dimensions == ((308, 236), (154, 118), (77, 59))
        assert mine.mpp == pytest.approx(0.251)
        assert mine.provenance["mpp"] == "OME PhysicalSizeX (mean of 0.25 and 0.252)"
        a, b = both((mine, theirs), (-5, 3), (320, 240), 0)
        assert np.array_equal(a, b)
        for level, pixels in enumerate(PYRAMID):
            got = mine.read_region((11, 4), (60, 50), Level(level))
            assert np.array_equal(got, pixels[4:54, 11:71])


@pytest.mark.parametrize(
    ("change", "mpp", "power"),
    [
        (("", ""), 0.5, 20.0),
        (("µm", "furlong"), None, 20.0),
        (('PhysicalSizeX="0.5"', 'PhysicalSizeX="x"'), None, 20.0),
        (('SizeX="308"', 'SizeX="309"'), None, None),
        (('NominalMagnification="20"', 'NominalMagnification="0"'), 0.5, None),
        (('ID="Objective:7"/><Pixels', 'ID="Objective:8"/><Pixels'), 0.5, None),
        (("</OME>", ""), None, None),
    ],
)
def test_the_scale_in_ome_xml_is_believed_where_it_is_sound(tmp_path, change, mpp, power):
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Instrument ID="Instrument:0">'
        '<Objective ID="Objective:3" NominalMagnification="63"/>'
        '<Objective ID="Objective:7" NominalMagnification="20"/></Instrument>'
        '<Image ID="Image:0"><ObjectiveSettings ID="Objective:7"/><Pixels ID="Pixels:0"'
        ' DimensionOrder="XYCZT" Type="uint8" SizeX="308" SizeY="236" SizeC="3" SizeZ="1"'
        ' SizeT="1" Interleaved="true" PhysicalSizeX="0.5" PhysicalSizeXUnit="µm"'
        ' PhysicalSizeY="0.5" PhysicalSizeYUnit="µm"><Channel ID="Channel:0:0"'
        ' SamplesPerPixel="3"/><TiffData/></Pixels></Image></OME>'
    )
    path = tmp_path / "a.ome.tif"
    # No OME-XML ends without its last tag: that one is cut inside.
    text = xml.replace(*change) + ("" if change[0] != "</OME>" else "<Image></OME>")
    write(path, PYRAMID[0], compression="webp", description=text.encode())
    with TiffReader(path) as slide:
        assert slide.mpp == mpp
        assert slide.magnification == power
        assert slide.provenance["mpp"]
        assert slide.provenance["magnification"]


PHILIPS = """<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">
<Attribute Name="PIM_DP_SCANNED_IMAGES" PMSVR="IDataObjectArray"><Array>
<DataObject ObjectType="DPScannedImage">
<Attribute Name="PIM_DP_IMAGE_TYPE" PMSVR="IString">WSI</Attribute>
<Attribute Name="DICOM_PIXEL_SPACING" PMSVR="IDoubleArray">"0.00025" "0.00025"</Attribute>
<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE" PMSVR="IDataObjectArray"><Array>
<DataObject ObjectType="PixelDataRepresentation">
<Attribute Name="DICOM_PIXEL_SPACING" PMSVR="IDoubleArray">"0.00025" "0.00025"</Attribute>
</DataObject><DataObject ObjectType="PixelDataRepresentation">
<Attribute Name="DICOM_PIXEL_SPACING" PMSVR="IDoubleArray">"0.0005" "0.0005"</Attribute>
</DataObject></Array></Attribute></DataObject></Array></Attribute></DataObject>"""


def test_philips_pads_its_levels_and_openslide_cuts_that_off(tmp_path):
    padded = [picture(320, 240), picture(192, 144, 3)]  # the second should be 160 x 120
    path = write(
        tmp_path / "a.tiff",
        *padded,
        data=lambda t: b"" if t[0, 0, 0] % 7 == 0 else jpeg("420")(t),
        compression="jpeg",
        photometric="ycbcr",
        description=PHILIPS,
        software="Philips DP v1.0",
    )
    with TiffReader(path) as mine, OpenSlideReader(path) as theirs:
        assert theirs.properties["openslide.vendor"] == "philips"
        assert mine.facts == theirs.facts
        assert mine.mpp == 0.25
        assert mine.level_dimensions == ((320, 240), (160, 120))
        for level in (0, 1):
            a, b = both((mine, theirs), (-4, -2), (330, 250), level)
            assert np.array_equal(a, b)
            assert (a == 255).all(axis=-1).mean() > 0.02  # tiles that were not scanned


@pytest.mark.parametrize("description", [None, APERIO])
def test_tiles_without_bytes_are_background(tmp_path, description):
    missing = iter([False, True, False, False, True] + [False] * 20)
    path = write(
        tmp_path / "a.tif",
        PYRAMID[0],
        data=lambda t: b"" if next(missing) else jpeg("420")(t),
        compression="jpeg",
        photometric="ycbcr",
        description=description,
    )
    with TiffReader(path) as mine, OpenSlideReader(path) as theirs:
        a, b = both((mine, theirs), (-4, -2), (330, 250), 0)
        assert np.array_equal(a, b)
        assert (a[2:50, 68:132] == 255).all()
        assert a[2:50, 4:68].std() > 20
        before = mine.native_tiles_decoded
        assert (mine.read_region((64, 0), (64, 48), Level(0)) == 255).all()
        assert mine.native_tiles_decoded == before


# Reduced by libjpeg


@given(
    scale=st.sampled_from([1, 2, 3, 4, 8, 16]),
    x=st.integers(-3, 9),
    y=st.integers(-3, 9),
    width=st.integers(1, 30),
    height=st.integers(1, 30),
)
@example(scale=2, x=4, y=3, width=90, height=70)
def test_native_tiles_reduced_alone_are_the_mean_of_the_whole(smooth, scale, x, y, width, height):
    x, y = 5 * x, 5 * y  # some are multiples of the scale
    with TiffReader(smooth) as reader:
        whole = reader._read_level(0, x, y, Size(width * scale, height * scale))
        expected = area_mean(whole, 0, 0, scale, scale, Size(width, height))
        found = reader._read_area(0, float(x), float(y), float(scale), Size(width, height))
    inside = min(x, y) >= 0 and x + width * scale <= reader.dimensions.width
    if inside and y + height * scale <= reader.dimensions.height:
        np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def smooth(tmp_path_factory) -> Path:
    y, x = np.mgrid[:330, :500]
    pixels = 128 + 100 * np.sin(np.stack([x / 40, y / 55, (x + y) / 70], axis=-1))
    return write(
        tmp_path_factory.mktemp("smooth") / "a.tif",
        pixels.astype(np.uint8),
        compression="jpeg",
        compressionargs={"level": 95},
    )


@pytest.mark.parametrize("target", [2, 2.3, 4, 5, 7.9, 8, 10, 16])
def test_scaled_decoding_is_close_to_the_area_mean(smooth, target):
    with TiffReader(smooth, mpp=1) as exact, TiffReader(smooth, mpp=1, scaled_decode=True) as fast:
        shape = int(500 / target) - 3, int(330 / target) - 4  # short of the encoder's padding
        a, b = (r.read_region((2, 3), shape, MPP(target)).astype(int) for r in (exact, fast))
        assert np.abs(a - b).max() <= 6
        # No seam between tiles, and no shift: the mean error is far below one grey level.
        assert np.abs((a - b).mean(axis=(0, 1))).max() < 0.5
        assert fast.level_dimensions == exact.level_dimensions
        assert np.array_equal(
            exact.read_region((60, 40), (50, 30), Level(0)),
            fast.read_region((60, 40), (50, 30), Level(0)),
        )


@pytest.mark.parametrize("target", [2, 3.7, 4, 8])
def test_scaled_decoding_keeps_what_is_sharp(tmp_path, target):
    options = {"compression": "jpeg", "subsampling": (1, 1), "compressionargs": {"level": 95}}
    path = write(tmp_path / "a.tif", PYRAMID[0], **options)
    with TiffReader(path, mpp=1) as exact, TiffReader(path, mpp=1, scaled_decode=True) as fast:
        shape = int(256 / target) - 1, int(192 / target) - 1
        a, b = (r.read_region((0, 0), shape, MPP(target)).astype(int) for r in (exact, fast))
        assert a.std() > 20
        assert np.abs(a - b).mean() < 2


def test_scaled_decoding_is_off_by_default_and_keeps_whole_scales_whole(smooth):
    def read(target, **options):
        with TiffReader(smooth, mpp=1, **options) as slide:
            return slide.read_region((5, 4), (40, 30), MPP(target))

    with OpenSlideReader(smooth, mpp=1) as theirs:
        for target in (2, 3, 4.5):
            truth = theirs.read_region((5, 4), (40, 30), MPP(target))
            assert np.array_equal(read(target), truth)
        assert not np.array_equal(
            read(2, scaled_decode=True), theirs.read_region((5, 4), (40, 30), MPP(2))
        )
    assert np.array_equal(read(3, scaled_decode=True), read(3))


def test_scaled_decoding_does_not_affect_other_compressions(tmp_path):
    path = write(tmp_path / "a.tif", PYRAMID[0], compression="lzw")
    for target in (2, 4.4):
        exact, asked = (
            TiffReader(path, mpp=1, scaled_decode=flag).read_region((3, 2), (40, 30), MPP(target))
            for flag in (False, True)
        )
        assert np.array_equal(exact, asked)


def test_a_negative_cache_size_is_refused(smooth):
    with pytest.raises(ConfigError, match=r"reader\.cache_bytes=-1"):
        TiffReader(smooth, cache_bytes=-1)


@pytest.fixture(scope="module")
def plain_tiff(tmp_path_factory):
    """A picture whose last native tiles are larger than what is left of it, and its reader."""
    pixels = picture(150, 100)
    path = write(tmp_path_factory.mktemp("plain") / "slide.tiff", pixels, description=APERIO)
    with TiffReader(path) as reader:
        yield pixels, reader


@given(x=st.integers(-90, 240), y=st.integers(-70, 170), width=st.integers(1, 70))
@example(x=151, y=10, width=1)  # beyond the image, and within its last native tile
@example(x=10, y=101, width=1)
def test_a_box_beyond_the_image_is_background(plain_tiff, x, y, width):
    pixels, reader = plain_tiff
    around = np.empty((100 + 2 * 200, 150 + 2 * 200, 3), np.uint8)
    around[:] = reader.facts.background
    around[200:300, 200:350] = pixels
    found = reader.read_region((x, y), (width, 30), Level(0), bounded=False)
    assert (found == around[200 + y : 230 + y, 200 + x : 200 + x + width]).all()
