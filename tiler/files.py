"""Writing files whole: never half a file under its final name, and never a silent short write."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tiler.storage.destinations import check_writable, destination_error, plain_name

_SAFE = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
"""Follows no link and waits for no reader of a FIFO."""
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _SAFE

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
        If the destination cannot be written.
    """
    return write_chunks(path, (data,))


def write_chunks(
    path: Path, chunks: Iterable[bytes | memoryview], *, durable: bool = False
) -> tuple[int, str]:
    """Write a file as ``write_whole`` does, of content that comes piece by piece.

    Parameters
    ----------
    path, chunks
        The file, and all of its content in order.
    durable
        Whether the file and its folder are flushed to the disk before returning.

    Returns
    -------
    tuple
        Its size in bytes, and its SHA-256 in hex.
    """
    partial = partial_file(path)
    size_and_digest = _write(partial, chunks, durable)
    put_in_place(partial, path)
    if durable:
        sync_folder(path.parent)
    return size_and_digest


def partial_file(path: Path) -> Path:
    """Return the temporary name of a file that is to be written; remove what is there.

    Raises
    ------
    DestinationError
        If the destination cannot be written.
    """
    check_writable(path)
    partial = path.with_name(f".{os.getpid()}.{_name_digest(path.name)}.partial")
    with suppress(OSError):  # of a process that had the same number, or planted: not to be followed
        partial.unlink()
    return partial


def remove_partials(folder: Path, names: Iterable[str]) -> None:
    """Remove the temporary files of some names that killed processes left in a folder.

    No process may write these names meanwhile.
    """
    known = {_name_digest(name) for name in names}
    with suppress(OSError):  # then they stay, for the next time
        for path in sorted(folder.glob(".*.partial")):
            found = _PARTIAL.fullmatch(path.name)
            if found and found[1] in known and path.is_file() and not path.is_symlink():
                path.unlink()


def _name_digest(name: str) -> str:
    return digest(os.fsencode(name))[:12]


_PARTIAL = re.compile(r"\.\d+\.([0-9a-f]{12})\.partial")


def put_in_place(partial: Path, path: Path) -> None:
    """Rename a temporary file that is complete to its final name."""
    try:
        partial.replace(path)
    except OSError as error:
        raise destination_error(error, path) from error


def write_plain(folder: str, name: str, data: bytes | memoryview) -> tuple[int, str]:
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
        If ``name`` could lead out of ``folder``.
    DestinationError
        If the destination cannot be written; no part of the file stays.
    """
    # A Path takes as long as the digest.
    return _write(f"{folder}/{plain_name(folder, name)}", (data,))


def _write(
    path: Path | str, chunks: Iterable[bytes | memoryview], durable: bool = False
) -> tuple[int, str]:
    size, total = 0, hashlib.sha256()
    try:
        # Half the time of open(): a million tiles' worth.
        handle = os.open(path, _NEW_FILE, NEW_MODE)
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


def append_line(path: Path, line: bytes, *, durable: bool = True) -> None:
    """Append a line to a file in one write.

    Parameters
    ----------
    path, line
        The file, which is created if it is missing, and the line without its end.
    durable
        Whether the line is flushed to the disk before this returns.

    Raises
    ------
    DestinationError
        If the destination cannot be written.
    """
    check_writable(path)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _SAFE, NEW_MODE)
        try:
            if os.write(handle, line + b"\n") <= len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise destination_error(error, path) from error


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can."""
    if os.name != "nt":  # Windows cannot open a folder
        sync_one(folder, os.O_RDONLY)


def sync_one(path: Path, mode: int) -> None:
    """Flush a file or a folder to the disk, opened in some mode.

    Raises
    ------
    DestinationError
        If the file or folder cannot be flushed.
    """
    try:
        handle = os.open(path, mode)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise destination_error(error, path) from error


def digest(data: bytes | memoryview) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()
