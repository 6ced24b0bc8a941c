"""The task that makes the card of a slide that failed, although its pixels may be readable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tiler.checks.pixels import checked_pixels
from tiler.errors import LabelError, MaskError, ReadError, ResolutionError, TransformError
from tiler.readers.preflight import look
from tiler.report.files import SlideFiles
from tiler.report.run.failures import split_reason
from tiler.report.slide.pictures import CARD_SIDE, encode_card, view_size
from tiler.report.slide.task import SlideReport
from tiler.runner.work.job import SlideJob
from tiler.runner.work.worker_state import WorkerState

_READABLE = tuple(one.code for one in (ResolutionError, MaskError, LabelError, TransformError))
"""Codes of failures after which the slide's pixels may be readable."""


def pictured(row: Mapping[str, Any]) -> bool:
    """Return whether a slide without output gets a card: its pixels were not the reason.

    Parameters
    ----------
    row
        Its row of ``slides.csv``.
    """
    reason, slide_id = str(row.get("reason") or ""), str(row.get("slide_id") or "")
    return row.get("status") == "failed" and split_reason(reason, slide_id)[0] in _READABLE


def file_facts(path: Path) -> dict[str, int]:
    """Return the size and time of a slide's file; nothing if they are not known."""
    try:
        facts = path.stat()
    except (OSError, ValueError):  # ValueError: an impossible file name
        return {}
    return {"st_size": facts.st_size, "st_mtime_ns": facts.st_mtime_ns}


@dataclass(frozen=True)
class PictureTask:
    """Make the card of a failed slide: its thumbnail alone.

    Attributes
    ----------
    job, folder, n
        The same as in ``SlideReportTask``.
    """

    job: SlideJob
    folder: Path
    n: int

    def run(self, state: WorkerState) -> SlideReport:
        """Read the thumbnail and write the card.

        Raises
        ------
        SlideError
            If the slide cannot be read.
        """
        state.close()
        job = self.job
        look(job.path, job.slide_id)
        try:
            reader = state.reader(job, uuid4().hex)
            if not (reader.bounds.width and reader.bounds.height):
                raise ReadError(job.slide_id, "nothing was scanned")
            size, _ = view_size(reader.bounds, CARD_SIDE)
            pixels = checked_pixels(reader, "thumbnail", reader.thumbnail(size), size)
        finally:
            state.close()
        files = SlideFiles(self.folder, self.n)
        files.write("pictures", ".jpg", encode_card(pixels))
        return SlideReport(tuple(files.written))
