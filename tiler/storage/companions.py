"""The files of one slide: MIRAX, Hamamatsu and DICOM slides have more than one."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from tiler.protocols import SlideEntry

log = logging.getLogger("tiler")

_STUDY_TAG, _SERIES_TAG = b"\x20\x00\x0d\x00", b"\x20\x00\x0e\x00"
"""StudyInstanceUID (0020,000D), and SeriesInstanceUID, which follows it: DICOM PS3.6."""

_MARKER_AT, _MARKER = 128, b"DICM"
_CLASS_TAG = b"\x02\x00\x02\x00UI"
"""MediaStorageSOPClassUID (0002,0002) in its only encoding: PS3.10, 7.1."""

_WHOLE_SLIDE = b"1.2.840.10008.5.1.4.1.1.77.1.6"
"""The class of whole-slide images: PS3.4, B.5."""

_META_BYTES = 1 << 10
_HEAD_BYTES = 1 << 16
_REMEMBERED = 1 << 16

_HAMAMATSU = (".jpg", ".opt", ".ngr")
_DICOM_TYPES = {".dcm", ".dicom", ".dic", ".ima"}
_FILE_TYPE = re.compile(r".+\.[a-z][a-z0-9]{0,9}", re.DOTALL | re.IGNORECASE | re.ASCII)


def has_file_type(name: str) -> bool:
    """Return whether a name ends in a file type: ``.svs`` does, ``.1`` and ``.1 copy`` do not."""
    return _FILE_TYPE.fullmatch(name) is not None


def may_be_dicom(name: str) -> bool:
    """Return whether a DICOM file may have this name: archives use UIDs without a file type."""
    return not has_file_type(name) or Path(name).suffix.lower() in _DICOM_TYPES


def is_dicom_slide(path: Path) -> bool:
    """Return whether a file begins as a DICOM whole-slide image does."""
    return _series(path) is not None


def companions(path: Path) -> list[Path]:
    """Return the files of a slide in addition to its main file, in a stable order.

    MIRAX keeps its pixels in a folder of the same name. Hamamatsu's VMS and VMU keep them in
    images whose names begin with the slide's. DICOM has a file for each level, under any name.
    All other formats are one file. Hidden files are ignored: file managers write them.
    """
    folder, stem = path.parent, path.stem.lower()
    found: Iterator[os.DirEntry[str]]
    match path.suffix.lower():
        case ".mrxs":
            folder = path.with_suffix("")
            found = _files(folder, lambda name: True)
        case ".vms" | ".vmu":
            found = _files(folder, lambda name: name.startswith(stem) and name.endswith(_HAMAMATSU))
        case _:
            series = _series(path) if may_be_dicom(path.name) else None
            if not series:
                return []
            # OpenSlide also reads every file of the folder.
            found = (file for file in _files(folder, lambda name: True) if _series(file) == series)
    return sorted(other for file in found if (other := folder / file.name) != path)


def one_per_series(entries: Sequence[SlideEntry]) -> list[SlideEntry]:
    """Keep the first file of each DICOM series: OpenSlide opens the whole slide from any of them.

    All files of a slide are in one folder.
    """
    first: dict[tuple[str, bytes], SlideEntry] = {}
    left_out: Counter[Path] = Counter()
    kept = []
    for entry in entries:
        series = _series(entry.path) if may_be_dicom(entry.path.name) else None
        if series:
            folder = os.path.realpath(entry.path.parent)
            known = first.setdefault((folder, series), entry)
            if known.path != entry.path:
                left_out[known.path] += 1
                continue
        kept.append(entry)
    for path, count in left_out.items():
        more = "1 more file" if count == 1 else f"{count} more files"
        log.info("%s and %s are one DICOM slide", path.name, more)
    return kept


def _files(folder: Path, fits: Callable[[str], bool]) -> Iterator[os.DirEntry[str]]:
    """Return the regular files in a folder whose lower-case names match."""
    try:
        with os.scandir(folder) as listing:
            entries = list(listing)
    except OSError:  # no such folder: the reader reports it
        return
    for entry in entries:
        if entry.name.startswith(".") or not fits(entry.name.lower()):
            continue
        with suppress(OSError):  # a loop of links
            if entry.is_file():
                yield entry


def _series(file: Path | os.DirEntry[str]) -> bytes | None:
    """Return the series of a DICOM slide's file, empty if unknown; None for other files."""
    try:
        facts = file.stat()
        if not stat.S_ISREG(facts.st_mode):  # opening a pipe would block
            return None
        return _series_of(os.fspath(file), facts.st_size, facts.st_mtime_ns, facts.st_ino)
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return None


@lru_cache(_REMEMBERED)  # each slide in a folder needs the series of all files there
def _series_of(path: str, *state: int) -> bytes | None:
    """Return the series from a file's first bytes: opening it in OpenSlide takes milliseconds."""
    with Path(path).open("rb") as file:
        head = file.read(_MARKER_AT + len(_MARKER))
        if not head.endswith(_MARKER) or len(head) < _MARKER_AT + len(_MARKER):
            return None
        head += file.read(_HEAD_BYTES)
    at = head.find(_CLASS_TAG, _MARKER_AT, _MARKER_AT + _META_BYTES)
    if at >= 0 and _uid(head, at).rstrip(b"\0") != _WHOLE_SLIDE:
        return None
    at = head.find(_STUDY_TAG)
    while at >= 0:
        after = at + 8 + len(_uid(head, at))
        if head.startswith(_SERIES_TAG, after):  # later ones name slides that this one refers to
            return _uid(head, after)
        at = head.find(_STUDY_TAG, at + 1)
    return b""


def _uid(head: bytes, at: int) -> bytes:
    """Return the value of a tag, with or without its value representation (PS3.5, 7.1)."""
    length_at = at + 6 if head.startswith(b"UI", at + 4) else at + 4
    length = int.from_bytes(head[length_at : length_at + 2], "little")
    return head[at + 8 : at + 8 + length]
