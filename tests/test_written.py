"""Lists of files as columns keep all values, and the record that lists them is plain JSON."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from special_files import KINDS, plant

from tiler.errors import DestinationError
from tiler.files import write_chunks
from tiler.runner.store.fingerprint import Fingerprint
from tiler.runner.store.record import Counts, MaskFacts, Record
from tiler.runner.store.record_file import load_record, read_record, write_record
from tiler.runner.work.job import DroppedTile, SlideRow
from tiler.storage.stored import StoredError, sealed
from tiler.written import NO_FILES, WrittenFile, WrittenFiles, joined

# No file name has a NUL; bytes that are no UTF-8 are surrogates in it.
TEXT = st.text(st.characters(exclude_characters="\0"))
RAW = st.binary().map(lambda data: os.fsdecode(data.replace(b"\0", b"")))
FILES = st.lists(
    st.builds(
        WrittenFile,
        name=TEXT | RAW,
        size=st.integers(0, 2**63 - 1),
        sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    )
)


@given(st.lists(st.sampled_from("abcdefgh") | TEXT, max_size=12), st.integers(1, 4))
def test_a_name_that_is_listed_twice_is_found(names: list[str], at_once: int) -> None:
    files = WrittenFiles.of(WrittenFile(name, 0, "00" * 32) for name in names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tiler.written._AT_ONCE", at_once)
        found = files.named_twice()
    assert (found is not None) == (len(set(names)) < len(names))
    assert found is None or names.count(found) > 1


@given(FILES, FILES)
def test_columns_contain_the_files(one: list[WrittenFile], other: list[WrittenFile]) -> None:
    columns = WrittenFiles.of(one)
    assert list(columns) == one == [columns[index] for index in range(len(columns))]
    assert WrittenFiles.of(columns) is columns
    assert columns == one
    assert (columns == other) == (one == other)
    assert columns[1:3] == one[1:3]
    assert list(joined([one, columns, other])) == [*one, *one, *other]
    by_name = np.argsort(columns.names, kind="stable")
    assert list(columns.take(by_name)) == sorted(one, key=lambda file: file.name)
    assert list(pickle.loads(pickle.dumps(columns))) == one


def test_joining_no_lists_gives_no_files() -> None:
    assert list(joined([])) == list(NO_FILES) == []


def many(count: int) -> list[WrittenFile]:
    return [
        WrittenFile(f"tiles/slide_x{512 * i}.jpg", i, hashlib.sha256(b"%d" % i).hexdigest())
        for i in range(count)
    ]


def test_lists_of_files_pickle_to_few_bytes() -> None:
    files = many(1000)
    room = sum(len(file.name) for file in files) + 1000 * (8 + 32)
    assert len(pickle.dumps(WrittenFiles.of(files))) < 1.1 * room + 1000


@pytest.mark.parametrize(
    "file",
    [
        WrittenFile("a", 1, "00" * 31),
        WrittenFile("a", 1, "xy" * 32),
        WrittenFile("a", 1.5, "00" * 32),
        WrittenFile("a", "1", "00" * 32),
        WrittenFile("a", 2**63, "00" * 32),
        WrittenFile(None, 1, "00" * 32),
    ],
)
def test_a_path_that_is_no_file_is_refused_unchanged(file: WrittenFile, tmp_path: Path) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        WrittenFiles.of([file])
    write_record(tmp_path, record_of([]), {})
    assert read_record(tmp_path) is not None
    tampered(tmp_path, ("files",), [file._asdict()])
    tampered(tmp_path, ("exporters", "a"), 1)
    assert read_record(tmp_path) is None


def record_of(files: list[WrittenFile]) -> Record:
    counts = {"candidates": 3, "kept": 1, "below_threshold": 1, "dropped": 1}
    return Record(
        slide_id="a\udcff",
        row=SlideRow("a\udcff", "done", coverage=0.1, **counts),
        source=Fingerprint(3, 4, "ab"),
        inputs={"mask.png": "0f"},
        settings={"tile": {"size": 512}, "mask": "µ"},
        mask=MaskFacts("k", "s", 4, 3, "g"),
        counts=Counts(3, 1, 1, 1),
        dropped=[DroppedTile(1, 2, "é")],
        code={"mask": "0e"},
        exporters={"a": WrittenFiles.of(files), "none": NO_FILES},
    )


@pytest.mark.parametrize(
    "files", [[], many(1), many(999), many(1000), many(2345), [*many(2), *many(1)]]
)
def test_a_record_is_plain_json_with_the_files_by_name(
    files: list[WrittenFile], tmp_path: Path
) -> None:
    files = [*files, WrittenFile("b\udce9", 7, "0f" * 32)]
    record = record_of(files)
    write_record(tmp_path, record, {"numpy": "2"})
    data = (tmp_path / "record.json").read_bytes()
    content = json.loads(data.decode(errors="surrogateescape"))
    assert content["sha256"] == hashlib.sha256(data[: data.rindex(b', "sha256"')]).hexdigest()
    assert content["files"] == [
        {"name": file.name, "size": file.size, "sha256": file.sha256}
        for file in sorted(files, key=lambda file: file.name)
    ]
    plain = json.dumps(content, ensure_ascii=False) + "\n"
    assert data == plain.encode(errors="surrogateescape")
    by_name = WrittenFiles.of(sorted(files, key=lambda file: file.name))
    assert content["exporters"] == {"a": len(files), "none": 0}
    assert load_record(tmp_path) == replace(record, exporters={"a": by_name, "none": NO_FILES})


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 3)))
def test_a_record_names_the_exporter_of_each_file(
    tmp_path_factory: pytest.TempPathFactory, counts: dict[str, int]
) -> None:
    folder, start, exporters = tmp_path_factory.getbasetemp(), 0, {}
    files = sorted(many(sum(counts.values())), key=lambda file: file.name)
    for name, count in counts.items():
        exporters[name] = WrittenFiles.of(files[start : start + count])
        start += count
    settings = {"a": 1, "exporter": {name: {"count": count} for name, count in counts.items()}}
    record = replace(record_of([]), exporters=exporters, settings=settings)
    write_record(folder, record, {})
    found = load_record(folder)
    assert found == record
    assert list(found.exporters) == sorted(counts)
    first = (folder / "record.json").read_bytes()
    turned = {name: {"count": counts[name]} for name in reversed(counts)}
    write_record(folder, replace(record, settings={"a": 1, "exporter": turned}), {})
    assert (folder / "record.json").read_bytes() == first


def tampered(folder: Path, keys: tuple[str | int, ...], value: object) -> None:
    """Set a value in a folder's record and seal it again, as an attacker could."""
    path = folder / "record.json"
    content = node = json.loads(path.read_bytes().decode(errors="surrogateescape"))
    del content["sha256"]
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    path.write_bytes(b"".join(sealed(iter([json.dumps(content)[:-1].encode()]))))


