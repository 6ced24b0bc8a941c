"""Which file a slide was, so that another one under its name is noticed."""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tiler.readers.tiff_directories import MAX_PAGES
from tiler.storage.companions import companions

_PIECE = 1 << 16
_CLOCK_NS = 3_000_000_000
"""Longer than a tick of any file system's clock, the coarsest being FAT's: two changes within one
tick leave the same times, so a file that changed just now is read each time. Windows has no time
of the last change."""

_MAX_INDEX = 64 << 20
_INDEX_TAGS = {273, 279, 324, 325}  # StripOffsets, StripByteCounts, TileOffsets, TileByteCounts
_TYPE_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}


@dataclass(frozen=True)
class Fingerprint:
    """A slide's identity without reading all of it.

    Attributes
    ----------
    size
        Bytes of the file that names it.
    mtime_ns
        Of the same file.
    content
        SHA-256 of that file's head, its tail and, of a TIFF, its index of tiles; and of names,
        sizes and times of the slide's other files, and whether they may be read.
    """

    size: int
    mtime_ns: int
    content: str


_State = tuple[int, ...]

_known: dict[tuple[tuple[Path, ...], tuple[_State, ...]], Fingerprint] = {}
"""By a slide's files and their states."""


@dataclass(frozen=True)
class FileState:
    """What changes when a slide's files are replaced or written to: bytes, time, inode of each."""

    files: tuple[tuple[int, int, int], ...]


def file_state(path: Path) -> FileState:
    """The state of a slide's files now."""
    found = (file.stat() for file in (path, *companions(path)))
    return FileState(tuple((f.st_size, f.st_mtime_ns, f.st_ino) for f in found))


def fingerprint(path: Path) -> Fingerprint:
    """Fingerprint a slide by a few small reads.

    Jobs of a sweep ask again and again: a file is not read twice while nothing about it changed,
    its ctime included.
    """
    files = path, *companions(path)
    facts = [file.stat() for file in files]
    changed_ns = max(file.st_ctime_ns for file in facts)
    settled = os.name != "nt" and time.time_ns() - changed_ns > _CLOCK_NS
    key = files, tuple(map(_state, facts))
    if key in _known:
        return _known[key]
    found, state = _read(path, files[1:])
    if settled and state == key[1][0]:
        _known[key] = found
    return found


def _state(facts: os.stat_result) -> _State:
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _read(path: Path, others: Iterable[Path]) -> tuple[Fingerprint, _State]:
    """A slide's fingerprint, and the state of the file that was read for it."""
    digest = hashlib.sha256()
    for other in others:
        facts, readable = other.stat(), os.access(other, os.R_OK)
        state = struct.pack("<xQq?", facts.st_size, facts.st_mtime_ns, readable)
        digest.update(os.fsencode(other.name) + state)
    with path.open("rb") as file:
        facts = os.fstat(file.fileno())
        digest.update(file.read(_PIECE))
        file.seek(max(0, facts.st_size - _PIECE))
        digest.update(file.read(_PIECE))
        _digest_index(file, facts.st_size, digest.update)
    found = Fingerprint(facts.st_size, facts.st_mtime_ns, digest.hexdigest())
    return found, _state(facts)


def full_hash(path: Path) -> str:
    """SHA-256 of a whole file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_index(file: BinaryIO, size: int, update: Callable[[bytes], None]) -> None:
    """Feed every directory of a TIFF and its lists of tiles; of other files nothing."""
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16:
        return
    big = struct.unpack_from(f"{order}H", head, 2)[0] == 43
    count_format, offset_format, entry_bytes = ("Q", "Q", 20) if big else ("H", "I", 12)
    entry = f"{order}HH{offset_format}{offset_format}"
    (offset,) = struct.unpack_from(f"{order}{offset_format}", head, 8 if big else 4)
    seen: set[int] = set()
    read = 0
    while 0 < offset < size and offset not in seen and read < _MAX_INDEX and len(seen) < MAX_PAGES:
        seen.add(offset)
        file.seek(offset)
        raw = file.read(struct.calcsize(f"{order}{count_format}"))
        if len(raw) < struct.calcsize(f"{order}{count_format}"):
            return
        (entries,) = struct.unpack(f"{order}{count_format}", raw)
        if entries > 4096:
            return
        directory = file.read(entries * entry_bytes + struct.calcsize(offset_format))
        update(directory)
        read += len(directory)
        whole = min(entries, len(directory) // entry_bytes) * entry_bytes
        for tag, kind, count, value in struct.iter_unpack(entry, directory[:whole]):
            length = count * _TYPE_BYTES.get(kind, 0)
            if read >= _MAX_INDEX:  # lists that lie upon one another are any number of bytes
                return
            if tag in _INDEX_TAGS and 4 < length < _MAX_INDEX and value < size:
                file.seek(value)
                update(file.read(length))
                read += length
        tail = directory[entries * entry_bytes :]
        if len(tail) < struct.calcsize(offset_format):
            return
        (offset,) = struct.unpack_from(f"{order}{offset_format}", tail)
