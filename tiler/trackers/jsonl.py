"""``tracking.jsonl``: a line per start, step and end, of all runs that share the file."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from tiler.errors import ConfigError
from tiler.files import append_line, check_writable, make_folder
from tiler.protocols import RunStatus

_LOCK_TIMEOUT_S = 30.0


class JsonlTracker:
    """Adds lines to a file, which any number of processes may do at once.

    Parameters
    ----------
    path
        The file; created with its folder when the first run starts.

    Raises
    ------
    ConfigError
        When it is empty.
    """

    def __init__(self, path: Path) -> None:
        if str(path) in ("", "."):
            raise ConfigError("tracker.path is empty: name the file that is to be added to")
        self._path = Path(path)
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
        """Write how it ended, and the names of its files."""
        self._add("end", status=status, metrics=dict(metrics), files=list(files))

    def _add(self, event: str, **facts: object) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "run": self._run, "event": event, **facts})
        # Appending is atomic on a local disk; between machines on NFS it takes a lock.
        lock = self._path.with_name(f".{self._path.name}.lock")
        check_writable(lock)
        with FileLock(lock, timeout=_LOCK_TIMEOUT_S):
            append_line(self._path, line.encode())
