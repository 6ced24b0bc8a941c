"""Entries of a TIFF's lists for each native tile: read, background, or damage of that tile only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from command import read_csv, tiler
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tiff_reader import APERIO, PYRAMID, TILE, write
from tile_files import written

from tiler import Level
from tiler.errors import OpenError, ReadError, SlideError
from tiler.exporters import ImagesExporter
from tiler.readers import open_slide
from tiler.readers.openslide.reader import OpenSlideReader
from tiler.readers.tiff.jpeg import jpeg_check
from tiler.readers.tiff.reader import TiffReader
from tiler.readers.tile_checks import openslide_check
from tiler.regions import RegionSpec

READERS = [TiffReader, OpenSlideReader]
GREY = PYRAMID[0][..., 0]


def change(path: Path, tiles: dict[int, tuple[int | None, int | None]], page: int = 0) -> None:
    """Set offset and byte count of native tiles; None leaves one as it is."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tags = tiff.pages[page].tags
        for position, code in enumerate((324, 325)):
            values = [int(value) for value in np.atleast_1d(tags[code].value)]
            for tile, new in tiles.items():
                if new[position] is not None:
                    values[tile] = new[position]
            tags[code].overwrite(values)


def box_of(tile: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return place and size of a native tile of level 0, cut to the picture."""
    row, column = divmod(tile, 5)
    (width, height), (x, y) = TILE, (column * TILE[0], row * TILE[1])
    return (x, y), (min(width, 308 - x), min(height, 236 - y))


STATES = {
    "kept": ((None, None), None),
    "sparse": ((0, 0), "background"),
    "no bytes": ((None, 0), "its byte count is 0, but it has an offset"),
    "no offset": ((0, None), "its offset 0 lies inside the file's header"),
    "in the header": ((7, None), "its offset 7 lies inside the file's header"),
}


@settings(max_examples=30)
@given(
    states=st.lists(st.sampled_from(list(STATES)), min_size=25, max_size=25),
    reader=st.sampled_from(READERS),
    compression=st.sampled_from(["jpeg", "lzw", None]),
    description=st.sampled_from([None, APERIO]),
)
def test_each_tile_is_read_background_or_an_error_of_its_own(
    tmp_path_factory, states, reader, compression, description
):
    path = tmp_path_factory.mktemp("states") / "a.tif"
    write(path, PYRAMID[0], compression=compression, description=description)
    with TiffReader(path) as slide:
        truth = slide.read_region((0, 0), (308, 236), Level(0))
    change(path, {tile: STATES[state][0] for tile, state in enumerate(states)})
    with reader(path) as slide:
        for tile, state in enumerate(states):
            (x, y), (width, height) = box_of(tile)
            expected = STATES[state][1]
            if expected in (None, "background"):
                got = slide.read_region((x, y), (width, height), Level(0))
                pixels = truth[y : y + height, x : x + width]
                assert np.array_equal(got, np.full_like(pixels, 255) if expected else pixels)
                continue
            with pytest.raises(ReadError, match=expected) as caught:
                slide.read_region((x, y), (width, height), Level(0))
            assert f"native tile {tile} (column {tile % 5}, row {tile // 5})" in str(caught.value)
            assert (caught.value.level, caught.value.x, caught.value.y) == (0, x, y)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("description", [None, APERIO])
def test_damage_on_another_level_fails_there(tmp_path, reader, description):
    path = write(tmp_path / "a.tif", *PYRAMID, compression="lzw", description=description)
    change(path, {4: (None, 0)}, page=1)
    with reader(path) as slide:
        assert np.array_equal(slide.read_region((0, 0), (308, 236), Level(0)), PYRAMID[0])
        assert np.array_equal(slide.read_region((0, 0), (64, 118), Level(1)), PYRAMID[1][:, :64])
        with pytest.raises(ReadError, match=r"level 1 at \(60, 40\).*native tile 4 \(col"):
            slide.read_region((60, 40), (9, 12), Level(1))
        with pytest.raises(ReadError, match="byte count is 0"):
            slide.thumbnail((140, 110))


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["auto", "openslide"])
def test_a_run_over_emptied_tiles_writes_no_white_ones(tmp_path, shared_slides, reader):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in/bad.svs"
    path.write_bytes((shared_slides / "CMU-1-Small-Region.svs").read_bytes())
    change(path, dict.fromkeys(range(30, 90), (None, 0)))  # of 10 by 13
    words = ["slides=files", "slides.paths=in", "resolution=level", "mask=none", "tile.size=240"]
    words += ["exporter=[csv,images]", "out=out", f"reader={reader}", "on_bad_tile=drop"]
    result = tiler(*words, cwd=tmp_path)
    assert result.returncode == 3, result.stderr
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert row["status"] == "failed"
    assert "54 of 108 tiles unreadable" in row["reason"]
    assert "native tile 30 (column 0, row 3)" in row["reason"]
    assert "its byte count is 0, but it has an offset" in row["reason"]
    kept = {(row["x"], row["y"]) for row in read_csv(tmp_path / "out/slides/bad/bad.csv")}
    assert kept == {
        (str(240 * x), str(240 * y)) for y in range(12) if not 3 <= y < 9 for x in range(9)
    }


def test_damaged_tables_that_all_jpeg_tiles_share_fail_each_tile(tmp_path, shared_slides):
    path = tmp_path / "bad.svs"
    path.write_bytes((shared_slides / "CMU-1-Small-Region.svs").read_bytes())
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].tags["JPEGTables"].valueoffset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\x4c\x04")
    with OpenSlideReader(path) as slide, pytest.raises(ReadError):
        slide.read_region((240, 240), (240, 240), Level(0))
    tags = {258: (8,), 259: 7, 262: 1, 277: 1, 347: b"\x4c\x04"}  # of grey tiles: by libtiff
    for check in (openslide_check(tags), jpeg_check(tags[347])):
        with pytest.raises(ValueError, match="no JPEG"):
            check(b"\xff\xd8\xff\xd9")


def test_damage_in_a_level_that_has_no_page_of_its_own_refuses_the_slide(tmp_path):
    path = write(tmp_path / "a.tif", PYRAMID[0], PYRAMID[1], PYRAMID[1], compression="lzw")
    OpenSlideReader(path).close()
    change(path, {3: (None, 0)}, page=2)
    with pytest.raises(OpenError, match=r"a\.tif: page 2: native tile 3 .*byte count is 0"):
        open_slide(path)


def test_passthrough_of_a_sparse_tile_is_refused_with_a_reason(tmp_path):
    path = write(tmp_path / "a.tif", PYRAMID[0], compression="jpeg")
    change(path, {6: (0, 0), 7: (None, 0)})
    exporter = ImagesExporter(extension="jpg", passthrough=True)

    def export(tile: int) -> tuple:
        location, shape = box_of(tile)
        region = RegionSpec(location, shape, Level(0), 1.0, 1.0)
        return written(exporter, slide, [region], tmp_path)[1]

    with TiffReader(path) as slide:
        with pytest.raises(SlideError, match="no bytes for native tile 6; set passthrough=false"):
            export(6)
        (failed,) = export(7)
        assert "its byte count is 0, but it has an offset" in failed.cause


# Damage that OpenSlide does not report

PLANES = np.moveaxis(PYRAMID[0], 2, 0).copy()
HIDDEN = {
    "JPEG": (PYRAMID[0], {"compression": "jpeg"}, "extraneous bytes before marker"),
    "grey JPEG": (GREY, {"photometric": "minisblack", "compression": "jpeg"}, ""),
    "JPEG in planes": (PLANES, {"planarconfig": "separate", "compression": "jpeg"}, ""),
    "deflate": (PYRAMID[0], {"compression": "deflate"}, "deflate"),
    "grey deflate": (GREY, {"photometric": "minisblack", "compression": "deflate"}, "deflate"),
}


def damage_in_silence(path: Path, sound: np.ndarray, count: int, words: str) -> None:
    """Change bytes of native tile 6 so that OpenSlide shows other pixels, and no error.

    Of JPEG in three samples it reports most damage, but no stream that goes on after the last row.
    """
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        start, length = page.dataoffsets[6], page.databytecounts[6]
        tables = page.tags.get(347)
    data = path.read_bytes()
    for at in range(start + length // 2, start + length - count):
        bad = bytes(byte ^ 9 for byte in data[at : at + count])
        changed = data[:at] + bad + data[at + count :]
        tile = changed[start : start + length]
        if "marker" in words and words not in warning(tile, tables and tables.value):
            continue
        path.write_bytes(changed)
        with openslide.OpenSlide(path) as peer, suppress(openslide.OpenSlideError):
            got = np.asarray(peer.read_region((64, 48), 0, TILE).convert("RGB"))
            if not np.array_equal(got, sound[48:96, 64:128]):
                return
    pytest.fail("OpenSlide reports all damage")


def warning(tile: bytes, tables: bytes | None) -> str:
    """Return libjpeg's warning about a tile."""
    try:
        jpeg_check(tables)(tile)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("description", [None, APERIO])
def test_damage_that_openslide_hides_fails_its_tile(tmp_path, name, description):
    pixels, options, words = HIDDEN[name]
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, pixels, tile=TILE[::-1], metadata=None, description=description,
        **({"photometric": "rgb"} | options),
    )  # fmt: skip
    with OpenSlideReader(path) as slide:
        sound = slide.read_region((0, 0), (308, 236), Level(0))
        assert sound.std() > 20
    damage_in_silence(path, sound, 2 if words else 150, words)
    with OpenSlideReader(path) as slide:
        for _ in range(2):
            with pytest.raises(ReadError, match=rf"native tile 6 \(column 1, row 1\).*{words}"):
                slide.read_region((120, 90), (20, 20), Level(0))
        got = slide.read_region((128, 0), (180, 236), Level(0))
        assert np.array_equal(got, sound[:, 128:])


