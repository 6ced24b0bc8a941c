"""Flush written files to the disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tiler.files import sync_one
from tiler.storage.destinations import destination_error

_FEW = 4
"""Number of files that take as long one by one as a whole file system: 8 ms on ext4."""

_OTHERS = 64 << 20
"""Flush the whole file system only if at most so many bytes of others wait for the disk."""

_AT_ONCE = 32
"""Files flushed at once, which share journal commits: 2000 take 0.3 s, one by one 7 s."""


def sync_tree(folder: Path, size: int) -> None:
    """Flush everything below a folder to the disk, in the cheaper of two ways.

    ``syncfs`` (Linux) flushes the folder's whole file system in one call: 20 to 80 ms for a
    thousand files. But it waits for the data of all other processes, without interruption. If
    much of their data waits for the disk, each file and folder is flushed separately.

    Parameters
    ----------
    folder
        The folder.
    size
        Bytes of the files below it. The caller knows them: to ask for each file's size takes
        longer than ``syncfs``.

    Raises
    ------
    DestinationError
        If flushing fails.
    """
    first = [folder, *islice(_below(folder), _FEW)]
    if len(first) <= _FEW:
        for path in first:
            _sync(path)
    elif _waiting() <= size + _OTHERS:
        _sync_file_system(folder)
    else:
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            for _ in pool.map(_sync, chain([folder], _below(folder))):
                pass
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait


def _below(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield Path(entry.path)
                    yield from _below(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)
    except OSError as error:
        raise destination_error(error, folder) from error


def _sync(path: Path) -> None:
    if os.name != "nt":
        sync_one(path, os.O_RDONLY)
    elif path.is_file():  # Windows cannot open a folder, and flushes only writable files
        sync_one(path, os.O_RDWR)


def _waiting() -> float:
    """Return the bytes that wait for all disks of this machine; infinity if unknown."""
    total = float("inf")
    if sys.platform.startswith("linux"):
        with suppress(OSError, ValueError, KeyError):
            lines = Path("/proc/meminfo").read_text().splitlines()
            facts = dict(line.split(":", 1) for line in lines)
            total = sum(1024 * int(facts[name].split()[0]) for name in ("Dirty", "Writeback"))
    return total


def _sync_file_system(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            if _libc().syncfs(handle) != 0:
                import ctypes

                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
        finally:
            os.close(handle)
    except OSError as error:
        raise destination_error(error, folder) from error


@cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)
