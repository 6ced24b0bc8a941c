"""The limits of the machine: errors that are no fault of a slide and no bug, in one line each."""

from __future__ import annotations

import errno
from collections.abc import Iterator

_NO_ROOM = ("failed to map segment", "cannot allocate memory", "insufficient memory")
"""What loaders and libraries say without an error number, in small letters."""

_TOO_BIG = ("array is too big", "Maximum allowed dimension exceeded")
"""How NumPy begins where no machine would have enough memory."""


def machine_limit(error: BaseException) -> str | None:
    """Describe the limit of the machine that an error comes from; None for every other error.

    Parameters
    ----------
    error
        Its causes count as well.

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
            what = f"no further process or thread can be started{_now('RLIMIT_NPROC', 'ulimit -u')}"
            return f"{what}; use fewer workers, or allow more"
        if isinstance(one, FileNotFoundError) and "temporary directory" in text:
            return "no folder for temporary files is writable; set TMPDIR to one that is"
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
    """Say what a limit is set to, where the system knows it and it is set."""
    try:
        import resource
    except (ImportError, OSError):  # Windows, or no file can be opened
        return ""
    limit = resource.getrlimit(getattr(resource, name))[0]
    return "" if limit == resource.RLIM_INFINITY else f" ({command} is {limit // unit})"
