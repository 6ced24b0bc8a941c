"""One run per folder: a lock of the operating system, which dies with its process."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from tiler.errors import LockedError
from tiler.files import destination_error, inside, write_whole

_HOLDER = ".lock-holder.json"


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the lock of a run's folder.

    Raises
    ------
    LockedError
        When another run holds it: its process, host and start.
    """
    lock = FileLock(inside(out, ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(
            f"E_LOCKED: {out} is in use{_holder(out)}; wait for that run, or use another out"
        ) from None
    except OSError as error:
        raise destination_error(error, out / ".lock") from error
    try:
        facts = {
            "pid": os.getpid(),
            "host": platform.node(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_whole(inside(out, _HOLDER), json.dumps(facts).encode())
        yield
    finally:
        (out / _HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(out: Path) -> str:
    try:
        facts = json.loads((out / _HOLDER).read_text())
    except (OSError, ValueError):
        return ""
    return f", held by pid {facts['pid']} on host {facts['host']} since {facts['since']}"
