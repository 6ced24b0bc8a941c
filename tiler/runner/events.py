"""``events.jsonl``: the story of all runs in a folder, one line per event, only ever added to."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from tiler.files import append_line, inside


class Events:
    """Appends events; each line is on the disk before the next thing happens."""

    def __init__(self, out: Path) -> None:
        self._path = inside(out, "events.jsonl")

    def add(self, event: str, **facts: object) -> None:
        """Append one event with the time and the process."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "pid": os.getpid(), "event": event, **facts})
        append_line(self._path, line.encode())
