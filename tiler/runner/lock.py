"""One run per folder: a lock of the operating system, which dies with its process."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from tiler.errors import ConfigError, LockedError
from tiler.files import destination_error, inside, make_folder, write_whole
from tiler.hints import made_of
from tiler.stored import read_json

_HOLDER = ".lock-holder.json"
_MAX_HOLDER = 4096  # bytes


STALE = ".stale"
"""The folder of a run for what slides held before they could not be redone; nothing reads it."""


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Have a run's folder to oneself, with an empty folder ``.partial`` in it for the time.

    Raises
    ------
    ConfigError
        When links inside ``out`` could lead writes and removals anywhere.
    DestinationError, LockedError
        When ``out`` cannot be written, or another run holds it.
    """
    for name in ("slides", ".partial", STALE):
        if (out / name).is_symlink():
            raise ConfigError(f"{out / name} is a symbolic link; tiler only writes real folders")
    partial = make_folder(out / ".partial")
    with locked(out):
        for leftover in partial.iterdir():  # of runs that are no more: the lock says so
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            yield
        finally:
            shutil.rmtree(partial, ignore_errors=True)


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


@dataclass(frozen=True)
class _Holder:
    """Who holds a lock."""

    pid: int
    host: str
    since: str


def _holder(out: Path) -> str:
    try:
        who = made_of(_Holder, read_json(out / _HOLDER, _MAX_HOLDER))
    except (FileNotFoundError, ValueError):
        return ""
    return f", held by pid {who.pid} on host {who.host} since {who.since}"
