"""Files that are one and the same slide."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from tiler.protocols import SlideEntry
from tiler.readers.dicom import series_of

log = logging.getLogger("tiler")


def one_per_series(entries: Sequence[SlideEntry]) -> list[SlideEntry]:
    """Keep the first file of each DICOM series: any of them opens the whole slide."""
    first: dict[tuple[Path, str], Path] = {}
    kept = []
    for entry in entries:
        series = series_of(entry.path)
        if series is not None:
            known = first.setdefault((entry.path.parent, series), entry.path)
            if known != entry.path:
                log.info("%s is part of the same DICOM slide as %s", entry.path.name, known.name)
                continue
        kept.append(entry)
    return kept
