"""A slide's fingerprint is read once while its file stays the same, and again after a change."""

from __future__ import annotations

import os
import struct
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler.readers.tiff.file import TileFile
from tiler.readers.tiff_directories import index_pieces
from tiler.runner.store import fingerprint as module
from tiler.runner.store.fingerprint import fingerprint


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the size of the file at each reading."""
    sizes: list[int] = []
    state = TileFile.stat

    def noted(file: TileFile) -> os.stat_result:
        facts = state(file)
        sizes.append(facts.st_size)
        return facts

    monkeypatch.setattr(TileFile, "stat", noted)
    return sizes


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    path = tmp_path / "slide.svs"
    path.write_bytes(bytes(range(250)))
    return path


def test_a_recently_changed_file_is_read_each_time(slide: Path, readings: list[int]) -> None:
    assert fingerprint(slide) == fingerprint(slide)
    assert readings == [250, 250]


def test_a_change_during_reading_is_not_remembered(
    slide: Path, readings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLOCK_NS", -(10**18))
    looked_at, before = slide.stat(), module._state
    other = slide.with_name("other")
    other.write_bytes(b"another slide")

    def swapped(facts: os.stat_result) -> tuple[int, ...]:
        if not readings and slide.stat().st_ino == looked_at.st_ino:
            slide.rename(slide.with_name("first"))
            other.rename(slide)
        return before(facts)

    monkeypatch.setattr(module, "_state", swapped)
    assert fingerprint(slide).size == 13
    slide.rename(other)
    slide.with_name("first").rename(slide)
    assert fingerprint(slide).size == 250


@pytest.mark.skipif(sys.platform == "win32", reason="no time of the last change")
@pytest.mark.parametrize("change", ["in place", "replaced", "shut"])
def test_a_change_that_leaves_size_and_time_is_noticed(
    slide: Path, readings: list[int], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(module, "_CLOCK_NS", -(10**18))  # all files changed long ago
    first, facts = fingerprint(slide), slide.stat()
    assert fingerprint(slide) == first
    assert readings == [250]
    while slide.stat().st_ctime_ns == facts.st_ctime_ns:  # until the clock of the disk ticks
        if change == "in place":
            slide.write_bytes(bytes(range(1, 251)))
        elif change == "replaced":
            other = slide.with_name("other")
            other.write_bytes(bytes(range(1, 251)))
            other.replace(slide)
        else:
            slide.chmod(0o400)
        os.utime(slide, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    again = fingerprint(slide)
    assert readings == [250, 250]
    assert (again.size, again.mtime_ns) == (first.size, first.mtime_ns)
    assert (again == first) == (change == "shut")


ENTRIES = st.tuples(st.sampled_from([256, 324, 325, 273]), st.integers(1, 40))


@given(
    order=st.sampled_from("<>"),
    pages=st.lists(st.lists(ENTRIES, max_size=4), min_size=1, max_size=4),
    cut=st.integers(0, 200),
)
def test_every_directory_and_list_of_a_tiff_counts(order, pages, cut):
    """The fingerprint of a TIFF changes with each byte of its directories and lists of tiles."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "slide.svs"
        content, spots = a_tiff(order, pages)
        path.write_bytes(content)
        before = list(pieces_of(path))
        for spot in spots:
            changed = bytearray(content)
            changed[spot] ^= 1
            path.write_bytes(changed)
            assert list(pieces_of(path)) != before
        path.write_bytes(content[: max(4, len(content) - cut)])
        list(pieces_of(path))  # damage ends it, without an error


def pieces_of(path):
    with closing(TileFile(path)) as file:
        yield from index_pieces(file)


def a_tiff(order, pages):
    """A classic TIFF of lists of LONGs, and the last byte of each list longer than one number."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    content, spots, link = bytearray(magic + bytes(4)), [], 4
    for entries in pages:
        fields = []
        for tag, count in entries:
            fields.append((tag, 4, count, len(content)))
            content += bytes(range(1, 5)) * count
            if tag != 256 and count > 1:
                spots.append(len(content) - 1)
        struct.pack_into(f"{order}I", content, link, len(content))
        content += struct.pack(f"{order}H", len(fields))
        for field in fields:
            content += struct.pack(f"{order}HHII", *field)
        link = len(content)
        content += bytes(4)
    return bytes(content), spots


def test_a_settled_file_beside_slides_is_hashed_once_and_a_changed_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = tmp_path / "net.onnx", []
    monkeypatch.setattr(module, "full_hash", lambda p, most: read.append(p) or p.read_text())
    path.write_text("first")
    assert [module.settled_hash(path) for _ in range(2)] == ["first"] * 2
    assert len(read) == 2, "a file that changed just now is read each time"
    monkeypatch.setattr(module, "_CLOCK_NS", -1)
    assert [module.settled_hash(path) for _ in range(3)] == ["first"] * 3
    assert len(read) == 3
    path.write_text("other")
    assert module.settled_hash(path) == "other"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        module.settled_hash(path)
