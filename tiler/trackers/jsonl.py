"""``tracking.jsonl``: a line for each start, step and end of all runs that share the file."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from os import SEEK_END
from pathlib import Path

from filelock import FileLock

from tiler.errors import ConfigError
from tiler.files import append_line
from tiler.protocols import RunStatus
from tiler.storage.destinations import check_writable, make_folder

_LOCK_TIMEOUT_S = 30.0
_CHECKED_BYTES = 1 << 20


class JsonlTracker:
    """Appends lines to a file; many processes may do so at once.

    Parameters
    ----------
    path
        The file, ``.jsonl``; created with its folder when the first run starts.

    Raises
    ------
    ConfigError
        If the path is empty, or the file contains anything but JSON lines. A JSON line in a
        script would be a command.
    """

    def __init__(self, path: Path) -> None:
        if str(path) in ("", "."):
            raise ConfigError("tracker.path is empty; name a file that ends in .jsonl")
        self._path = Path(path)
        if self._path.suffix != ".jsonl" or not _has_only_json(self._path):
            raise ConfigError(
                f"tracker.path={path} is not a file of JSON lines; name one that ends in .jsonl"
            )
        self._run = uuid.uuid4().hex

    def start(self, name: str, parameters: Mapping[str, str], parent: str | None) -> str:
        """Write the run's name, parent and parameters."""
        make_folder(self._path.parent)
        self._add("start", name=name, parent=parent, parameters=dict(parameters))
        return self._run

    def step(self, number: int, metrics: Mapping[str, float]) -> None:
        """Write the numbers so far."""
        self._add("step", step=number, metrics=dict(metrics))

    def end(
        self, status: RunStatus, metrics: Mapping[str, float], files: Mapping[str, Path]
    ) -> None:
        """Write the status, and the names of the run's files."""
        self._add("end", status=status, metrics=dict(metrics), files=list(files))

    def _add(self, event: str, **facts: object) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "run": self._run, "event": event, **facts})
        # Appending is atomic on a local disk; between machines on NFS it takes a lock.
        lock = self._path.with_name(f".{self._path.name}.lock")
        check_writable(lock)
        with FileLock(lock, timeout=_LOCK_TIMEOUT_S):
            append_line(self._path, line.encode())


def _has_only_json(path: Path) -> bool:
    """Return whether the first and the last whole line of a regular file are JSON objects.

    Reading all lines for each job of a sweep would take too long. A link, a device or an unreadable
    file is reported when a line is added.
    """
    if path.is_symlink() or not path.is_file():
        return True
    try:
        with path.open("rb") as file:
            lines = [file.readline(_CHECKED_BYTES)]
            file.seek(max(0, file.seek(0, SEEK_END) - _CHECKED_BYTES))
            lines += file.read().split(b"\n")[1:-1][-1:]  # a write may be incomplete
    except OSError:
        return True
    return all(_is_json(line) for line in lines if line)


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
