"""Small pictures of the slides of a sweep, for ``sweep.png``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from tiler.config.checks.validate import problems_in
from tiler.config.components import reader_factory
from tiler.geometry import Size
from tiler.protocols import Pixels
from tiler.runner.store.record import Record
from tiler.storage.destinations import expanded
from tiler.sweep.table import JobRecord

MAX_PIXELS = 64_000_000
"""Largest lowest level, in pixels, that is read for a picture: larger ones take too long."""


def thumbnail(job: JobRecord, row: Mapping[str, str], record: Record, size: Size) -> Pixels | None:
    """Read a small picture of a slide with a job's reader; None if that fails.

    Parameters
    ----------
    job
        The job.
    row, record
        The slide's row in it, and its record.
    size
        Size of the picture.
    """
    plain = {"reader": record.settings.get("reader")}
    base = (job.run.get("slides") or {}).get("base") or ""
    try:
        if problems_in(plain, list(plain)):  # the record may come from anybody
            return None
        path = Path(expanded(base), expanded(row["path"]))
        with reader_factory(plain)(path, name=record.slide_id) as reader:
            lowest = min(math.prod(level) for level in reader.level_dimensions)
            return reader.thumbnail(size) if lowest <= MAX_PIXELS else None
    except Exception:  # any reader may raise anything; a missing picture must not end a sweep
        return None
