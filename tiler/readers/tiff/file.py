"""Bytes of a file, for many threads at once."""

from __future__ import annotations

import os
import threading
from io import FileIO
from pathlib import Path


class TileFile:
    """An open file that is read at given positions, without a current one.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    size
        Its length in bytes when it was opened.
    reopened
        How often it had to be opened again because reading failed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = FileIO(path)
        self._broken: list[FileIO] = []
        self._lock = threading.Lock()
        self.size = os.fstat(self._file.fileno()).st_size
        self.reopened = 0

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from ``offset``; fewer where the file ends before.

        Reads once more with a new handle if that fails: a network error may pass.
        """
        file = self._file
        try:
            return self._read(file, offset, count)
        except OSError:
            return self._read(self._reopen(file), offset, count)

    def stat(self) -> os.stat_result:
        """Return size, times and inode of the file that is open."""
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
