"""Small pictures of the slides of a sweep, for ``sweep.png``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from tiler.config.checks.validate import problems_in
from tiler.config.components import reader_factory
from tiler.files import expanded
from tiler.geometry import Size
from tiler.protocols import Pixels
from tiler.runner.store.record import Record
from tiler.sweep.table import JobRecord

MAX_PIXELS = 64_000_000
"""The largest lowest level that is read for a picture: more would take too long."""


def thumbnail(job: JobRecord, row: Mapping[str, str], record: Record, size: Size) -> Pixels | None:
    """Read a slide once more, as a job of a sweep did; None where that fails.

    Parameters
    ----------
    job
        The job.
    row, record
        The slide's row in it, and its record.
    size
        Of the picture.
    """
    plain = {"reader": record.settings.get("reader")}
    base = (job.run.get("slides") or {}).get("base") or ""
    try:
        if problems_in(plain, list(plain)):  # the record may be anybody's
            return None
        path = Path(expanded(base), expanded(row["path"]))
        with reader_factory(plain)(path, name=record.slide_id) as reader:
            lowest = min(math.prod(level) for level in reader.level_dimensions)
            return reader.thumbnail(size) if lowest <= MAX_PIXELS else None
    except Exception:  # of any reader: a picture is no reason to end a sweep
        return None
