"""The report of a sweep, at its end or afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiler.checks.hints import made_of
from tiler.config.job import say
from tiler.config.rebuilt import rebuilt
from tiler.errors import ConfigError, JobError
from tiler.report.sweep.report import make_sweep_report
from tiler.runner.engines import ProcessEngine, SerialEngine
from tiler.runner.engines.base import Engine
from tiler.runner.reporting.tables import REFUSED
from tiler.runner.work.job import SlideJob
from tiler.storage.stored import StoredError, read_json
from tiler.sweep.table import JobRecord, read_jobs


def report_jobs(
    folder: Path,
    keys: Sequence[str],
    jobs: Sequence[JobRecord],
    engine: Engine | None = None,
    where: str | None = None,
    charts: Sequence[str] = (),
) -> tuple[Path | None, bool]:
    """Make the report of a sweep whose jobs have ended; print the problems.

    Parameters
    ----------
    folder
        The folder of the sweep, locked.
    keys
        The swept keys.
    jobs
        Its jobs as ``sweep.csv`` has them.
    engine
        Plans slides; None for worker processes if the jobs had them, else for this process.
    where
        A file, folder or glob of slides that moved since.
    charts
        The formats in which its charts are written as files.

    Returns
    -------
    tuple
        The page, or None if something is in its way; and True if a slide has no tiles in it.

    Raises
    ------
    DestinationError
        If it cannot be written.
    """

    def again(job: JobRecord) -> tuple[Sequence[SlideJob], Mapping[int, str]]:
        found = rebuilt(folder / job.name, job.run, job.rows, where)
        return found.plan.jobs, found.unread

    page, problems = make_sweep_report(folder, keys, jobs, again, engine or _engine(jobs), charts)
    for line in problems:
        say(f"report: {line}")
    return page, bool(problems)


def _engine(jobs: Sequence[JobRecord]) -> Engine:
    """Return an engine on this machine that is like that of the jobs."""
    nodes = [job.run.get("config") for job in jobs]
    engines = [node.get("engine") for node in nodes if isinstance(node, dict)]
    targets = [str(one.get("_target_")) for one in engines if isinstance(one, dict)]
    if any(target.endswith(".ProcessEngine") for target in targets):
        return ProcessEngine()
    return SerialEngine()


@dataclass(frozen=True)
class _Job:
    name: str
    settings: Mapping[str, str]
    exit_code: int
    error: str | None = None
    number: int | None = None


@dataclass(frozen=True)
class _Definition:
    """The fields of ``sweep.json`` that a report needs."""

    id: str
    jobs: Sequence[_Job] = field(default_factory=list)


def report_sweep(
    folder: Path, engine: Engine, where: str | None, charts: Sequence[str] = ()
) -> tuple[Path | None, bool]:
    """Make the report of a sweep afterwards: see ``report_jobs``.

    Raises
    ------
    ConfigError
        If the folder contains no sweep.
    DestinationError
        If the report cannot be written.
    """
    try:
        definition = made_of(_Definition, read_json(folder / "sweep.json"))
    except (FileNotFoundError, StoredError, ValueError) as error:
        raise ConfigError(f"{folder / 'sweep.json'} {error}; run the sweep again") from error
    found = read_jobs(folder, definition.id, "run.json", REFUSED, tell=say)
    there = {job.name for job in found}
    jobs = [*found, *(_gone(n, job, definition.id) for n, job in enumerate(definition.jobs)
                      if job.name not in there)]  # fmt: skip
    jobs.sort(key=lambda job: int(job.run["sweep"]["number"]))
    keys = list(dict.fromkeys(key for job in jobs for key in job.run["sweep"]["settings"]))
    return report_jobs(folder, keys, jobs, engine, where, charts)


def _gone(n: int, job: _Job, sweep_id: str) -> JobRecord:
    """Return a job that has no record of the sweep any more, or never had one."""
    number = n if job.number is None else job.number
    facts: dict[str, Any] = {"id": sweep_id, "number": number, "settings": dict(job.settings)}
    error = job.error or "its folder contains no record of this sweep any more"
    code = job.exit_code or JobError.exit_code
    return JobRecord(job.name, {"sweep": facts, "exit_code": code, "error": error}, [])
