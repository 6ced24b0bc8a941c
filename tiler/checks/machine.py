"""Limits of the machine: errors that neither a slide nor a bug causes, in one line each."""

from __future__ import annotations

import errno
from collections.abc import Iterator

_NO_ROOM = ("failed to map segment", "cannot allocate memory", "insufficient memory")
"""Messages of loaders and libraries without an error number, in lower case."""

_TOO_BIG = ("array is too big", "Maximum allowed dimension exceeded")
"""Beginnings of NumPy's messages about arrays that exceed the memory of any machine."""


def machine_limit(error: BaseException) -> str | None:
    """Describe the limit of the machine that caused an error; return None for other errors.

    Parameters
    ----------
    error
        The error; its causes are searched, too.

    Returns
    -------
    str or None
        The problem and its fix in one line.
    """
    for one in _causes(error):
        number = one.errno if isinstance(one, OSError) else None
        text = str(one)
        if isinstance(one, MemoryError) or number == errno.ENOMEM or _says_no_room(one, text):
            what = f"not enough memory{_now('RLIMIT_AS', 'ulimit -v', 1024)}"
            return f"{what}; use fewer workers or smaller tiles, or allow more memory"
        if number in (errno.EMFILE, errno.ENFILE):
            return f"too many open files{_now('RLIMIT_NOFILE', 'ulimit -n')}; allow more"
        if isinstance(one, BlockingIOError) or "can't start new thread" in text:
            what = f"cannot start another process or thread{_now('RLIMIT_NPROC', 'ulimit -u')}"
            return f"{what}; use fewer workers, or allow more"
        if isinstance(one, FileNotFoundError) and "temporary directory" in text:
            return "no folder for temporary files is writable; set TMPDIR to a writable folder"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__


def _says_no_room(error: BaseException, text: str) -> bool:
    if isinstance(error, ValueError):
        return text.startswith(_TOO_BIG)
    small = text.lower()
    return any(words in small for words in _NO_ROOM)


def _now(name: str, command: str, unit: int = 1) -> str:
    """Return the value of a limit as text; empty if the limit is unknown or not set."""
    try:
        import resource
    except (ImportError, OSError):  # Windows, or no file can be opened to import the module
        return ""
    limit = resource.getrlimit(getattr(resource, name))[0]
    return "" if limit == resource.RLIM_INFINITY else f" ({command} is {limit // unit})"
