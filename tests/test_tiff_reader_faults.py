"""The direct reader of TIFFs: damage, unsupported files, threads, and its cache."""

from __future__ import annotations

import base64
import os
import shutil
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from itertools import product

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image
from test_tiff_reader import APERIO, PYRAMID, TILE, jpeg, picture, write

from tiler import Level
from tiler.errors import LimitError, OpenError, ReadError
from tiler.readers.openslide.reader import OpenSlideReader
from tiler.readers.tiff import file as tiff_file
from tiler.readers.tiff.jpeg import jpeg_stream
from tiler.readers.tiff.layout import UnfitError
from tiler.readers.tiff.reader import TiffReader
from tiler.readers.tiff.tile_cache import TileCache


def refusal(path) -> str:
    """Return the reason why ``TiffReader`` does not support a file."""
    with pytest.raises(UnfitError) as caught:
        TiffReader(path)
    return caught.value.what


# Damage


def overwrite(path, index: int, offset: int | None = None, count: int | None = None) -> None:
    """Change offset or byte count of a tile of the first page."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for tag, new in ((324, offset), (325, count)):
            values = np.atleast_1d(tiff.pages.first.tags[tag].value)
            if new is not None:
                values[index] = new
                tiff.pages.first.tags[tag].overwrite([int(value) for value in values])


def test_a_damaged_tile_fails_alone_and_is_named(shared_slides, tmp_path):
    good = shared_slides / "CMU-1-Small-Region.svs"
    data = bytearray(good.read_bytes())
    data[600_000:604_096] = bytes(4096)
    path = tmp_path / "hurt.svs"
    path.write_bytes(data)
    with TiffReader(path) as hurt, TiffReader(good) as sound:
        errors, same = [], 0
        for row, column in product(range(13), range(10)):
            asked = (240 * column, 240 * row), (240, 240), Level(0)
            try:
                same += np.array_equal(hurt.read_region(*asked), sound.read_region(*asked))
            except ReadError as error:
                errors.append(error)
        assert same == 129
        (error,) = errors
        assert (error.slide, error.level, error.x, error.y) == ("hurt", 0, 720, 1680)
        text = str(error)
        assert text.startswith("E_READ slide=hurt: level 0 at (720, 1680) 240x240: ")
        assert "native tile 73 (column 3, row 7) at byte 596,953: " in text
        assert "Corrupt JPEG data: premature end of data segment" in text
        # A region that only touches the tile fails too, at every reading.
        for _ in range(2):
            with pytest.raises(ReadError, match=r"level 0 at \(950, 1910\) 20x20: native tile 73"):
                hurt.read_region((950, 1910), (20, 20), Level(0))
        hurt.read_region((960, 1920), (20, 20), Level(0))


@pytest.mark.parametrize(
    ("compression", "options", "words"),
    [
        ("jpeg", {}, "Premature end of JPEG file"),
        ("lzw", {}, r"bytes of pixels instead of 9,216"),
        ("deflate", {"predictor": True}, "libdeflate"),
        ("zstd", {}, "ZSTD_decompress"),
        ("webp", {"compressionargs": {"lossless": True}}, "WebP"),
        ("jpegxl", {}, "JXL"),
        ("jpeg2000", {}, "tile-part of the JPEG 2000 codestream ends at byte"),
        (None, {}, "4,608 bytes of pixels instead of 9,216"),
    ],
)
def test_half_a_tile_is_no_tile(tmp_path, compression, options, words):
    path = write(tmp_path / "a.tif", PYRAMID[0], compression=compression, **options)
    with TiffReader(path) as slide:
        good = slide.read_region((0, 0), (308, 236), Level(0))
        half = int(slide._levels[0].byte_counts[6]) // 2
    overwrite(path, 6, count=half)
    with TiffReader(path) as slide:
        with pytest.raises(
            ReadError, match=rf"tile 6 \(column 1, row 1\) at byte [\d,]+: .*{words}"
        ):
            slide.read_region((60, 40), (30, 30), Level(0))
        assert np.array_equal(slide.read_region((128, 0), (180, 236), Level(0)), good[:, 128:])


def test_a_tile_of_another_size_is_refused_before_it_is_decoded(tmp_path):
    small, large = jpeg("420")(picture(48, 48)), jpeg("420")(np.zeros((4096, 4096, 3), np.uint8))
    streams = iter([jpeg("420")(picture(64, 48))] * 3 + [small, large] + [small] * 20)
    path = write(
        tmp_path / "a.tif",
        PYRAMID[0],
        data=lambda tile: next(streams),
        compression="jpeg",
        photometric="ycbcr",
    )
    with TiffReader(path) as slide:
        with pytest.raises(ReadError, match=r"a JPEG of 48x48 YCbCr, not 64x48"):
            slide.read_region((192, 0), (64, 48), Level(0))
        with pytest.raises(ReadError, match=r"a JPEG of 4096x4096 YCbCr, not 64x48"):
            slide.read_region((256, 0), (64, 48), Level(0))


def test_tiles_beyond_the_end_of_the_file_fail_only_themselves(tmp_path):
    path = write(tmp_path / "a.tif", *PYRAMID, compression="lzw")
    overwrite(path, 17, offset=3_000_000_000)
    with TiffReader(path) as slide:
        assert np.array_equal(slide.read_region((0, 0), (308, 144), Level(0)), PYRAMID[0][:144])
        words = r"native tile 17 ends beyond the end of the file: [\d,]+ bytes from 3,000,000,000"
        with pytest.raises(ReadError, match=words):
            slide.read_region((128, 144), (30, 30), Level(0))
        with pytest.raises(ReadError, match=words):
            slide.read_region((190, 130), (3, 15), Level(0))


def test_a_tile_of_more_bytes_than_allowed_is_not_read(tmp_path):
    path = write(tmp_path / "a.tif", PYRAMID[0], compression=None)
    overwrite(path, 6, count=9217)
    with TiffReader(path, max_tile_bytes=9216) as slide:
        with pytest.raises(
            ReadError, match=r"its 9,217 bytes are more than reader\.max_tile_bytes"
        ):
            slide.read_region((64, 48), TILE, Level(0))
        assert np.array_equal(slide.read_region((0, 0), TILE, Level(0)), PYRAMID[0][:48, :64])


def test_a_slide_without_any_of_its_tiles_does_not_open(shared_slides, tmp_path):
    path = tmp_path / "a.svs"
    shutil.copyfile(shared_slides / "small.svs", path)
    overwrite(path, 0, count=4_160_749_831)
    words = r"E_OPEN slide=a: level 0: native tile 0 ends beyond .* 4,160,749,831 bytes from 16"
    with pytest.raises(OpenError, match=words) as caught:
        TiffReader(path)
    assert not isinstance(caught.value, UnfitError)


def test_a_file_that_shrinks_while_it_is_read_is_noticed(tmp_path):
    path = write(tmp_path / "a.tif", PYRAMID[0], compression="lzw")
    with TiffReader(path) as slide:
        os.truncate(path, 5000)
        with pytest.raises(ReadError, match=r"bytes instead of .* the file has shrunk"):
            slide.read_region((200, 200), (80, 30), Level(0))


def test_a_failed_read_is_tried_once_more_on_a_fresh_handle(tmp_path, monkeypatch):
    path = write(tmp_path / "a.tif", PYRAMID[0], compression="lzw")
    slide = TiffReader(path)
    failures = iter([True, False, True, True])
    real = os.pread

    def flaky(*arguments):
        if next(failures, False):
            raise OSError(5, "Input/output error")
        return real(*arguments)

    monkeypatch.setattr(os, "pread", flaky)
    assert np.array_equal(slide.read_region((3, 5), (20, 20), Level(0)), PYRAMID[0][5:25, 3:23])
    assert slide.reopened == 1
    with pytest.raises(ReadError, match="Input/output error"):
        slide.read_region((130, 5), (20, 20), Level(0))
    assert slide.reopened == 2
    slide.close()
    slide.close()


class SlowFile(FileIO):
    """A file that lets other threads run between seeking and reading."""

    def seek(self, *arguments):
        place = super().seek(*arguments)
        time.sleep(0.001)
        return place


def test_pixels_are_the_same_without_pread(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "pread")
    monkeypatch.setattr(tiff_file, "FileIO", SlowFile)
    path = write(tmp_path / "a.tif", PYRAMID[0], compression="lzw")
    with TiffReader(path, cache_bytes=0) as slide, ThreadPoolExecutor(3) as threads:
        boxes = [(x, y) for y in range(0, 200, 29) for x in range(0, 280, 21)]
        found = threads.map(lambda at: slide.read_region(at, (21, 9), Level(0)), boxes)
        for (x, y), pixels in zip(boxes, found, strict=True):
            assert np.array_equal(pixels, PYRAMID[0][y : y + 9, x : x + 21])


# A 64 x 64 codestream of OpenJPEG with chroma at half the columns: Y = 3x + y, Cb = 2y + 40 and
# Cr = x / 2 + 90, reversibly coded.
SUBSAMPLED = base64.b85decode(
    "|4;u>051Rl0000$0000$00000000000000$0000$000000000000RdB0S5vB2Lb{AQUDA9000311q1{D0smY86F@*n"
    "NKi;fP)JBnNJvmfNKpS|03`qcLvm$dbY)~9VtF7>aAj^vP(?=|c4cyNX>V>IGA=bPH2;tQ3IG5A006iE0soWVfG7uz"
    "_bLm|v<wHoAH(Ma2_M7i1B2%V4Eh@jJ%^$70RRh<!|DP60%XDSgn{w|03sN7!~=ibU!eKHfCG4!!SjRw7uVnS!1)6}"
    "d?Elgp@lgZ4?U(dFQ9yZ04X5?&%pTu03sam@vDEpd?LU)AYZ4)GvA%8DL<e-5kQ0>Cq{q3d?J80p?GY6z&b1eAd6xF"
    "tncBCVyB=T5XgE;Pry1TU#G{WKmXY"
)


def test_subsampled_jpeg_2000_is_within_one_of_openslide(tmp_path):
    path = write(
        tmp_path / "a.svs",
        np.zeros((64, 64, 3), np.uint8),
        tile=(64, 64),
        data=lambda tile: SUBSAMPLED,
        compression=33003,
        description=APERIO,
    )
    with TiffReader(path) as mine, OpenSlideReader(path) as theirs:
        a, b = (r.read_region((0, 0), (64, 64), Level(0)).astype(int) for r in (mine, theirs))
        assert np.abs(a - b).max() == 1
        assert b.std() > 20
    path = write(
        tmp_path / "b.svs",
        np.zeros((64, 64, 3), np.uint8),
        tile=(64, 64),
        data=lambda tile: SUBSAMPLED,
        compression=33005,
        description=APERIO,
    )
    assert "subsampled" in refusal(path)


# Unsupported files


def strange(path, **options):
    defaults = {"photometric": "rgb", "tile": (48, 64), "metadata": None, "compression": "lzw"}
    pixels = options.pop("pixels", PYRAMID[0])
    tifffile.imwrite(path, pixels, **(defaults | options))


RGBA = np.dstack([PYRAMID[0], np.full((236, 308), 99, np.uint8)])

STRANGE = {
    "strips": ({"tile": None, "rowsperstrip": 16}, "another kind"),
    "16 bits": ({"pixels": PYRAMID[0].astype(np.uint16)}, "3 samples per pixel of 16 bits"),
    "grey": ({"pixels": PYRAMID[0][..., 0], "photometric": "minisblack"}, "samples per pixel 1"),
    "alpha": ({"pixels": RGBA, "extrasamples": ["unassalpha"]}, "samples per pixel 4"),
    "planes": (
        {"pixels": PYRAMID[0].transpose(2, 0, 1), "planarconfig": "separate"},
        "planar configuration 2",
    ),
    "signed": ({"pixels": PYRAMID[0].view(np.int8)}, "sample format signed"),
    "packbits": ({"compression": "packbits"}, "compression 32773"),
    "CIE L*a*b*": ({"photometric": "cielab"}, "photometric interpretation 8"),
    "YCbCr without JPEG": (
        {"photometric": "ycbcr", "extratags": [(530, 3, 2, (1, 1), True)]},
        "photometric interpretation 6",
    ),
    "upside down": (
        {"extratags": [(274, 3, 1, 4, True)]},
        r"Orientation tag \(274\) is 4 \(mirror it top to bottom\)",
    ),
}


@pytest.mark.parametrize("name", STRANGE)
def test_unsupported_files_are_refused_with_the_reason(tmp_path, name):
    options, words = STRANGE[name]
    path = tmp_path / "a.tif"
    strange(path, **dict(options))
    with pytest.raises(UnfitError, match=words) as caught:
        TiffReader(path, name="other")
    assert str(caught.value).startswith("E_OPEN slide=other: ")


def test_other_files_are_refused_too(shared_slides, tmp_path):
    Image.fromarray(PYRAMID[0]).save(tmp_path / "a.png")
    assert refusal(tmp_path / "a.png") == "a.png is not a TIFF"
    assert "hamamatsu" in refusal(shared_slides / "test3-DAPI-2-(387).ndpi")
    assert "not a TIFF" in refusal(shared_slides / "boxes_0.dcm")
    assert "52479" in refusal(shared_slides / "unopenable.tiff")
    assert "native tile 0" in refusal(shared_slides / "unreadable.svs")
    with pytest.raises(OpenError, match="no such file"):
        TiffReader(tmp_path / "missing.svs")
    TiffReader(shared_slides / "CMU-1-Small-Region.svs").close()


def test_missing_tiles_of_an_aperio_pyramid_are_left_to_openslide(tmp_path):
    for hole, description, fits in ((3, APERIO, False), (3, None, True), (99, APERIO, True)):
        counter = iter(range(99))
        path = write(
            tmp_path / "a.tif",
            *PYRAMID[:2],
            data=lambda t, hole=hole, counter=counter: (
                b"" if next(counter) == hole else jpeg("420")(t)
            ),
            compression="jpeg",
            photometric="ycbcr",
            description=description,
        )
        if fits:
            TiffReader(path).close()
        else:
            assert "missing tiles" in refusal(path)


def test_pages_that_do_not_distinguish_levels_are_left_to_openslide(tmp_path):
    path = write(tmp_path / "a.tif", PYRAMID[0], PYRAMID[1], PYRAMID[1], compression="lzw")
    assert len(openslide.OpenSlide(path).level_dimensions) == 3
    assert "several of its levels have the same downsample" in refusal(path)


def test_a_subifd_that_is_no_level_is_left_out(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        options = {"tile": TILE[::-1], "photometric": "rgb", "compression": "lzw"}
        tiff.write(PYRAMID[0], subifds=1, metadata={"axes": "YXS"}, **options)
        tiff.write(picture(154, 60), subfiletype=1, metadata=None, **options)
    with TiffReader(path) as slide:
        assert slide.level_dimensions == ((308, 236),)
        assert "154x60" in slide.provenance["levels"]


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        ("TileOffsets", "no page lists its tiles"),
        ("TileByteCounts", "5x5 tiles, but 25 offsets and 0 sizes"),
    ],
)
def test_a_slide_of_openslide_without_a_list_of_its_tiles_is_refused(tmp_path, lost, reason):
    path = write(tmp_path / "a.tif", PYRAMID[0], compression="jpeg")
    with tifffile.TiffFile(path) as tiff:
        entry = tiff.pages[0].tags[lost].offset
    with path.open("r+b") as file:
        file.seek(entry)
        file.write(struct.pack("<H", 320))  # another tag, so that the entry is unknown
    assert openslide.OpenSlide.detect_format(path) == "generic-tiff"
    assert refusal(path) == reason


def test_tables_of_tiles_that_do_not_fit_are_refused(tmp_path):
    path = write(tmp_path / "a.tif", PYRAMID[0], compression="lzw")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags[257].overwrite(10_000)
    assert "5x209 tiles, but 25 offsets" in refusal(path)


def claim(path, width: int, height: int, tile: int) -> None:
    """A TIFF of a few bytes with one tile of 3 x 8 bits."""
    entries = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 2),
               (277, 3, 3), (322, 4, tile), (323, 4, tile), (324, 4, 8), (325, 4, 100)]  # fmt: skip
    packed = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4))


def test_claims_of_size_are_refused_before_anything_is_allocated(tmp_path):
    path = tmp_path / "a.tif"
    claim(path, 50_000, 40_000, 65_536)
    with pytest.raises(LimitError, match=r"65536x65536, needs 12,884,901,888 bytes.*max_tile_by"):
        TiffReader(path)
    claim(path, 1_048_576, 1_048_576, 1_048_576)
    with pytest.raises(LimitError, match=r"1048576x1048576 pixels.*open_slide\(path, max_pixels="):
        TiffReader(path)
    path = write(tmp_path / "b.tif", PYRAMID[0], compression="lzw")
    with pytest.raises(LimitError, match=r"308x236 pixels.*max_pixels=72687"):
        TiffReader(path, max_pixels=308 * 236 - 1)
    with pytest.raises(LimitError, match=r"64x48, needs 9,216 bytes.*max_tile_bytes=9215"):
        TiffReader(path, max_tile_bytes=9215)
    path = write(tmp_path / "c.tif", PYRAMID[0], compression=None)
    with TiffReader(path, max_pixels=308 * 236, max_tile_bytes=9216) as slide:
        assert slide.dimensions == (308, 236)


def test_directories_that_lead_in_a_circle_end(tmp_path):
    path = write(tmp_path / "a.tif", PYRAMID[0], compression="lzw")
    data = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    path.write_bytes(data)
    assert "directories are damaged" in refusal(path)


def test_directories_with_any_byte_changed_never_break_it(tmp_path):
    path = write(tmp_path / "a.tif", PYRAMID[2], compression="jpeg", description=APERIO)
    sound = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages.first.offset
        stop = start + 2 + 12 * len(tiff.pages.first.tags)
    random = np.random.default_rng(11)
    outcomes = set()
    for _ in range(150):
        data = bytearray(sound)
        data[random.integers(start, stop + 200)] = random.choice([0, 1, 0x80, 0xFF])
        path.write_bytes(data)
        try:
            with TiffReader(path, max_pixels=10**8, max_tile_bytes=1 << 24) as slide:
                slide.read_region((0, 0), (77, 59), Level(0))
                outcomes.add("read")
        except (OpenError, LimitError, ReadError) as error:
            outcomes.add(error.code)
    assert {"read", "E_OPEN"} <= outcomes


# Decoding each tile once


def tile_pixels(value: int, nbytes: int = 300) -> np.ndarray:
    return np.full((10, nbytes // 30, 3), value, np.uint8)


def test_the_cache_keeps_the_last_used_tiles_within_its_bytes():
    cache, made = TileCache(900), []

    def make(key):
        made.append(key[1])
        return tile_pixels(key[1])

    for tile in (1, 2, 3, 1, 4, 1, 2):
        assert (cache.get((0, tile), make) == tile).all()
        assert cache.size <= 900
    assert made == [1, 2, 3, 4, 2]
    assert cache.made == 5
    cache.get((1, 1), make)
    assert made[-1] == 1, "another level's tile is another tile"
    cache.clear()
    assert cache.size == 0


def test_whole_tiles_are_kept_only_while_they_are_needed_again():
    cache = TileCache(3000)

    def read(*tiles):
        for tile in tiles:
            cache.get((0, tile), lambda key: tile_pixels(1), whole=True)

    read(*range(50))
    assert (cache.made, cache.size) == (50, 0)
    read(45, 46, 45, 46, 47, 46, 47)
    assert (cache.made, cache.size) == (53, 900), "reads overlap: each is decoded once more"
    for start in range(100, 200, 18):  # less than twice the cache in vain
        read(*range(start, start + 18), start + 17)
    assert cache.made == 53 + 6 * 18
    read(*range(300, 350))
    before = cache.size
    cache.clear()
    read(*range(400, 450))
    assert (before, cache.size) == (3000, 0), "another epoch: nothing is needed again"


def test_a_tile_larger_than_the_cache_is_its_only_entry():
    cache = TileCache(500)
    for tile, nbytes in ((1, 300), (2, 3000), (2, 3000), (3, 300), (2, 3000)):
        cache.get((0, tile), lambda key, nbytes=nbytes: tile_pixels(1, nbytes))
        assert cache.size <= 3000
    assert cache.made == 4
    nothing = TileCache(0)
    for _ in range(3):
        nothing.get((0, 1), lambda key: tile_pixels(1))
    assert (nothing.made, nothing.size) == (3, 0)


def test_threads_that_ask_for_the_same_tile_share_one_decoding():
    cache, start = TileCache(10_000), threading.Barrier(8)

    def make(key):
        time.sleep(0.05)
        return tile_pixels(7)

    def ask(_):
        start.wait()
        return cache.get((0, 3), make)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, range(8)))
    assert cache.made == 1
    assert all(tile is found[0] for tile in found)


def test_a_failing_tile_fails_in_each_thread_and_blocks_none():
    cache, start, calls = TileCache(10_000), threading.Barrier(4), []

    def make(key):
        calls.append(key)
        time.sleep(0.01)
        raise ValueError("broken")

    def ask(_):
        start.wait()
        with pytest.raises(ValueError, match="broken"):
            cache.get((0, 3), make)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ask, range(4)))
    assert len(calls) == 4
    assert (cache.get((0, 3), lambda key: tile_pixels(9)) == 9).all()


def test_tiles_wholly_within_reads_are_kept_only_if_reads_overlap(tmp_path):
    path = write(tmp_path / "a.tif", PYRAMID[0], compression="jpeg")
    (width, height), decoded = TILE, []
    for step in (2, 1):
        with TiffReader(path) as slide:
            before = slide.native_tiles_decoded
            for row in range(0, 4, step):
                for column in range(0, 4, step):
                    box = (2 * width, 2 * height)
                    slide.read_region((column * width, row * height), box, Level(0))
            decoded.append(slide.native_tiles_decoded - before)
            assert (slide._cache.size > 0) == (step == 1)
    apart, overlapping = decoded
    assert apart == 16
    assert 25 <= overlapping <= 25 + 4, "those of the first read may be decoded again"


@pytest.mark.parametrize("tables", [True, False])
def test_the_header_of_every_jpeg_tile_is_checked(tmp_path, tables):
    path = write(tmp_path / "a.tif", PYRAMID[0], compression="jpeg")
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        shared = page.jpegtables if tables else None
        start, length = page.dataoffsets[3], page.databytecounts[3]
    stream = path.read_bytes()[start : start + length]
    if page.jpegtables and not tables:
        stream = jpeg_stream(TILE, page.jpegtables, ycbcr=True)(stream)
    whole = jpeg_stream(TILE, shared, ycbcr=True)
    sound = whole(stream)
    assert whole(stream) == sound
    at = stream.index(b"\xff\xc0") + 6  # the last byte of the height
    taller = stream[:at] + bytes([stream[at] + 1]) + stream[at + 1 :]
    with pytest.raises(ValueError, match="a JPEG of 64x49 YCbCr, not 64x48"):
        whole(taller)
    assert whole(stream) == sound


def test_overlapping_regions_decode_each_native_tile_once(tmp_path):
    path = write(tmp_path / "a.tif", PYRAMID[0], compression="jpeg")
    with TiffReader(path) as slide, ThreadPoolExecutor(4) as threads:
        before = slide.native_tiles_decoded
        boxes = [(x, y) for y in range(0, 236, 17) for x in range(0, 308, 23)]
        list(threads.map(lambda at: slide.read_region(at, (46, 34), Level(0)), boxes))
        assert slide.native_tiles_decoded - before == 25
    with TiffReader(path, cache_bytes=0) as slide:
        for at in boxes:
            slide.read_region(at, (46, 34), Level(0))
        assert slide.native_tiles_decoded > 100


def test_pixels_that_are_written_to_do_not_reach_the_cache(tmp_path):
    path = write(tmp_path / "a.tif", PYRAMID[0], compression="lzw")
    with TiffReader(path) as slide:
        first = slide.read_region((64, 48), TILE, Level(0))
        first[:] = 0
        assert np.array_equal(
            slide.read_region((64, 48), TILE, Level(0)), PYRAMID[0][48:96, 64:128]
        )
