"""The end of a sweep: its tables, picture, tracked run and exit code."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from tiler.config.job import say
from tiler.config.sweeps.multirun import Sweep
from tiler.errors import STOPPED, ConfigError, JobError, worst

if TYPE_CHECKING:
    from tiler.sweep.table import JobRecord


def end_sweep(sweep: Sweep, code: int) -> int:
    """Write the tables of a sweep and return the worst exit code of its jobs.

    Parameters
    ----------
    sweep
        A sweep whose jobs have ended.
    code
        The exit code of launching them.

    Raises
    ------
    DestinationError
        If they cannot be written.
    """
    from tiler.config.sweeps.decided import decided
    from tiler.config.sweeps.report import report_jobs
    from tiler.config.sweeps.thumbnails import thumbnail
    from tiler.runner.ledger import where_report
    from tiler.runner.reporting.tables import REFUSED
    from tiler.runner.signals import Interrupted, interruptible
    from tiler.sweep.contact_sheet import write_contact_sheet
    from tiler.sweep.parquet import write_parquet
    from tiler.sweep.table import read_jobs, write_definition, write_sweep
    from tiler.sweep.tracking import end_tracked_sweep

    folder, sweep_id = sweep.folder, sweep.context.sweep_id
    jobs = read_jobs(folder, sweep_id, "run.json", REFUSED, tell=say)
    budgets = read_jobs(folder, sweep_id, "budget.json", tell=say)
    if (jobs or budgets) and code not in STOPPED:  # in a stopped sweep some jobs never began
        jobs += _lost(sweep, [*jobs, *budgets])
        jobs.sort(key=lambda job: int(job.run["sweep"]["number"]))
    if jobs:
        table = write_sweep(folder, jobs, sweep.context.keys)
        write_definition(folder, sweep_id, sweep.overrides, jobs)
        sheet = write_contact_sheet(folder, jobs, thumbnail, partial(decided, folder))
        written = [table, write_parquet(table), sheet]
        for job in jobs:
            if job.run["exit_code"]:
                say(f"job {job.name} ended with exit code {job.run['exit_code']}")
        count = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
        page = None
        if sweep.reported and code not in STOPPED:
            try:
                with interruptible():
                    page, _ = report_jobs(folder, sweep.context.keys, jobs, charts=sweep.charts)
            except Interrupted as stop:
                code = stop.exit_code
        wrote = ", ".join(str(path) for path in written if path)
        say(f"{count}; wrote {wrote}; report: {where_report(page, folder)}")
    if not jobs and not budgets and not code:
        what = f"No job wrote a record below {folder}; check hydra.sweep.subdir"
        say(f"{ConfigError.code}: {what}")
        code = ConfigError.exit_code
    code = worst([code, *(job.run["exit_code"] for job in jobs + budgets)])
    end_tracked_sweep(sweep.tracker, folder, jobs, code)
    return code


def _lost(sweep: Sweep, found: Sequence[JobRecord]) -> list[JobRecord]:
    """Report the jobs that were launched and left no record, and return a record for each."""
    from tiler.sweep.table import JobRecord

    there = {job.run["sweep"]["number"] for job in found}
    lost = []
    for number, settings in enumerate(sweep.jobs or ()):
        if number not in there:
            overrides = " ".join(f"{key}={value}" for key, value in settings.items())
            what = f"job {number} ({overrides}) left no record"
            say(f"{what} below {sweep.folder}; run again to resume")
            facts = {"id": sweep.context.sweep_id, "number": number, "settings": settings}
            run = {"sweep": facts, "exit_code": JobError.exit_code, "error": what}
            lost.append(JobRecord(f"job {number}", run, []))
    return lost
