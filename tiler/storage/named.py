"""Reading of files that the user names.

Links are followed. FIFOs and devices are refused: to open a FIFO may block, and a device may have
no end.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

_MODE = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))

_SPECIAL = "not a regular file"


class UnusableFileError(OSError):
    """A file that is not regular, or is too large; ``strerror`` states which."""


def system_reason(error: BaseException) -> str:
    """Return the system's reason of an error; empty if the error has another origin.

    Errors of decoders are of type OSError, too, without a number.
    """
    if not isinstance(error, OSError) or error.errno is None:
        return ""
    return error.strerror or str(error)


def unusable_path(error: BaseException) -> str:
    """Return a line for an error of the system about a path; empty for another error."""
    if not (isinstance(error, OSError) and error.filename is not None):
        return ""
    return f"{error.filename}: {error.strerror}; check the path and its permissions"


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; False if it cannot be examined, where a Path raises."""
    return os.path.isdir(path)  # noqa: PTH112  a Path raises if a name is too long


def is_file(path: Path) -> bool:
    """Return whether a path is a regular file; False if it cannot be examined."""
    return os.path.isfile(path)  # noqa: PTH113  as above


@contextmanager
def opened_by_name(path: Path, max_bytes: int | None = None) -> Iterator[BufferedReader]:
    """Open a regular file for reading.

    Parameters
    ----------
    path
        The file, or a link to it.
    max_bytes
        Larger files are refused; None allows all.

    Raises
    ------
    OSError
        If the file cannot be opened; ``UnusableFileError`` if it is not regular, or too large.
    """
    name = os.fspath(path)
    try:
        handle = os.open(path, _MODE)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise UnusableFileError(errno.ENXIO, _SPECIAL, name) from error  # a socket
    except ValueError as error:
        raise UnusableFileError(errno.EINVAL, "a name with NUL", name) from error
    try:
        facts = os.fstat(handle)
        if stat.S_ISDIR(facts.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        if not stat.S_ISREG(facts.st_mode):
            raise UnusableFileError(errno.EINVAL, _SPECIAL, name)
        if max_bytes is not None and facts.st_size > max_bytes:
            what = f"too large: {facts.st_size:,} bytes, at most {max_bytes:,}"
            raise UnusableFileError(errno.EFBIG, what, name)
    except OSError:
        os.close(handle)
        raise
    with os.fdopen(handle, "rb") as file:
        yield file
