"""Lists of the finished tiles of an unfinished slide, from which another run continues.

Each worker appends to a list of its own, a line every fifth of a second. A line contains a key of
everything that the tiles depend on, the boot of the machine in which they were written, and the
name, size and SHA-256 of each tile. Nothing is flushed to the disk. So tiles of another boot, which
a crash may have damaged, are read and their SHA-256 is compared.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from json import JSONEncoder
from pathlib import Path
from secrets import token_hex

from tiler.errors import DestinationError
from tiler.files import append_line, digest
from tiler.storage.stored import MAX_TABLE, StoredError, parse_json, read_regular
from tiler.written import WrittenFile, WrittenFiles, joined

_EVERY_S = 0.2
_TOKEN = token_hex(4)  # workers on several hosts may have one pid
_encoded = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Journal:
    """List the finished tiles of an exporter, for a run that follows an interruption.

    A list that cannot be written only costs time: the next run writes its tiles again.

    Parameters
    ----------
    folder
        The folder of the lists of all workers.
    key, blank
        See ``Finished`` and ``Written``.
    """

    def __init__(self, folder: Path, key: str, blank: str) -> None:
        self._folder, self._key, self._blank = folder, key, blank
        self._waiting: list[WrittenFile] = []
        self._due = time.monotonic() + _EVERY_S

    def add(self, file: WrittenFile) -> None:
        """List a file, at the latest in a fifth of a second or with ``flush``."""
        self._waiting.append(file)
        if time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Write the waiting lines."""
        if not self._waiting:
            return
        line = _line(self._key, self._blank, self._waiting)
        self._waiting.clear()
        with suppress(OSError, DestinationError):
            self._folder.mkdir(exist_ok=True)
            path = self._folder / f"{os.getpid()}.{_TOKEN}.jsonl"
            append_line(path, line, durable=False)
        self._due = time.monotonic() + _EVERY_S


def _line(key: str, blank: str, files: Sequence[WrittenFile]) -> bytes:
    """Return a line; it begins with a line end, because a full disk may have cut the one before."""
    body = _encoded([key, this_boot(), blank, files]).encode(errors="surrogateescape")
    return b"\n%s %s" % (digest(body).encode(), body)


@cache
def this_boot() -> str:
    """Return the identity of this boot of this machine; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def listed_files(folder: Path, key: str) -> Iterator[tuple[str, str, WrittenFiles]]:
    """Yield the entries of a work folder's lists with a key: boot, blank digest, files."""
    found: dict[tuple[str, str], list[WrittenFiles]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        with suppress(FileNotFoundError, StoredError):
            for line in read_regular(path, MAX_TABLE).splitlines():
                if entry := _entry(line, key):
                    found.setdefault(entry[:2], []).append(entry[2])
    for (boot, blank), files in found.items():
        yield boot, blank, joined(files)


def _entry(line: bytes, key: str) -> tuple[str, str, WrittenFiles] | None:
    """Return the content of a line, if it is whole and has the key."""
    checksum, _, body = line.partition(b" ")
    if checksum != digest(body).encode():  # cut off by the crash
        return None
    try:
        known, boot, blank, files = parse_json(body)
        if known != key:
            return None
        return str(boot), str(blank), WrittenFiles.of(WrittenFile(*file) for file in files)
    except (TypeError, ValueError, OverflowError):  # of another version
        return None
