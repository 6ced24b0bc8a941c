"""The tables of a sweep: ``sweep.csv``, a row per job and slide, and ``sweep.json``."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiler
from tiler.checks.hints import made_of
from tiler.errors import ConfigError, WorkerError
from tiler.files import write_whole
from tiler.runner.reporting.tables import OWN, REFUSED, column_names, read_slides
from tiler.runner.store.versions import git_state, versions
from tiler.runner.work.job import DROPPED
from tiler.storage.csv_text import csv_text
from tiler.storage.destinations import inside
from tiler.storage.safe_text import json_text
from tiler.storage.stored import StoredError, read_json

log = logging.getLogger("tiler")


@dataclass(frozen=True)
class JobRecord:
    """A job of a sweep, read back from its folder."""

    name: str
    run: dict[str, Any]
    rows: list[dict[str, str]]

    @property
    def filtered(self) -> list[str]:
        """The names of the filters and rules with a column in its table."""
        columns = self.rows[0] if self.rows else {}
        return [name.removeprefix(DROPPED) for name in columns if name.startswith(DROPPED)]


@dataclass(frozen=True)
class _Sweep:
    """The sweep of a job, as its ``run.json`` contains it."""

    id: str
    number: int
    settings: Mapping[str, str]


@dataclass(frozen=True)
class _Job:
    """The fields of a job's ``run.json`` that a sweep reads."""

    sweep: _Sweep
    exit_code: int | None
    error: str | None = None
    counts: Mapping[str, int] | None = None
    cache: Mapping[str, int | str | None] | None = None


def read_jobs(
    folder: Path, sweep_id: str, *names: str, tell: Callable[[str], object] = log.warning
) -> list[JobRecord]:
    """Read the jobs of one sweep that left a file of such a name, in the order of their numbers.

    A damaged file of such a name is skipped, and ``tell`` gets a line about it.
    """
    jobs: dict[int, JobRecord] = {}
    # A tracker may keep copies further down.
    for record in sorted(_records(folder, names), key=lambda path: len(path.parts)):
        try:
            run = _facts(record, sweep_id)
            if run is None:
                continue
            if run["exit_code"] is None:  # no job is running any more
                run |= {"exit_code": WorkerError.exit_code, "error": "the job died"}
            # The table beside a refusal is one of an earlier run.
            rows = [] if record.name == REFUSED else read_slides(record.parent)
        except (FileNotFoundError, StoredError) as error:
            tell(f"{record} {error}; passed over")
            continue
        name = record.parent.relative_to(folder).as_posix()
        jobs.setdefault(run["sweep"]["number"], JobRecord(name, run, rows))
    return [job for _, job in sorted(jobs.items())]


def refuse_twice(out: Path, sweep_id: str, number: int) -> None:
    """Refuse a job whose folder contains another job of its sweep.

    Raises
    ------
    ConfigError
        If ``out`` contains the record of another job.
    """
    try:
        other = _facts(out / "run.json", sweep_id)
    except (FileNotFoundError, StoredError):
        return
    if other is not None and other["sweep"]["number"] != number:
        raise ConfigError(
            f"{out}: another job of the sweep writes there; include the swept keys in"
            " hydra.sweep.subdir"
        )


def _facts(record: Path, sweep_id: str) -> dict[str, Any] | None:
    """Read the file of a job of some sweep; None if it belongs to another run.

    Raises
    ------
    FileNotFoundError, StoredError
        If the file cannot be used.
    """
    run = read_json(record)
    sweep = run.get("sweep")
    if not isinstance(sweep, dict) or sweep.get("id") != sweep_id:
        return None
    try:
        made_of(_Job, run)
    except ValueError as error:
        raise StoredError(f"is damaged: {error}") from error
    return run


def _records(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Find files of such names below a folder, but not below folders that contain one."""
    for place, below, files in os.walk(folder):
        below[:] = (name for name in below if name != "slides" and not name.startswith("."))
        found = [Path(place, name) for name in names if name in files]
        if found and place != str(folder):
            below.clear()
            yield from found


def write_sweep(folder: Path, jobs: Sequence[JobRecord], keys: Sequence[str]) -> Path:
    """Write ``sweep.csv`` into a sweep's folder; a job without slides has one row."""
    own = dict.fromkeys(
        name for job in jobs for row in job.rows[:1] for name in row if name.startswith(OWN)
    )
    columns = ["job", *keys, *column_names(name for job in jobs for name in job.filtered), *own]
    path = inside(folder, "sweep.csv")
    text = csv_text(columns, _rows(jobs))
    write_whole(path, text.encode(errors="surrogateescape"))
    return path


def _rows(jobs: Iterable[JobRecord]) -> Iterator[dict[str, str]]:
    for job in jobs:
        settings = {"job": job.name, **job.run["sweep"]["settings"]}
        refused = {"status": "failed", "reason": job.run.get("error") or "no slide"}
        for row in job.rows or [refused]:
            yield {**settings, **row}


def write_definition(
    folder: Path, sweep_id: str, overrides: Sequence[str], jobs: Sequence[JobRecord]
) -> None:
    """Write ``sweep.json``: overrides, versions, use of the cache, and results of the jobs."""
    shared: Counter[str] = Counter()
    for job in jobs:
        counts = job.run.get("cache") or {}
        shared.update({what: count for what, count in counts.items() if isinstance(count, int)})
    definition = {
        "tiler": tiler.__version__,
        "id": sweep_id,
        "overrides": list(overrides),
        "git": git_state(),
        "versions": versions(),
        "shared": dict(shared),
        "jobs": [
            {
                "number": job.run["sweep"]["number"],
                "name": job.name,
                "settings": job.run["sweep"]["settings"],
                "exit_code": job.run["exit_code"],
                "error": job.run.get("error"),
                "counts": job.run.get("counts"),
            }
            for job in jobs
        ],
    }
    text = json_text(definition, indent=2) + "\n"
    write_whole(inside(folder, "sweep.json"), text.encode(errors="surrogateescape"))
