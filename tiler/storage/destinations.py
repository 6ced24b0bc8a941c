"""Check and name the places that tiler writes to."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from tiler.checks.machine import machine_limit
from tiler.errors import ConfigError, DestinationError, Fix


def check_writable(path: Path) -> None:
    """Refuse an output path that is anything but a regular file.

    Writing would replace it, or write to another place. Folders that the user names may be links;
    files, and folders that tiler names (``own_folder``), may not.

    Raises
    ------
    DestinationError
        If the path is a link, a folder, a FIFO, a socket or a device.
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
    """Return a folder that tiler names, if it is not a link to another one.

    Raises
    ------
    ConfigError
        If the folder is a link: writes and removals would affect another place.
    DestinationError
        If it cannot be examined.
    """
    try:
        is_link = folder.is_symlink()
    except OSError as error:
        raise destination_error(error, folder) from error
    if is_link:
        raise ConfigError(f"{folder} is a symbolic link; replace it by a real folder")
    return folder


def make_folder(folder: Path) -> Path:
    """Create a folder and its parents.

    Raises
    ------
    DestinationError
        If the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise destination_error(error, folder) from error
    except ValueError as error:  # a name that contains NUL
        raise destination_error(OSError(errno.EINVAL, str(error)), folder) from error
    return folder


def expanded(path: str) -> str:
    """Return a path with its ``~`` expanded; the ``~`` of an unknown user stays."""
    return os.path.expanduser(path)  # noqa: PTH111  a Path would take ./~ for a home folder


def unknown_user(path: str) -> str:
    """Return the user that a path such as ``~user/x`` names, if there is none; else ""."""
    name = path.partition("/")[0]
    return name[1:] if name[:1] == "~" and expanded(name) == name else ""


def inside(folder: Path, name: str) -> Path:
    """Return the path of ``name`` in ``folder``.

    Raises
    ------
    ConfigError
        If ``name`` is not one plain name, which could lead out of ``folder``.
    """
    return folder / plain_name(folder, name)


def plain_name(folder: Path | str, name: str) -> str:
    """Return the name of an output if it is one plain name.

    Raises
    ------
    ConfigError
        If the name could lead out of ``folder``.
    """
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ConfigError(
            f"{name!r} is not a plain name for an output in {folder}; use a name without /"
        )
    return name


def destination_error(error: OSError, path: Path) -> DestinationError:
    """Return the error for a failed write of ``path``, with its reason and the free space."""
    name = errno.errorcode.get(error.errno or 0, "OSError")
    if error.errno in (errno.EEXIST, errno.ENOTDIR) and (file := _file_among(path)):
        what = f"{file} is not a folder ({name})"
        return DestinationError(
            f"{what if file == path else f'{what}, so {path} cannot be written'}",
            fix=Fix("set out to a folder or to a new name", "choose a folder or a new name"),
        )
    what = f"{error.strerror or error} ({name}) writing {path}{_room(path)}"
    if limit := machine_limit(error):  # the destination works
        return DestinationError(f"{what}; {limit}")
    return DestinationError(
        what,
        fix=Fix(
            "repair the destination and run again to resume",
            "choose a writable folder",
        ),
    )


def _file_among(path: Path) -> Path | None:
    """Return the first of a path and its parents that exists and is not a folder."""
    return next((place for place in (path, *path.parents) if _is_file(place)), None)


def _is_file(path: Path) -> bool:
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False


def is_full(error: DestinationError) -> bool:
    """Return whether a destination is full, by its size or by a quota."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


def _room(path: Path) -> str:
    """Return the free bytes and inodes of the file system of ``path``, if known, as text."""
    if not hasattr(os, "statvfs"):
        return ""
    for folder in path.parents:
        with suppress(OSError):  # it is missing, or may not be entered
            room = os.statvfs(folder)
            return f"; free bytes {room.f_bavail * room.f_frsize}, free inodes {room.f_favail}"
    return ""
