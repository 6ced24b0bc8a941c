"""``data/sweep.js``: the jobs and slides of a sweep, and what each job kept of each slide."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import tiler
from tiler.report.arrays import packed
from tiler.report.sweep.tiles import view_name
from tiler.runner.reporting.tables import RUNNING, column_names
from tiler.runner.work.job import DROPPED
from tiler.sweep.table import JobRecord

VERSION = 1

_COUNTS = ("candidates", "kept", "below_threshold", "not_sampled", "dropped")
_NUMBERS = ("coverage", "mask_fraction", "tissue_mm2", "effective_mpp")
_TEXTS = ("status", "reason")

_ABSENT = -1
"""A count that ``sweep.csv`` does not contain; a number is NaN there."""


def slide_ids(jobs: Sequence[JobRecord]) -> list[str]:
    """Return the slides of all jobs, in the order of the tables."""
    return list(dict.fromkeys(row["slide_id"] for job in jobs for row in job.rows))


def number_of(job: JobRecord) -> int:
    """Return the number of a job in its sweep."""
    return int(job.run["sweep"]["number"])


def job_status(job: JobRecord) -> str:
    """Return the status of a job.

    It is ``done``, ``failed`` or ``interrupted`` as in ``run.json``; ``died`` if the job did not
    record its end, ``refused`` if it stopped before its slides, ``lost`` if it left no record.
    """
    status = job.run.get("status")
    if isinstance(status, str):
        return "died" if status == RUNNING else status
    return "refused" if "overrides" in job.run else "lost"


def sweep_content(
    name: str,
    keys: Sequence[str],
    jobs: Sequence[JobRecord],
    slides: Sequence[str],
    missing: Mapping[tuple[int, int], str],
    views: Collection[int],
    made: str,
) -> dict[str, Any]:
    """Return the content of ``data/sweep.js``.

    Parameters
    ----------
    name
        The name of the sweep.
    keys
        The swept keys.
    jobs
        The jobs as ``sweep.csv`` has them.
    slides
        The slides: see ``slide_ids``.
    missing
        The reason why there is no file of the kept tiles, by job number and slide number.
    views
        The numbers of the slides with a picture.
    made
        The time, as text.
    """
    columns = column_names(name for job in jobs for name in job.filtered)
    counts = [name for name in columns if name in _COUNTS or name.startswith(DROPPED)]
    at = {slide_id: n for n, slide_id in enumerate(slides)}
    cells: dict[str, dict[int, str]] = {name: {} for name in (*_TEXTS, *counts, *_NUMBERS)}
    for row, job in enumerate(jobs):
        for slide in job.rows:
            cell = row * len(slides) + at[slide["slide_id"]]
            for column, values in cells.items():
                values[cell] = slide.get(column) or ""
    size = len(jobs) * len(slides)
    place = {number_of(job): row * len(slides) for row, job in enumerate(jobs)}
    absent = {place[number] + n: why for (number, n), why in missing.items()}
    return {
        "version": VERSION,
        "name": name,
        "tiler": tiler.__version__,
        "made": made,
        "keys": list(keys),
        "jobs": [_job(job) for job in jobs],
        "slides": [
            {"slide_id": slide_id, "view": view_name(n) if n in views else None}
            for n, slide_id in enumerate(slides)
        ],
        "counts": counts,
        "columns": {
            **{name: packed(_texts(cells[name], size)) for name in _TEXTS},
            **{name: packed(_counts(cells[name], size)) for name in counts},
            **{name: packed(_numbers(cells[name], size)) for name in _NUMBERS},
            "missing": packed(_texts(absent, size)),
        },
    }


def _job(job: JobRecord) -> dict[str, Any]:
    status = job_status(job)
    return {
        "number": number_of(job),
        "name": job.name,
        "settings": dict(job.run["sweep"]["settings"]),
        "status": status,
        "exit_code": job.run["exit_code"],
        "error": job.run.get("error") or "",
        "counts": job.run.get("counts") or {},
        "folder": "" if status == "lost" else job.name,
    }


def _texts(values: Mapping[int, str], size: int) -> npt.NDArray[Any]:
    return np.array([values.get(cell, "") for cell in range(size)], object)


def _counts(values: Mapping[int, str], size: int) -> npt.NDArray[np.int64]:
    made = np.full(size, _ABSENT, np.int64)
    for cell, text in values.items():
        made[cell] = int(text) if text else _ABSENT
    return made


def _numbers(values: Mapping[int, str], size: int) -> npt.NDArray[np.float64]:
    made = np.full(size, np.nan)
    for cell, text in values.items():
        made[cell] = float(text) if text else np.nan
    return made
