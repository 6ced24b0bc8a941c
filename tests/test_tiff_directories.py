"""A TIFF's directories: the values that tifffile reads, and nothing beyond the file."""

from __future__ import annotations

import struct
import tracemalloc
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tiler import Level
from tiler.errors import TilerError
from tiler.readers import open_slide
from tiler.readers.openslide.reader import OpenSlideReader
from tiler.readers.tiff.facts import _NAMES
from tiler.readers.tiff.file import TileFile
from tiler.readers.tiff.layout import TAGS, UnfitError, native_level
from tiler.readers.tiff.reader import TiffReader
from tiler.readers.tiff_directories import (
    LISTS,
    MAX_PAGES,
    Directories,
    index_pieces,
    is_tiff,
    read_directories,
    read_first,
)

WANTED = {*TAGS, *_NAMES, *LISTS}
OFFSETS = 324
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def read(path: Path) -> Directories:
    with closing(TileFile(path)) as file:
        assert is_tiff(file)
        return read_directories(file, WANTED)


def plain(value: object) -> object:
    return tuple(value.tolist()) if isinstance(value, np.ndarray) else value


def as_tifffile_reads(page: tifffile.TiffPage) -> dict[int, object]:
    return {tag.code: tag.value for tag in page.tags if tag.code in WANTED}


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@settings(max_examples=15)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 200), st.integers(1, 90)), min_size=1, max_size=3),
    subifds=st.integers(0, 2),
    description=TEXT,
    software=TEXT,
)
def test_directories_are_what_tifffile_reads(
    order, bigtiff, sizes, subifds, description, software, tmp_path_factory
):
    path = tmp_path_factory.getbasetemp() / "a.tif"
    options = {"tile": (16, 32), "photometric": "rgb", "metadata": None, "compression": "lzw"}
    with tifffile.TiffWriter(path, byteorder=order, bigtiff=bigtiff) as tiff:
        for index, (width, height) in enumerate([*sizes, *[(40, 20)] * subifds]):
            tiff.write(
                np.zeros((height, width, 3), np.uint8),
                subifds=subifds if index == 0 else 0,
                description=description.encode() or None,
                software=software.encode(),
                resolution=(1e4, 2.5e4),
                **options,
            )
    found = read(path)
    with tifffile.TiffFile(path) as tiff:
        below = tiff.pages.first.pages or ()
        expected = [as_tifffile_reads(page) for page in (*tiff.pages, *below)]
        assert len(found.subifds) == len(below) == subifds
    pages = (*found.pages, *found.subifds)
    assert [{code: plain(value) for code, value in page.items()} for page in pages] == expected


@pytest.mark.slow
def test_a_slide_of_many_tiles_is_indexed_by_arrays(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((4800, 6400, 3), np.uint8), tile=(16, 16), photometric="rgb",
        compression="lzw", metadata=None, byteorder=">",
    )  # fmt: skip
    tracemalloc.start()
    (page,) = read(path).pages
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(page[OFFSETS]) == 300 * 400
    assert peak < 120_000 * (4 + 4) * 1.2
    native = native_level(page, "a")
    with tifffile.TiffFile(path) as tiff:
        assert native.offsets.dtype == native.byte_counts.dtype == np.int64
        assert tuple(native.offsets) == tiff.pages.first.dataoffsets
        assert tuple(native.byte_counts) == tiff.pages.first.databytecounts


def change(path: Path, code: int, *, kind=None, count=None, place=None) -> None:
    """Overwrite fields of the first page's entry for a tag, in a classic TIFF."""
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages.first.tags[code].offset
    data = bytearray(path.read_bytes())
    for form, where, new in (("<H", 2, kind), ("<I", 4, count), ("<I", 8, place)):
        if new is not None:
            struct.pack_into(form, data, at + where, new)
    path.write_bytes(data)


@pytest.fixture
def small(tmp_path) -> Path:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((100, 200, 3), np.uint8), tile=(16, 16), photometric="rgb",
        compression="lzw", metadata=None,
    )  # fmt: skip
    TiffReader(path).close()
    return path


