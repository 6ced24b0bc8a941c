"""The files of one slide are found, independent of their names and of other files beside them."""

from __future__ import annotations

import os
import struct
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiler.protocols import SlideEntry
from tiler.runner.identity import assign_ids
from tiler.runner.store.fingerprint import file_state, fingerprint
from tiler.slides import find_slides
from tiler.storage.companions import companions, one_per_series

STUDY, SERIES, REFERENCED = (0x20, 0xD), (0x20, 0xE), (0x8, 0x1115)


def element(tag: tuple[int, int], value: bytes, *, implicit: bool) -> bytes:
    """Return a data element; its UID is padded to an even length, as in DICOM."""
    value += b"\0" * (len(value) % 2)
    head = struct.pack("<HH", *tag)
    if tag == REFERENCED:
        long = struct.pack("<I", len(value))
        return head + (long if implicit else b"SQ\0\0" + long) + value
    short = struct.pack("<I" if implicit else "<H", len(value))
    return head + (short if implicit else b"UI" + short) + value


WHOLE_SLIDE, CT = "1.2.840.10008.5.1.4.1.1.77.1.6", "1.2.840.10008.5.1.4.1.1.2"


def dicom(
    series: str,
    *,
    implicit: bool = False,
    refers_to: str = "",
    study: str = "1.2",
    media: str = WHOLE_SLIDE,
) -> bytes:
    """Return the beginning of a DICOM file, which may name another series before its own."""
    meta = element((2, 2), media.encode(), implicit=False) if media else b""
    referred = element(SERIES, refers_to.encode(), implicit=implicit)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(referred)) + referred
    parts = [element(REFERENCED, item, implicit=implicit)] if refers_to else []
    parts += [element(STUDY, study.encode(), implicit=implicit)]
    parts += [element(SERIES, series.encode(), implicit=implicit)]
    return bytes(128) + b"DICM" + meta + b"".join(parts)


UIDS = st.sampled_from(["1.2.3", "1.2.34", "1.2.3.4", "2.5"])
NAMES = st.text("ab[]*?!{}% é", min_size=1, max_size=6)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.tuples(NAMES, st.sampled_from([".dcm", ".DCM", ".Dcm", "", ".1", ".2 copy", ".IMA"])),
        st.tuples(UIDS, st.sampled_from(["", "1.2.3", "9"]), st.sampled_from(["", "1.2", "7.77"])),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
)
def test_the_files_of_a_series_belong_together_and_no_others(tmp_path_factory, contents, implicit):
    folder, series = tmp_path_factory.mktemp("series"), {}
    for (stem, suffix), (uid, refers_to, study) in contents.items():
        path = folder / f"{stem}{suffix}"
        path.write_bytes(dicom(uid, implicit=implicit, refers_to=refers_to, study=study))
        series[path] = uid
    series = {path: uid for path, uid in series.items() if path in set(folder.iterdir())}
    for path, uid in series.items():
        alike = sorted(other for other in series if series[other] == uid and other != path)
        assert companions(path) == alike


def test_one_slide_of_a_series_is_found_with_any_file_names(tmp_path):
    for folder, names in {
        "uid": ["1.2.826.0.1.3680043.1", "1.2.826.0.1.3680043.10"],
        "bare": ["IM0", "IM1", "IM2 copy"],
        "typed": ["a.dcm", "b.DCM", "a copy.dcm", "c.dicom", "D.IMA"],
    }.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_bytes(dicom("1.2.3"))
        (tmp_path / folder / "CT1").write_bytes(dicom("1.2.3", media=CT))
        (tmp_path / folder / "DICOMDIR").write_bytes(dicom("", media="1.2.840.10008.1.3.10"))
        (tmp_path / folder / "other.1").write_bytes(dicom("1.2.3")[1:])
        (tmp_path / folder / "short").write_bytes(b"DICM")
        (tmp_path / folder / "notes.txt").write_bytes(b"text")
        for pattern in (str(tmp_path / folder), *(str(tmp_path / folder / n) for n in names)):
            (entry,) = one_per_series(find_slides(pattern))
            parts = [entry.path, *companions(entry.path)]
            assert sorted(path.name for path in parts) == sorted(names)
        found = [tmp_path / folder / name for name in names]
        assert one_per_series([SlideEntry(path) for path in found]) == [SlideEntry(found[0])]


