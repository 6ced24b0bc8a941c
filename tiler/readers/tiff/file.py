"""Reads of a file by many threads at once."""

from __future__ import annotations

import os
import threading
from io import FileIO
from pathlib import Path


class TileFile:
    """An open file that is read at given positions; it has no current position.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    size
        Its length in bytes when it was opened.
    reopened
        The number of times that it was opened again after a failed read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = FileIO(path)
        self._broken: list[FileIO] = []
        self._lock = threading.Lock()
        self.size = os.fstat(self._file.fileno()).st_size
        self.reopened = 0

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from ``offset``; fewer if the file ends earlier.

        After an error, read once more with a new handle: network errors may be temporary.
        """
        file = self._file
        try:
            return self._read(file, offset, count)
        except OSError:
            return self._read(self._reopen(file), offset, count)

    def stat(self) -> os.stat_result:
        """Return size, times and inode of the open file."""
        return os.fstat(self._file.fileno())

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        with self._lock:
            for file in (self._file, *self._broken):
                file.close()

    def _read(self, file: FileIO, offset: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(file.fileno(), count, offset)
        with self._lock:  # Windows has no pread: position and read must stay together
            file.seek(offset)
            return file.read(count) or b""

    def _reopen(self, broken: FileIO) -> FileIO:
        with self._lock:
            if self._file is broken:
                self._file = FileIO(self._path)
                self._broken.append(broken)  # other threads may be reading from it
                self.reopened += 1
            return self._file
