"""Bytes of packed tiles, kept in the slide's work folder until the slide is finished.

A piece of work writes one file for each exporter that packs: the bytes of its tiles, then an index
with location, offset, size and SHA-256 of each, the SHA-256 of the index, its length, and a mark.
The file has a temporary name until it is whole, so that an interrupted run continues from whole
pieces. Nothing is flushed to the disk: see ``Journal``.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from tiler.regions import Regions
from tiler.runner.work.tiles.done import Written
from tiler.runner.work.tiles.journal import this_boot
from tiler.storage.destinations import destination_error

SUFFIX = ".tiles"
_MARK = b"tiler tiles 1\n"
_TAIL = 32 + 8 + len(_MARK)  # bytes after the index
TILE = np.dtype([("x", "<i8"), ("y", "<i8"), ("offset", "<i8"), ("size", "<i8"), ("sha256", "V32")])

Entries = npt.NDArray[np.void]
"""Items of an index: ``x``, ``y``, ``offset``, ``size`` int64 and ``sha256`` (32 bytes)."""

_Written = tuple[int, int, int, bytes]
"""A tile's index in the piece, its offset and size, and its SHA-256."""


class SpoolWriter:
    """Write the tiles of a piece of work for an exporter that packs them.

    Parameters
    ----------
    folder
        The folder of spool files of the slide.
    key, blank
        See ``Finished`` and ``Written``.
    regions
        The regions of the piece.
    """

    def __init__(self, folder: Path, key: str, blank: str, regions: Regions) -> None:
        self._final = folder / f"{uuid4().hex}{SUFFIX}"
        self._key, self._blank, self._regions = key, blank, regions
        self._entries: list[_Written] = []
        self._file: BinaryIO | None = None
        self._size, self._lock = 0, Lock()
        self._whole = False

    def __enter__(self) -> SpoolWriter:
        return self

    def write(self, index: int, data: bytes) -> _Written:
        """Append the bytes of a tile; several threads may call it."""
        digest = sha256(data).digest()
        try:
            with self._lock:
                if self._file is None:
                    self._final.parent.mkdir(exist_ok=True)
                    self._file = self._partial.open("xb")
                self._file.write(data)
                offset = self._size
                self._size += len(data)
        except OSError as error:
            raise destination_error(error, self._partial) from error
        return index, offset, len(data), digest

    def add(self, written: _Written) -> None:
        """Note a tile for the index."""
        self._entries.append(written)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        try:
            with self._file as file:
                if kind is None:
                    file.write(self._index())
            if kind is None:
                self._partial.replace(self._final)
                self._whole = True
        except OSError as bad:
            raise destination_error(bad, self._final) from bad
        finally:
            if not self._whole:
                with suppress(OSError):
                    self._partial.unlink()

    def done(self) -> Written:
        """Return the file, which exists if there was a tile."""
        return Written(spools=(self._final,) if self._whole else (), blank=self._blank)

    @property
    def _partial(self) -> Path:
        return self._final.with_suffix(".partial")

    def _index(self) -> bytes:
        entries = np.zeros(len(self._entries), TILE)
        if self._entries:
            rows, offsets, sizes, digests = zip(*self._entries, strict=True)
            entries["x"], entries["y"] = self._regions.locations[list(rows)].T
            entries["offset"], entries["size"] = offsets, sizes
            entries["sha256"] = np.frombuffer(b"".join(digests), "V32")
        head = json.dumps([self._key, this_boot(), self._blank]).encode()
        body = b"%s\n%s" % (head, entries.tobytes())
        return b"".join((body, sha256(body).digest(), len(body).to_bytes(8, "little"), _MARK))


@dataclass(frozen=True)
class Spool:
    """A whole spool file.

    Attributes
    ----------
    path
        The file.
    key, boot, blank
        The same as in a ``Journal``.
    entries
        Its tiles.
    """

    path: Path
    key: str
    boot: str
    blank: str
    entries: Entries

    def is_sound(self) -> bool:
        """Return whether each tile has its SHA-256."""
        try:
            with open_regular(self.path) as file:
                return all(read_tile(file, entry) is not None for entry in self.entries)
        except OSError:
            return False


def locations_of(entries: Entries) -> npt.NDArray[np.int64]:
    """Return the locations of tiles, int64 (N, 2)."""
    return np.stack([entries["x"], entries["y"]], axis=1)


def read_spool(path: Path) -> Spool | None:
    """Return a spool file's index; None if the file is not whole or is something else."""
    try:
        with open_regular(path) as file:
            length = os.fstat(file.fileno()).st_size
            file.seek(max(0, length - _TAIL))
            tail = file.read(_TAIL)
            size = int.from_bytes(tail[32:40], "little")
            data_size = length - _TAIL - size
            if tail[40:] != _MARK or data_size < 0:
                return None
            file.seek(data_size)
            body = file.read(size)
        if sha256(body).digest() != tail[:32]:
            return None
        head, _, rest = body.partition(b"\n")
        key, boot, blank = json.loads(head)
        entries = np.frombuffer(rest, TILE)
    except (OSError, ValueError, TypeError):
        return None
    offsets, sizes = entries["offset"], entries["size"]
    if not ((offsets >= 0) & (sizes >= 0) & (sizes <= data_size - offsets)).all():
        return None
    return Spool(path, str(key), str(boot), str(blank), entries)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, and nothing else.

    Raises
    ------
    OSError
        If it is missing, or something else.
    """
    flags = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    file = os.fdopen(os.open(path, os.O_RDONLY | flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise FileNotFoundError(path)
    return file


def read_tile(file: BinaryIO, entry: np.void) -> bytes | None:
    """Return the bytes of an entry; None if its SHA-256 differs."""
    file.seek(int(entry["offset"]))
    data = file.read(int(entry["size"]))
    return data if sha256(data).digest() == entry["sha256"].tobytes() else None


def spools_in(folder: Path) -> Sequence[Path]:
    """Return the spool files of a folder that are whole, by their names."""
    return sorted(folder.glob(f"*{SUFFIX}"))
