"""One run per folder: a lock of the operating system that ends with its process."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from tiler.checks.hints import made_of
from tiler.errors import LockedError
from tiler.files import remove_partials, write_whole
from tiler.runner.guard import NAMES
from tiler.runner.work.folders import PARTIAL, clear, recover
from tiler.storage.destinations import (
    check_writable,
    destination_error,
    inside,
    make_folder,
    own_folder,
)
from tiler.storage.stored import read_json

LOCK = ".lock"
_HOLDER = ".lock-holder.json"
_MAX_HOLDER = 4096  # bytes

_WRITTEN = tuple({*NAMES} - {"refused.json"})
"""Files that are written only under the lock, which a refused command does not have."""


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Lock a run's folder, and recover from a crash of an earlier run.

    Raises
    ------
    ConfigError
        If ``slides`` or ``.partial`` in ``out`` is a link: writes would go elsewhere.
    DestinationError, LockedError
        If ``out`` cannot be written, or another run has locked it.
    """
    for name in ("slides", PARTIAL):
        own_folder(out / name)
    with locked(out):
        recover(out)
        try:
            yield
        finally:
            clear(out, keep_pieces=True)


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Lock the folder of a run or a sweep; create it if it is missing.

    Raises
    ------
    DestinationError
        If the folder or its lock file cannot be written.
    LockedError
        If another process has locked it. The message names process, host and time.
    """
    lock = _acquired(out)
    try:
        facts = {
            "pid": os.getpid(),
            "host": platform.node(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        remove_partials(out, _WRITTEN)
        write_whole(inside(out, _HOLDER), json.dumps(facts).encode())
        yield
    finally:
        with suppress(OSError):  # the folder may be missing or read-only
            (out / _HOLDER).unlink()
        lock.release()


def _acquired(out: Path) -> BaseFileLock:
    path = inside(make_folder(out), LOCK)
    check_writable(path)
    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=0)
        except FileNotFoundError:  # another process removed the empty folder
            make_folder(out)
            lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(
            f"{out} is in use{_holder(out)}; wait for that run, or use another out"
        ) from None
    except OSError as error:
        raise destination_error(error, path) from error
    return lock


@dataclass(frozen=True)
class _Holder:
    """The process that holds a lock."""

    pid: int
    host: str
    since: str


def _holder(out: Path) -> str:
    try:
        who = made_of(_Holder, read_json(out / _HOLDER, _MAX_HOLDER))
    except (FileNotFoundError, ValueError):
        return ""
    return f", held by pid {who.pid} on host {who.host} since {who.since}"
