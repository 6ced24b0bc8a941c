"""Plain images as slides and masks: turned upright, 8 bits, refused if damaged."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command import read_csv, tiler
from conftest import ArrayReader
from PIL import Image
from test_tiff_reader import picture

from tiler import Level
from tiler.errors import DepthError, MaskError, OpenError
from tiler.masks import FileMask
from tiler.readers import ImageReader, open_slide

PICTURE = picture(310, 234)
SIZE = (310, 234)
ORIENTATION = 0x0112
TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
"""What each value of the Exif orientation does to stored pixels."""


def pixels_of(path: Path) -> np.ndarray:
    with ImageReader(path) as slide:
        return slide.read_region((0, 0), slide.dimensions, Level(0))


def saved(path: Path, kind: str, pixels: np.ndarray = PICTURE, **options) -> Path:
    image = Image.fromarray(pixels)
    (image.quantize(64) if kind == "GIF" else image).save(path, kind, **options)
    return path


# Orientation

LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}, "TIFF LZW": {"compression": "lzw"}}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", [*LOSSLESS, "JPEG"])
def test_an_image_is_upright_as_its_exif_orientation_says(tmp_path, orientation, kind):
    path, options = tmp_path / "a", dict(LOSSLESS.get(kind, {"quality": 95}))
    if kind.startswith("TIFF"):
        tags = [(274, 3, 1, orientation, True)]
        tifffile.imwrite(
            path, PICTURE, photometric="rgb", rowsperstrip=50, extratags=tags, metadata=None,
            compression=options.get("compression"),
        )  # fmt: skip
    else:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        saved(path, kind, exif=exif, **options)
    expected = TURNED[orientation](PICTURE)
    with ImageReader(path) as slide:
        assert slide.dimensions == expected.shape[1::-1]
        got = slide.read_region((0, 0), slide.dimensions, Level(0)).astype(int)
    assert np.abs(got - expected).max() <= (90 if kind == "JPEG" else 0)
    assert np.abs(got - expected).mean() <= (6 if kind == "JPEG" else 0)


def test_an_uncompressed_grey_tiff_is_upright(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    grey = PICTURE[..., 0]
    got = pixels_of(saved(tmp_path / "a", "TIFF", grey, exif=exif))
    assert np.array_equal(got, np.repeat(TURNED[6](grey)[..., None], 3, axis=2))


@pytest.mark.parametrize("orientation", [2, 6])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_mask_is_upright_too(tmp_path, orientation, kind):
    stored = np.zeros((40, 60), np.uint8)
    stored[:9, :25] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = saved(tmp_path / "mask", kind, stored, exif=exif)
    expected = TURNED[orientation](stored) > 0
    slide = ArrayReader(np.zeros((*expected.shape, 3), np.uint8))
    assert np.array_equal(FileMask(str(path)).generate(slide), expected)
    if orientation == 6:
        wrong = ArrayReader(np.zeros((*stored.shape, 3), np.uint8))
        with pytest.raises(MaskError, match="is 40x60; its aspect ratio is not"):
            FileMask(str(path)).generate(wrong)


# Damage


def start_of_frame(stream: bytes) -> int:
    return re.search(rb"\xff[\xc0-\xc2]", stream).start()


def resized(stream: bytes, taller: int = 0, wider: int = 0) -> bytes:
    """A JPEG whose header claims another size."""
    at = start_of_frame(stream) + 5
    height, width = struct.unpack_from(">HH", stream, at)
    return stream[:at] + struct.pack(">HH", height + taller, width + wider) + stream[at + 4 :]


def restarts_swapped(stream: bytes) -> bytes:
    second, third = [m.start() for m in re.finditer(rb"\xff[\xd0-\xd7]", stream)][2:4]
    data = bytearray(stream)
    data[second + 1], data[third + 1] = data[third + 1], data[second + 1]
    return bytes(data)


def middle(count: int, fill=bytes):
    def change(stream: bytes) -> bytes:
        at = len(stream) // 2
        return stream[:at] + fill(count) + stream[at + count :]

    return change


def cut(stream: bytes) -> bytes:
    """Return the first half of a stream."""
    return stream[: len(stream) // 2]


RANDOM = np.random.default_rng(8)
DAMAGE = {
    "JPEG in half": ("JPEG", {}, cut),
    "JPEG without its end": ("JPEG", {}, lambda stream: stream[:-2]),
    "JPEG with zeros": ("JPEG", {}, middle(4096)),
    "JPEG with noise": ("JPEG", {}, middle(4096, RANDOM.bytes)),
    "JPEG with bytes missing": ("JPEG", {}, lambda s: s[: len(s) // 2] + s[len(s) // 2 + 900 :]),
    "JPEG with more bytes": ("JPEG", {}, lambda s: s[:-2] + bytes(range(1, 99)) + s[-2:]),
    "JPEG that is taller": ("JPEG", {}, lambda s: resized(s, taller=64)),
    "JPEG that is lower": ("JPEG", {}, lambda s: resized(s, taller=-64)),
    "JPEG that is wider": ("JPEG", {}, lambda s: resized(s, wider=48)),
    "JPEG with restarts swapped": ("JPEG", {"restart_marker_rows": 1}, restarts_swapped),
    "progressive JPEG with zeros": ("JPEG", {"progressive": True}, middle(2048)),
    "progressive JPEG in half": ("JPEG", {"progressive": True}, cut),
    "PNG in half": ("PNG", {}, cut),
    "PNG with a flipped bit": ("PNG", {}, lambda s: middle(1, lambda _: b"\x55")(s)),
    "BMP in half": ("BMP", {}, cut),
    "GIF in half": ("GIF", {}, cut),
    "WebP in half": ("WEBP", {}, cut),
    "lossless WebP in half": ("WEBP", {"lossless": True}, cut),
    "JPEG 2000 in half": ("JPEG2000", {}, cut),
    "JPEG 2000 with zeros": ("JPEG2000", {}, middle(4096)),
    "JPEG 2000 with noise": ("JPEG2000", {"no_jp2": True}, middle(4096, RANDOM.bytes)),
    "TIFF in half": ("TIFF", {}, cut),
    "TIFF JPEG with zeros": ("TIFF", {"compression": "jpeg"}, middle(600)),
    "TIFF JPEG with noise": ("TIFF", {"compression": "jpeg"}, middle(600, RANDOM.bytes)),
    "TIFF deflate with noise": ("TIFF", {"compression": "tiff_deflate"}, middle(300, RANDOM.bytes)),
    "TIFF LZW with noise": ("TIFF", {"compression": "tiff_lzw"}, middle(300, RANDOM.bytes)),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_image_is_refused(tmp_path, name):
    kind, options, change = DAMAGE[name]
    buffer = io.BytesIO()
    image = Image.fromarray(PICTURE)
    (image.quantize(64) if kind == "GIF" else image).save(buffer, kind, **options)
    path = tmp_path / "a.img"
    path.write_bytes(buffer.getvalue())
    assert pixels_of(path).std() > 20
    path.write_bytes(change(buffer.getvalue()))
    with pytest.raises(OpenError, match=r"^E_OPEN slide=a: a\.img"):
        ImageReader(path)


def test_a_jpeg_with_bytes_after_its_end_is_valid(tmp_path):
    path = saved(tmp_path / "a.jpg", "JPEG")
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    path.write_bytes(path.read_bytes() + b"whatever a camera appends")
    assert np.array_equal(pixels_of(path), expected)


@pytest.mark.parametrize("compression", [None, "lzw", "jpeg", "packbits"])
@pytest.mark.parametrize("tile", [None, (64, 48)])
@pytest.mark.parametrize(
    ("offset", "count", "words"),
    [
        (None, 0, "its byte count is 0, but it has an offset"),
        (0, None, "its offset 0 lies inside the file's header"),
        (0, 0, "not in the file"),
        (1 << 30, None, "not in the file"),
    ],
)
def test_strips_and_tiles_that_are_not_there_refuse_a_plain_tiff(
    tmp_path, compression, tile, offset, count, words
):
    path = tmp_path / "a.tif"
    lists = (324, 325) if tile else (273, 279)
    cut = {"tile": tile} if tile else {"rowsperstrip": 32}
    options = {"photometric": "rgb", "compression": compression, "metadata": None} | cut
    tifffile.imwrite(path, PICTURE, **options)
    assert pixels_of(path).shape == PICTURE.shape
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for code, new in zip(lists, (offset, count), strict=True):
            values = [int(value) for value in tiff.pages.first.tags[code].value]
            if new is not None:
                values[2] = new
            tiff.pages.first.tags[code].overwrite(values, dtype="I")
    with pytest.raises(OpenError, match=f"{'native tile' if tile else 'strip'} 2 .*{words}"):
        ImageReader(path)


def test_a_plain_strip_that_is_too_short_is_damage(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PICTURE, photometric="rgb", rowsperstrip=100, metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        counts = list(tiff.pages.first.tags[279].value)
        assert counts[-1] == 34 * 310 * 3
        tiff.pages.first.tags[279].overwrite([*counts[:-1], counts[-1] - 1])
    with pytest.raises(OpenError, match=r"strip 2 .*31,619 bytes of pixels instead of 31,620"):
        ImageReader(path)


def test_a_damaged_jpeg_mask_is_refused(tmp_path):
    stored = np.zeros((256, 320), np.uint8)
    path = saved(tmp_path / "mask.jpg", "JPEG", stored, quality=90)
    slide = ArrayReader(np.zeros((*stored.shape, 3), np.uint8))
    assert not FileMask(str(path)).generate(slide).any()
    path.write_bytes(resized(path.read_bytes(), taller=64, wider=80))
    taller = ArrayReader(np.zeros((320, 400, 3), np.uint8))
    with pytest.raises(MaskError, match=r"mask\.jpg is not an image .*Corrupt JPEG data"):
        FileMask(str(path)).generate(taller)


@pytest.mark.parametrize("name", ["JPEG with zeros", "JPEG that is taller", "JPEG 2000 with zeros"])
def test_a_run_over_a_damaged_image_fails(tmp_path, name):
    kind, options, change = DAMAGE[name]
    saved(tmp_path / "a.jpg", kind, **options)
    (tmp_path / "a.jpg").write_bytes(change((tmp_path / "a.jpg").read_bytes()))
    words = ["slides=files", "slides.paths=a.jpg", "reader=image", "resolution=level", "mask=none"]
    result = tiler(*words, "tile.size=64", "exporter=[csv,images]", "out=out", cwd=tmp_path)
    assert result.returncode == 3, result.stderr
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert row["status"] == "failed"
    assert "E_OPEN" in row["reason"]


# Depth and channels


def deep_png(path: Path, colour: int, samples: int) -> Path:
    """A PNG of 16 bits per sample, which Pillow cannot write in colour."""
    rows = np.zeros((9, 1 + 2 * samples * 7), np.uint8)
    rows[:, 1:] = RANDOM.integers(0, 256, (9, 2 * samples * 7))

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", 7, 9, 16, colour, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return path


@pytest.mark.parametrize(("colour", "samples"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_a_png_of_16_bits_is_refused(tmp_path, colour, samples):
    with pytest.raises(DepthError, match=r"a\.png has 16 bits per sample"):
        open_slide(deep_png(tmp_path / "a.png", colour, samples))


DEEP = {
    "16-bit RGB": (PICTURE.astype(np.uint16), {"photometric": "rgb"}, "3 samples .* 16 bits"),
    "16-bit grey": (PICTURE[..., 0].astype(np.uint16), {}, "1 sample .* 16 bits"),
    "float": (PICTURE[..., 0].astype(np.float32), {}, "32 bits.*float"),
    "signed": (PICTURE[..., 0].view(np.int8), {}, "8 bits.*signed"),
    "CMYK": (np.dstack([PICTURE, PICTURE[..., :1]]), {"photometric": "separated"}, "CMYK"),
    "a fourth sample": (np.dstack([PICTURE, PICTURE[..., :1]]),
                        {"photometric": "rgb", "extrasamples": ["unspecified"]}, "unspecified"),
    "three called grey": (PICTURE, {"planarconfig": "contig"}, "3 samples .*MinIsBlack"),
    "channels in pages": (np.moveaxis(PICTURE, 2, 0).copy(), {}, "3 pages of 310x234"),
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_a_plain_tiff_of_other_pixels_is_refused(tmp_path, name, compression):
    pixels, options, words = DEEP[name]
    path = tmp_path / "a.tif"
    options = {"photometric": "minisblack", "compression": compression} | options
    tifffile.imwrite(path, pixels, metadata=None, **options)
    with pytest.raises(DepthError, match=words):
        ImageReader(path)


def few_bits(path: Path, values: np.ndarray, bits: int, photometric: int) -> Path:
    """An uncompressed grey TIFF of few bits per sample, in one strip."""
    height, width = values.shape
    wide = np.unpackbits(values[..., None], axis=2)[..., 8 - bits :].reshape(height, -1)
    data = np.packbits(wide, axis=1).tobytes()
    entries = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 0),
               (277, 1), (278, height), (279, len(data))]  # fmt: skip
    start = 8 + 2 + 12 * len(entries) + 4
    packed = b"".join(
        struct.pack("<HHII", code, 4, 1, start if code == 273 else value) for code, value in entries
    )
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4) + data)
    return path


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("photometric", [0, 1])
def test_grey_of_few_bits_is_shown_in_full_range(tmp_path, bits, photometric):
    values = RANDOM.integers(0, 1 << bits, (40, 51)).astype(np.uint8)
    grey = values * (255 // ((1 << bits) - 1))
    got = pixels_of(few_bits(tmp_path / "a.tif", values, bits, photometric))
    expected = grey if photometric else 255 - grey
    assert np.array_equal(got, np.repeat(expected[..., None], 3, axis=2))


def test_a_plain_tiff_whose_first_page_is_not_the_largest_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        for pixels in (PICTURE[::3, ::3], PICTURE):
            tiff.write(pixels, photometric="rgb", metadata=None)
    with pytest.raises(OpenError, match=r"104x78.*310x234"):
        ImageReader(path)


@pytest.mark.slow
def test_formats_that_are_not_known_to_report_damage_are_refused(tmp_path):
    for kind in ("TGA", "PPM", "ICNS"):
        with pytest.raises(OpenError, match="not an image that"):
            ImageReader(saved(tmp_path / "a", kind))


@pytest.mark.parametrize("entry", [1, 256, 257], ids=["8 bits", "16 bits, cut", "16 bits"])
@pytest.mark.parametrize("turn", [1, 6])
def test_a_palette_of_8_or_16_bits_has_its_colours(entry: int, turn: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(entry)
    colours = generator.integers(1, 256, (256, 3))
    places = generator.integers(0, 256, (30, 50)).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "palette.tiff",
        places,
        photometric="palette",
        colormap=(colours.T * entry).astype(np.uint16),
        extratags=[(ORIENTATION, 3, 1, turn, True)],
    )
    expected = TURNED[turn](places)
    with ImageReader(tmp_path / "palette.tiff") as slide:
        size = expected.shape[::-1]
        assert np.array_equal(slide.read_region((0, 0), size, Level(0)), colours[expected])


def test_a_mask_with_a_palette_of_8_bits_has_tissue(tmp_path: Path) -> None:
    table = np.zeros((3, 256), np.uint16)
    table[:, 1] = 255
    tissue = np.zeros((30, 50), np.uint8)
    tissue[4:20, 7:31] = 1
    tifffile.imwrite(tmp_path / "mask.tiff", tissue, photometric="palette", colormap=table)
    mask = FileMask(str(tmp_path / "mask.tiff"))
    source = ArrayReader(np.zeros((60, 100, 3), np.uint8))
    assert np.array_equal(mask.generate(source), tissue > 0)