def test_an_uncompressed_tile_that_is_too_short_fails_in_both_readers(tmp_path):
    path = write(tmp_path / "a.tif", PYRAMID[0], compression=None)
    change(path, {6: (None, 9215)})
    for reader in READERS:
        with reader(path) as slide:
            with pytest.raises(ReadError, match=r"native tile 6 .*9,215 bytes of pixels"):
                slide.read_region((64, 48), (5, 5), Level(0))
            assert np.array_equal(slide.read_region((0, 0), TILE, Level(0)), PYRAMID[0][:48, :64])


def test_a_plane_that_is_missing_is_damage(tmp_path):
    path = tmp_path / "a.tif"
    options = {"photometric": "rgb", "planarconfig": "separate", "compression": "lzw"}
    tifffile.imwrite(path, PLANES, tile=TILE[::-1], metadata=None, **options)
    change(path, {25 + 6: (0, 0), 7: (0, 0), 32: (0, 0), 57: (0, 0)})
    with OpenSlideReader(path) as slide:
        assert np.array_equal(slide.read_region((0, 0), TILE, Level(0)), PYRAMID[0][:48, :64])
        assert (slide.read_region((128, 48), TILE, Level(0)) == 255).all()
        with pytest.raises(ReadError, match=r"native tile 6 .*some of its planes are missing"):
            slide.read_region((64, 48), TILE, Level(0))


def test_threads_check_the_same_tiles_without_harm(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, tile=TILE[::-1], photometric="minisblack", compression="jpeg")
    boxes = [(x, y) for y in range(0, 200, 40) for x in range(0, 270, 40)] * 2
    with OpenSlideReader(path) as slide, ThreadPoolExecutor(4) as threads:
        got = threads.map(lambda at: slide.read_region(at, (33, 30), Level(0)), boxes)
        whole = slide.read_region((0, 0), (308, 236), Level(0))
        for (x, y), pixels in zip(boxes, got, strict=True):
            assert np.array_equal(pixels, whole[y : y + 30, x : x + 33])