@pytest.mark.parametrize(
    ("code", "new", "words"),
    [
        (OFFSETS, {"count": 2**32 - 1}, "17,179,869,180 bytes from .*, but the file has"),
        (OFFSETS, {"count": 2**31, "kind": 7}, "2,147,483,648 bytes"),
        (OFFSETS, {"place": 2**32 - 1}, "364 bytes from 4,294,967,295"),
        (258, {"count": 2**32 - 1}, "tag 258 has 4,294,967,295 values"),
        (258, {"count": 0}, r"bits per sample \(\), not 8"),
        (305, {"count": 2**31}, "2,147,483,648 bytes"),
        (OFFSETS, {"kind": 1}, "tag 324 is not a list of file positions"),
        (OFFSETS, {"kind": 7}, "tag 324 is not a list of file positions"),
        (OFFSETS, {"kind": 11}, "tag 324 is not a list of file positions"),
        (OFFSETS, {"kind": 99}, "tag 324 has an unknown type, 99"),
        (OFFSETS, {"count": 1}, "13x7 tiles, but 1 offsets and 91 sizes"),
        (OFFSETS, {"count": 0}, "13x7 tiles, but 0 offsets and 91 sizes"),
        (322, {"kind": 13}, "tag 322 has type 13"),
        (322, {"count": 0}, r"tag 322 is \(\), not a number"),
        (258, {"count": 4096, "kind": 1, "place": 8}, "per pixel of unknown bits"),
    ],
)
def test_false_claims_are_refused_before_anything_is_allocated(small, code, new, words):
    change(small, code, **new)
    with pytest.raises(UnfitError):
        TiffReader(small)
    tracemalloc.start()
    with pytest.raises((UnfitError, ValueError), match=words):
        native_level(read(small).pages[0], "a")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500_000


def test_tags_with_too_many_values_are_refused(small):
    small.write_bytes(small.read_bytes() + bytes(5000))
    change(small, 258, count=1025, place=8)
    with pytest.raises(ValueError, match="tag 258 has 1,025 values"):
        read(small)


def test_positions_beyond_any_file_size_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((16, 16, 3), np.uint8), tile=(16, 16), photometric="rgb", bigtiff=True,
        metadata=None,
    )  # fmt: skip
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags[OFFSETS].overwrite([2**64 - 1])
    with pytest.raises(UnfitError, match="tag 324 is not a list of file positions"):
        TiffReader(path)


def test_faults_of_other_tags_are_ignored(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((16, 16, 3), np.uint8), tile=(16, 16), photometric="rgb", metadata=None,
        extratags=[(65000, 2, 0, "nothing of ours", True)],
    )  # fmt: skip
    change(path, 65000, place=2**32 - 1)
    (page,) = read(path).pages
    assert 65000 not in page
    assert page[256] == page[257] == 16


