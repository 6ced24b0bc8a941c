"""The other files of slides that are several."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

_STUDY_TAG, _SERIES_TAG = b"\x20\x00\x0d\x00", b"\x20\x00\x0e\x00"
"""StudyInstanceUID (0020,000D) and what follows it, SeriesInstanceUID: DICOM PS3.6."""

_HEAD_BYTES = 1 << 16
_REMEMBERED = 1 << 16

_HAMAMATSU = (".jpg", ".opt", ".ngr")


def companions(path: Path) -> list[Path]:
    """The files that a slide has beside the one that names it, in a stable order.

    MIRAX keeps its pixels in a folder of its name, Hamamatsu's VMS and VMU in images whose names
    begin with it, DICOM in a file for each level. All other formats are one file. Hidden files are
    the file manager's.
    """
    folder, stem = path.parent, path.stem.lower()
    match path.suffix.lower():
        case ".mrxs":
            folder = path.with_suffix("")
            found = _files(folder, lambda name: True)
        case ".vms" | ".vmu":
            found = _files(folder, lambda name: name.startswith(stem) and name.endswith(_HAMAMATSU))
        case ".dcm":
            series = _series(path)
            files = _files(folder, lambda name: name.endswith(".dcm"))
            found = (file for file in files if _series(file) == series)
        case _:
            return []
    return sorted(other for file in found if (other := folder / file.name) != path)


def _files(folder: Path, fits: Callable[[str], bool]) -> Iterator[os.DirEntry[str]]:
    """The regular files in a folder whose names, in lower case, fit."""
    try:
        with os.scandir(folder) as listing:
            entries = list(listing)
    except OSError:  # no such folder: what opens the slide says so
        return
    for entry in entries:
        if entry.name.startswith(".") or not fits(entry.name.lower()):
            continue
        with suppress(OSError):  # a link that leads in a circle
            if entry.is_file():  # to open a pipe would wait for ever
                yield entry


def _series(file: Path | os.DirEntry[str]) -> bytes:
    """A DICOM file's series; of one that cannot be read, none."""
    try:
        facts = file.stat()
        return _series_of(os.fspath(file), facts.st_size, facts.st_mtime_ns, facts.st_ino)
    except OSError:
        return b""


@lru_cache(_REMEMBERED)  # each slide in a folder asks for the series of all files there
def _series_of(path: str, *state: int) -> bytes:
    """What a file in some state says, by its first bytes: OpenSlide would take milliseconds."""
    with Path(path).open("rb") as file:
        head = file.read(_HEAD_BYTES)
    at = head.find(_STUDY_TAG)
    while at >= 0:
        after = at + 8 + len(_uid(head, at))
        if head.startswith(_SERIES_TAG, after):  # others are of slides that this one refers to
            return _uid(head, after)
        at = head.find(_STUDY_TAG, at + 1)
    return b""


def _uid(head: bytes, at: int) -> bytes:
    """The value of a tag, with or without its value representation (PS3.5, 7.1)."""
    length_at = at + 6 if head.startswith(b"UI", at + 4) else at + 4
    length = int.from_bytes(head[length_at : length_at + 2], "little")
    return head[at + 8 : at + 8 + length]
