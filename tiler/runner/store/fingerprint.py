"""A slide's file identity: it tells whether another file has taken its name."""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tiler.storage.companions import companions
from tiler.storage.named import opened_by_name

_PIECE = 1 << 16
_MAX_BESIDE = 16 << 30
"""Maximum bytes of a mask, an annotation or a network; to hash a terabyte would take hours."""
_CLOCK_NS = 3_000_000_000
"""Longer than a tick of any file system's clock, the coarsest being FAT's: two changes within one
tick leave the same times, so a file that changed just now is read each time. Windows has no time
of the last change."""


@dataclass(frozen=True)
class Fingerprint:
    """A slide's identity without reading all of it.

    Attributes
    ----------
    size
        Bytes of the file that names it.
    mtime_ns
        The modification time of the same file.
    content
        SHA-256 of that file's head, its tail and, of a TIFF, its index of tiles; and of names,
        sizes and times of the slide's other files, and whether they may be read.
    """

    size: int
    mtime_ns: int
    content: str


_State = tuple[int, ...]

_known: dict[tuple[tuple[Path, ...], tuple[_State, ...]], Fingerprint] = {}
"""Fingerprints by a slide's files and their states."""

_hashes: dict[Path, tuple[_State, str]] = {}
"""SHA-256 of files beside slides, with the state that each had."""


@dataclass(frozen=True)
class FileState:
    """Size, time and inode of each of a slide's files; a write or a replacement changes them."""

    files: tuple[tuple[int, int, int], ...]


def file_state(path: Path) -> FileState:
    """Return the present state of a slide's files."""
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
    """Return a slide's fingerprint, and the state of the file that was read for it."""
    from tiler.readers.tiff.file import TileFile
    from tiler.readers.tiff_directories import index_pieces, is_tiff

    digest = hashlib.sha256()
    for other in others:
        facts, readable = other.stat(), os.access(other, os.R_OK)
        state = struct.pack("<xQq?", facts.st_size, facts.st_mtime_ns, readable)
        digest.update(os.fsencode(other.name) + state)
    with closing(TileFile(path)) as file:
        facts = file.stat()
        digest.update(file.read(0, _PIECE))
        digest.update(file.read(max(0, facts.st_size - _PIECE), _PIECE))
        for piece in index_pieces(file) if is_tiff(file) else ():
            digest.update(piece)
    found = Fingerprint(facts.st_size, facts.st_mtime_ns, digest.hexdigest())
    return found, _state(facts)


def settled_hash(path: Path) -> str:
    """SHA-256 of a whole file, which is not read again while nothing about it changed.

    All slides of a run may share a file, such as a network of some hundred megabytes.

    Raises
    ------
    OSError
        If the file cannot be read, is no regular file, or has more than 16 GiB.
    """
    state = _state(path.stat())
    if _hashes.get(path, ((), ""))[0] == state:
        return _hashes[path][1]
    found = full_hash(path, _MAX_BESIDE)
    if os.name != "nt" and time.time_ns() - state[-1] > _CLOCK_NS and _state(path.stat()) == state:
        _hashes[path] = state, found
    return found


def full_hash(path: Path, max_bytes: int | None = None) -> str:
    """SHA-256 of a whole regular file, in hex."""
    with opened_by_name(path, max_bytes) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