@given(bit=st.integers(0), cut=st.booleans())
def test_a_record_with_any_bit_flipped_or_cut_off_is_not_trusted(
    tmp_path_factory: pytest.TempPathFactory, bit: int, cut: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    write_record(folder, record_of(many(3)), {"numpy": "2"})
    path = folder / "record.json"
    data = bytearray(path.read_bytes())
    at, of = divmod(bit % (8 * len(data)), 8)
    if cut:
        del data[at:]
    else:
        data[at] ^= 1 << of
    path.write_bytes(data)
    with pytest.raises(StoredError, match="checksum"):
        load_record(folder)


DEEP: list[object] = []
for _ in range(40):
    DEEP = [DEEP]
ODD = [None, True, -1, 7, 0.5, 2**70, float("nan"), float("inf"), "", "a\0", "\ud800", [], [None],
       {}, {"a": None}, DEEP]  # fmt: skip
TAKES: dict[tuple[str | int, ...], list[object]] = {
    ("slide_id",): [],
    ("row",): [],
    ("row", "slide_id"): [],
    ("row", "status"): [],
    ("row", "kept"): [],
    ("row", "dropped"): [],
    ("row", "coverage"): [None, 7, 0.5],
    ("row", "reason"): ["", "a\0"],
    ("source",): [],
    ("source", "size"): [-1, 7],
    ("source", "content"): ["", "a\0"],
    ("inputs",): [{}],
    ("inputs", "mask.png"): ["", "a\0"],
    ("settings",): [{}, {"a": None}],
    ("settings", "tile"): [None, True, -1, 7, 0.5, "", "a\0", [], [None], {}, {"a": None}],
    ("code",): [{}],
    ("code", "mask"): ["", "a\0"],
    ("exporters",): [],
    ("exporters", "a"): [],
    ("exporters", "none"): [],
    ("mask",): [],
    ("mask", "width"): [7],
    ("mask", "key"): ["", "a\0"],
    ("counts",): [],
    ("counts", "planned"): [],
    ("dropped",): [[]],
    ("dropped", 0): [],
    ("dropped", 0, "x"): [-1, 7],
    ("dropped", 0, "cause"): ["", "a\0"],
    ("files",): [],
    ("files", 0): [],
    ("files", 0, "name"): [],
    ("files", 0, "size"): [True, 7],
    ("files", 0, "sha256"): [],
    ("output_version",): [-1, 7],
}
"""What may stand at a place of a record, of the values above."""


@pytest.mark.parametrize("keys", TAKES, ids=str)
def test_a_manipulated_record_is_refused_or_has_its_types(
    tmp_path: Path, keys: tuple[str | int, ...]
) -> None:
    record, taken = record_of(many(2)), []
    for value in ODD:
        write_record(tmp_path, record, {})
        tampered(tmp_path, keys, value)
        if (found := read_record(tmp_path)) is not None:
            taken.append(value)
            write_record(tmp_path, found, {})
    assert list(map(repr, taken)) == list(map(repr, TAKES[keys]))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/etc/passwd", "../b", "a/../../b", "a//b", "a/", "a\\b", "./a"]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    assert WrittenFiles.of([*many(2), WrittenFile(name, 0, "00" * 32)]).outside() == name
    write_record(tmp_path, record_of(many(2)), {})
    tampered(tmp_path, ("files", 0, "name"), name)
    with pytest.raises(StoredError, match="not a name below"):
        load_record(tmp_path)
    assert WrittenFiles.of(many(2)).outside() is None


@pytest.mark.parametrize("kind", [*KINDS, "deep"])
def test_a_foreign_record_neither_hangs_nor_fills_the_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "record.json"
    if kind in KINDS:
        write_record(tmp_path, record_of([]), {})
        plant(path, kind)
    else:
        path.write_bytes(b"".join(sealed(iter([b'{"a": ' * 10**6]))))
    with pytest.raises(StoredError):
        load_record(tmp_path)


@given(st.lists(st.binary()))
def test_chunks_are_one_file(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "chunks"
    size, sha256 = write_chunks(path, chunks, durable=True)
    whole = b"".join(chunks)
    assert path.read_bytes() == whole
    assert (size, sha256) == (len(whole), hashlib.sha256(whole).hexdigest())


def test_short_writes_continue_and_a_full_disk_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, room = tmp_path / "a", os.write, 25
    path.write_bytes(b"before")

    def little(handle: int, data: memoryview) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(handle, bytes(data)[: min(room, 3)])
        room -= written
        return written

    monkeypatch.setattr(os, "write", little)
    write_chunks(path, [b"0123456789", b"", b"abcde"])
    assert path.read_bytes() == b"0123456789abcde"
    with pytest.raises(DestinationError, match=r"E_DEST.*ENOSPC"):
        write_chunks(path, [b"0123456789", b"abcde"])
    assert path.read_bytes() == b"0123456789abcde"
    assert list(tmp_path.iterdir()) == [path]


def test_content_that_cannot_be_produced_leaves_no_partial_file(tmp_path: Path) -> None:
    def broken() -> object:
        yield b"abc"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_chunks(tmp_path / "a", broken())
    assert not list(tmp_path.iterdir())
