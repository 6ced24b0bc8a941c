"""``events.jsonl``: one line per event of all runs in a folder; lines are only appended."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from tiler.files import append_line
from tiler.storage.destinations import inside
from tiler.storage.safe_text import json_text


class Events:
    """Appends events; each line is flushed to the disk before the run continues.

    Parameters
    ----------
    out
        The run's folder; None to write no events.
    """

    def __init__(self, out: Path | None) -> None:
        self._path = inside(out, "events.jsonl") if out else None

    def add(self, event: str, **facts: object) -> None:
        """Append one event with the time and the process."""
        if self._path is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json_text({"time": now, "pid": os.getpid(), "event": event, **facts})
        append_line(self._path, line.encode(errors="backslashreplace"))
