"""Output of an earlier run that stays: files of some exporters, or a whole slide folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tiler.errors import ChangedError, TilerError
from tiler.runner.store.record import Record
from tiler.runner.store.settings import EXPORTER, changes, of_exporter, shared
from tiler.runner.work.job import SlideJob, SlideRow
from tiler.runner.work.plan import SlidePlan
from tiler.storage.safe_text import masked


def kept_reason(job: SlideJob, record: Record, error: TilerError) -> str:
    """Return why a slide cannot be redone, with the settings of the output that stays."""
    old = [
        f"{key}={before}"
        for key, before, _ in changes(shared(record.settings), shared(job.settings))
    ]
    finished = "" if record.row.status == "failed" else "finished "
    of = ", ".join(old) or "these settings"
    text = f"{error.in_config()}; the {finished}output of {of} is kept"
    return " ".join(text.split())


def failed_row(
    job: SlideJob, plan: SlidePlan | None, record: Record | None, error: TilerError
) -> SlideRow:
    """Return the row of a slide that failed, with what its plan knows.

    Parameters
    ----------
    job
        The slide's job.
    plan
        The slide's plan; None if the slide failed before it had one.
    record
        The record of an earlier run whose output stays; None if there is none.
    error
        The reason for the failure.
    """
    reason = masked(kept_reason(job, record, error) if record else error.in_config())
    known = plan.row if plan else SlideRow(job.slide_id, "failed", path=job.given)
    return replace(
        known,
        status="failed",
        code=error.code,
        reason=" ".join(reason.split()),
        kept=0,
        coverage=None,
        output="earlier" if record else "",
    )


def with_kept(record: Record, earlier: Record | None, names: Sequence[str]) -> Record:
    """Return a record that also lists the files of some exporters of an earlier record.

    Raises
    ------
    ChangedError
        If the earlier files are of other tiles.
    """
    why = _difference(record, earlier, names)
    if why or earlier is None:
        raise ChangedError(
            record.slide_id,
            f"{why}, so files cannot be added to those of {', '.join(names)} from an earlier run;"
            " move the slide's folder away, or use another out",
        )
    exporters = {name: of_exporter(earlier.settings, name) for name in names}
    settings: dict[str, Any] = dict(record.settings)
    if EXPORTER in settings or any(exporters.values()):
        own = {name: of_exporter(settings, name) for name in record.exporters}
        settings[EXPORTER] = {**own, **exporters}
    code = {key: value for key, value in earlier.code.items() if key in map(code_key, names)}
    files = {name: earlier.exporters[name] for name in names}
    fits = {name: earlier.transforms[name] for name in names if name in earlier.transforms}
    return replace(
        record,
        settings=settings,
        code={**record.code, **code},
        exporters={**record.exporters, **files},
        transforms={**record.transforms, **fits},
    )


def _difference(record: Record, earlier: Record | None, names: Sequence[str]) -> str:
    """Return how the tiles of two records differ; empty if they are the same."""
    if earlier is None or not earlier.exporters.keys() >= set(names):
        return "the earlier record is gone"
    if record.source != earlier.source or record.inputs != earlier.inputs:
        return "the slide changed"
    old, new = earlier.mask, record.mask
    if (old.sha256, old.width, old.height) != (new.sha256, new.width, new.height):
        return "the mask differs (computed by another version of tiler or of a library)"
    if record.counts != earlier.counts or list(record.dropped) != list(earlier.dropped):
        return "the tiles differ"
    return ""


def is_of(job: SlideJob, record: Record) -> bool:
    """Return whether a record lists everything that a job makes."""
    return (
        record.slide_id == job.slide_id
        and shared(record.settings) == shared(job.settings)
        and all(
            name in record.exporters
            and of_exporter(record.settings, name) == of_exporter(job.settings, name)
            and record.code.get(code_key(name)) == job.code.get(code_key(name))
            for name in job.exporters
        )
    )


def code_key(exporter: str) -> str:
    """Return the key of an exporter's code in ``SlideJob.code``."""
    return f"{EXPORTER}.{exporter}"