@pytest.mark.parametrize("head", [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"])
@settings(max_examples=3 * settings().max_examples // 4)
@given(body=st.binary(max_size=80), first=st.integers(0, 90))
def test_any_bytes_are_directories_or_refused(head, body, first, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.tif"
    order = "<" if head[0] == ord("I") else ">"
    place = (
        struct.pack(f"{order}I", first) if 42 in head else struct.pack(f"{order}HHQ", 8, 0, first)
    )
    path.write_bytes(head + place + body)
    with suppress(ValueError):
        assert read(path).pages


def overlapping(
    path: Path, pages: int, lists: int, nbytes: int, *, codes=(324, 325), kind=4, size=4
) -> None:
    """Write pages that use the same bytes, a hole at the end of the file, as their lists."""
    entries = 12 * lists
    start, step = 8, 2 + entries + 4
    hole = max(start + pages * step, 1 << 16)
    with path.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, start))
        for page in range(pages):
            taken = (codes[index % len(codes)] for index in range(lists))
            packed = [struct.pack("<HHII", code, kind, nbytes // size, hole) for code in taken]
            following = start + (page + 1) * step if page + 1 < pages else 0
            file.write(struct.pack("<H", lists) + b"".join(packed) + struct.pack("<I", following))
        file.truncate(hole + nbytes)


def digested(path: Path) -> list[int]:
    """Return the bytes of each piece of a TIFF's index that its fingerprint covers."""
    with closing(TileFile(path)) as file:
        return [len(piece) for piece in index_pieces(file)]


@pytest.mark.parametrize(("pages", "lists"), [(40, 2), (1, 80)])
def test_overlapping_lists_are_read_within_bounds(tmp_path, monkeypatch, pages, lists):
    path, bound, nbytes = tmp_path / "a.tif", 1 << 20, 1 << 17
    overlapping(path, pages, lists, nbytes)
    monkeypatch.setattr("tiler.readers.tiff_directories._MAX_BYTES", bound)
    monkeypatch.setattr("tiler.readers.tiff_directories._MAX_INDEX", bound)
    taken, real = Counter(), TileFile.read

    def counted(file: TileFile, place: int, count: int) -> bytes:
        taken["read"] += count
        return real(file, place, count)

    monkeypatch.setattr(TileFile, "read", counted)
    if pages > 1:
        with pytest.raises(ValueError, match="they have more than 1,048,576 bytes"):
            read(path)
    else:
        assert len(read(path).pages[0]) == 2  # of two alike only one is read
    assert taken["read"] <= bound
    assert sum(digested(path)) <= bound + nbytes


def test_python_numbers_of_many_pages_are_held_within_bounds(tmp_path, monkeypatch):
    path, bound = tmp_path / "a.tif", 1 << 20
    overlapping(path, 1000, 4, 2 * 1024, codes=(256, 257, 258, 259), kind=3, size=2)
    with path.open("r+b") as file:
        file.seek(1 << 16)
        file.write(b"\x12\x34" * 1024)  # numbers that Python does not share
    monkeypatch.setattr("tiler.readers.tiff_directories._MAX_BYTES", bound)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="they have more than"):
            read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * bound


@pytest.mark.slow
def test_pages_without_end_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    overlapping(path, MAX_PAGES, 0, 0)
    assert len(read(path).pages) == MAX_PAGES
    overlapping(path, MAX_PAGES + 1, 0, 0)
    with pytest.raises(ValueError, match="there are more than 65,535"):
        read(path)
    assert len(digested(path)) == MAX_PAGES


def test_faults_of_later_pages_do_not_affect_the_first(small):
    data = bytearray(small.read_bytes())
    (place,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, place)
    struct.pack_into("<I", data, place + 2 + 12 * entries, 2**32 - 1)
    sound = read(small).pages[0]
    small.write_bytes(data)
    with pytest.raises(ValueError, match="2 bytes from 4,294,967,295"):
        read(small)
    with closing(TileFile(small)) as file:
        first = read_first(file, WANTED)
    assert {code: plain(value) for code, value in first.items()} == {
        code: plain(value) for code, value in sound.items()
    }


def test_a_position_before_the_file_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    pixels = np.zeros((16, 16, 3), np.uint8)
    with tifffile.TiffWriter(path) as tiff:
        for subifds in (1, 0):
            tiff.write(pixels, tile=(16, 16), photometric="rgb", subifds=subifds, metadata=None)
    change(path, 330, kind=9, place=2**32 - 8)  # SLONG -8
    with pytest.raises(ValueError, match="2 bytes from -8"):
        read(path)


@settings(max_examples=5 * settings().max_examples // 2)
@given(
    code=st.sampled_from([256, 258, 259, 262, 277, 282, 296, 305, 317, 322, 324, 325]),
    kind=st.integers(0, 19),
    count=st.sampled_from([0, 1, 2, 3, 91, 1025]),
)
@example(code=322, kind=4, count=2)
@example(code=277, kind=5, count=1)
@example(code=256, kind=2, count=9)
@example(code=317, kind=13, count=1)
def test_slides_with_any_tag_value_equal_openslides_or_are_refused(
    code, kind, count, tmp_path_factory
):
    path = tmp_path_factory.getbasetemp() / "claim.tif"
    y, x = np.mgrid[:100, :200].astype(np.uint8)
    tifffile.imwrite(
        path, np.stack([x, y, x ^ y], -1), tile=(16, 16), photometric="rgb", compression="lzw",
        predictor=True, metadata=None, resolution=(20000, 20000), resolutionunit=3,
    )  # fmt: skip
    change(path, code, kind=kind, count=count)
    with suppress(TilerError), open_slide(path) as slide, OpenSlideReader(path) as peer:
        region = ((0, 0), (100, 100), Level(0))
        assert (slide.read_region(*region) == peer.read_region(*region)).all()