def test_files_of_two_series_in_a_folder_are_two_slides(tmp_path):
    for number in range(6):
        (tmp_path / f"1.2.3.{number}").write_bytes(dicom(f"9.{number % 2}"))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/IM0").write_bytes(dicom("9.0"))  # OpenSlide searches one folder
    (tmp_path / "silent").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "silent too").write_bytes(bytes(128) + b"DICM")
    entries = one_per_series(find_slides(str(tmp_path)))
    names = [entry.path.name for entry in entries]
    assert names == ["1.2.3.0", "1.2.3.1", "silent", "silent too", "IM0"]
    assert assign_ids(entries) == names
    assert companions(tmp_path / "silent") == []


def test_only_the_first_bytes_of_a_file_that_is_no_dicom_are_read(tmp_path, monkeypatch):
    for name in ("a.svs", "b.tif", "c.xml", "d.jpg", "e", "f.1"):
        (tmp_path / name).write_bytes(bytes(5000))
    read, real = Counter(), Path.open

    def counted(path: Path, *arguments: object, **options: object) -> object:
        read[path.name] += 1
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", counted)
    entries = one_per_series(find_slides(str(tmp_path)))
    assert [entry.path.name for entry in entries] == ["a.svs", "b.tif"]
    assert read == {"e": 1, "f.1": 1}


@pytest.mark.parametrize("name", ["a.dcm", "a.DCM", "a.mrxs", "a.MRXS", "a.vms", "a.VMU"])
def test_missing_and_irregular_files_are_not_part_of_a_slide(tmp_path, name):
    path, folder = tmp_path / name, tmp_path / "a" if "mrxs" in name.lower() else tmp_path
    folder.mkdir(exist_ok=True)
    path.write_bytes(dicom("1.2.3"))
    assert companions(path) == []
    suffix = ".jpg" if "v" in name.lower() else ".dcm"
    (folder / f"a-folder{suffix}").mkdir()
    (folder / f".a-hidden{suffix}").write_bytes(dicom("1.2.3"))
    (folder / f"a-dangling{suffix}").symlink_to("nowhere")
    (folder / f"a-circle{suffix}").symlink_to(f"a-circle{suffix}")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / f"a-pipe{suffix}")
    assert companions(path) == []
    before, state = fingerprint(path), file_state(path)
    part = folder / os.fsdecode(b"a-part\xff[*]" if sys.platform == "linux" else b"a-part[!]")
    part = part.with_name(part.name + suffix.upper())
    part.write_bytes(dicom("1.2.3"))
    assert companions(path) == [part]
    assert fingerprint(path) != before
    assert file_state(path) != state


@pytest.mark.parametrize("name", ["a.mrxs", "a.vms", "a.dcm", "gone/a.dcm"])
def test_a_missing_slide_has_no_other_files(tmp_path, name):
    assert companions(tmp_path / name) == []
    with pytest.raises(FileNotFoundError):
        fingerprint(tmp_path / name)


def test_each_dicom_file_is_read_once_until_it_changes(tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.dcm" for number in range(30)]
    for number, path in enumerate(paths):
        path.write_bytes(dicom(f"1.2.{number // 3}"))
    opened, real = Counter(), Path.open

    def counted(path: Path, *arguments: object, **options: object) -> object:
        opened[path] += 1
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", counted)
    assert [len(companions(path)) for path in paths] == [2] * 30
    assert opened == dict.fromkeys(paths, 1)
    paths[4].write_bytes(dicom("1.2.0"))
    os.utime(paths[4], ns=(0, 0))
    assert companions(paths[0]) == [paths[1], paths[2], paths[4]]
