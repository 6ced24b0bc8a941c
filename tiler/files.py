"""Writing files whole: never half a file under its final name, and never a silent short write."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from tiler.errors import ConfigError, DestinationError, Fix

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)

NEW_MODE = 0o666
"""Permissions of a new file, of which the umask or the folder's default ACL takes away its own."""


def write_whole(path: Path, data: bytes | memoryview) -> tuple[int, str]:
    """Write a file under a temporary name beside it and rename it into place.

    Parameters
    ----------
    path
        The final name; its folder exists.
    data
        All of its content.

    Returns
    -------
    tuple
        Its size in bytes, and its SHA-256 in hex.

    Raises
    ------
    DestinationError
        When the destination cannot be written.
    """
    return write_chunks(path, (data,))


def write_chunks(
    path: Path, chunks: Iterable[bytes | memoryview], *, durable: bool = False
) -> tuple[int, str]:
    """Write a file as ``write_whole`` does, of content that comes piece by piece.

    Parameters
    ----------
    path, chunks
        As there; all of its content in order.
    durable
        Whether the file and its folder are flushed to the disk before returning.

    Returns
    -------
    tuple
        Its size in bytes, and its SHA-256 in hex.
    """
    partial = path.with_name(f".{os.getpid()}.{digest(os.fsencode(path.name))[:12]}.partial")
    size_and_digest = _write(partial, chunks, durable)
    try:
        partial.replace(path)
    except OSError as error:
        raise destination_error(error, path) from error
    if durable:
        sync_folder(path.parent)
    return size_and_digest


def write_plain(folder: Path, name: str, data: bytes | memoryview) -> tuple[int, str]:
    """Write a file under its name: for folders that nobody looks into before they are whole.

    Parameters
    ----------
    folder
        Where; it exists.
    name
        One plain name.
    data
        All of its content.

    Returns
    -------
    tuple
        Its size in bytes, and its SHA-256 in hex.

    Raises
    ------
    ConfigError
        When ``name`` could lead out of ``folder``.
    DestinationError
        When the destination cannot be written; no part of the file stays.
    """
    return _write(f"{folder}/{_plain(folder, name)}", (data,))  # a Path takes as long as the digest


def _write(
    path: Path | str, chunks: Iterable[bytes | memoryview], durable: bool = False
) -> tuple[int, str]:
    size, total = 0, hashlib.sha256()
    try:
        handle = os.open(
            path, _NEW_FILE, NEW_MODE
        )  # half the time of open(): a million tiles' worth
        try:
            for chunk in chunks:
                size += len(chunk)
                total.update(chunk)
                rest = memoryview(chunk)
                while rest:
                    rest = rest[os.write(handle, rest) :]
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
    except BaseException as error:
        with suppress(OSError):  # where nothing can be written, nothing may be there to remove
            Path(path).unlink()
        if isinstance(error, OSError):
            raise destination_error(error, Path(path)) from error
        raise
    return size, total.hexdigest()


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file in one write, which is on the disk before the next thing happens.

    Raises
    ------
    DestinationError
        When the destination cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, NEW_MODE)
        try:
            if os.write(handle, line + b"\n") <= len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise destination_error(error, path) from error


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can."""
    if os.name != "nt":  # Windows cannot open a folder
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, mode: int) -> None:
    try:
        handle = os.open(path, mode)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise destination_error(error, path) from error


def sync_tree(folder: Path) -> None:
    """Flush everything below a folder to the disk: in one call where the system has one.

    ``syncfs`` (Linux) flushes the folder's file system; a sync per file would cost more than
    writing them.
    """
    if not sys.platform.startswith("linux"):
        for path in folder.rglob("*"):
            if path.is_file():
                _sync(path, os.O_RDWR)
        return
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


def make_folder(folder: Path) -> Path:
    """Create a folder and its parents.

    Raises
    ------
    DestinationError
        When it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise destination_error(error, folder) from error
    except ValueError as error:  # a name with NUL in it
        raise destination_error(OSError(errno.EINVAL, str(error)), folder) from error
    return folder


def expanded(path: str) -> str:
    """A path whose ``~`` stands for a home folder; that of a user who does not exist stays."""
    return os.path.expanduser(path)  # noqa: PTH111  a Path would take ./~ for a home folder


def inside(folder: Path, name: str) -> Path:
    """The path of ``name`` in ``folder``.

    Raises
    ------
    ConfigError
        When it is not one plain name, and so could lead out of ``folder``.
    """
    return folder / _plain(folder, name)


def _plain(folder: Path, name: str) -> str:
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ConfigError(f"{name!r} is not a plain name for an output in {folder}")
    return name


def digest(data: bytes | memoryview) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def destination_error(error: OSError, path: Path) -> DestinationError:
    """Say that ``path`` cannot be written, why, and what room is left."""
    name = errno.errorcode.get(error.errno or 0, "OSError")
    return DestinationError(
        f"E_DEST: {error.strerror or error} ({name}) writing {path}{_room(path)}",
        fix=Fix(
            "the run stops here: mend the destination and run again to resume",
            "choose a folder that can be written",
        ),
    )


def _room(path: Path) -> str:
    """Free bytes and inodes of the file system that holds ``path``, as far as it says."""
    if not hasattr(os, "statvfs"):
        return ""
    for folder in path.parents:
        if folder.is_dir():
            room = os.statvfs(folder)
            return f"; free bytes {room.f_bavail * room.f_frsize}, free inodes {room.f_favail}"
    return ""
