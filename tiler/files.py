"""Writing files whole: never half a file under its final name, and never a silent short write."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tiler.checks.machine import machine_limit
from tiler.errors import ConfigError, DestinationError, Fix

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
    check_writable(path)
    partial = path.with_name(f".{os.getpid()}.{digest(os.fsencode(path.name))[:12]}.partial")
    with suppress(OSError):  # of a process that had the same number, or planted: not to be followed
        partial.unlink()
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
        When the destination cannot be written.
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


def check_writable(path: Path) -> None:
    """Refuse an output path where something else than a regular file is.

    It would be replaced, or lead elsewhere: whoever named it may not know what it is. Folders that
    the user names may be links; files, and folders that tiler names (``own_folder``), may not.

    Raises
    ------
    DestinationError
        When there is a link, a folder, a FIFO, a socket or a device.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise destination_error(error, path) from error
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "not a regular file")
        raise DestinationError(f"{path} is {kind}; remove it, or name another file")


_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


def own_folder(folder: Path) -> Path:
    """A folder that tiler names itself, and so never a link to another one.

    Raises
    ------
    ConfigError
        When it is a link: writes and removals could lead anywhere.
    """
    if folder.is_symlink():
        raise ConfigError(f"{folder} is a symbolic link; tiler only writes real folders")
    return folder


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can."""
    if os.name != "nt":  # Windows cannot open a folder
        sync_one(folder, os.O_RDONLY)


def sync_one(path: Path, mode: int) -> None:
    """Flush a file or a folder to the disk, opened in some mode.

    Raises
    ------
    DestinationError
        When it cannot be.
    """
    try:
        handle = os.open(path, mode)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise destination_error(error, path) from error


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
    if error.errno in (errno.EEXIST, errno.ENOTDIR) and (file := _file_among(path)):
        what = f"{file} is not a folder ({name})"
        return DestinationError(
            f"{what if file == path else f'{what}, so {path} cannot be written'}",
            fix=Fix("set out to a folder or to a new name", "choose a folder or a new name"),
        )
    what = f"{error.strerror or error} ({name}) writing {path}{_room(path)}"
    if limit := machine_limit(error):  # the destination is not at fault
        return DestinationError(f"{what}; {limit}")
    return DestinationError(
        what,
        fix=Fix(
            "the run stops here: mend the destination and run again to resume",
            "choose a folder that can be written",
        ),
    )


def _file_among(path: Path) -> Path | None:
    """Find what is no folder among a path and its parents."""
    return next((place for place in (path, *path.parents) if _is_file(place)), None)


def _is_file(path: Path) -> bool:
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False


def is_full(error: DestinationError) -> bool:
    """Return whether a destination has no room left, by its size or by a quota."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


def _room(path: Path) -> str:
    """Free bytes and inodes of the file system that holds ``path``, as far as it says."""
    if not hasattr(os, "statvfs"):
        return ""
    for folder in path.parents:
        if folder.is_dir():
            room = os.statvfs(folder)
            return f"; free bytes {room.f_bavail * room.f_frsize}, free inodes {room.f_favail}"
    return ""
