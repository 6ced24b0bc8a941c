"""The kept cells of a slide in a job of a sweep, decided again, for ``sweep.png``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tiler.protocols import Mask
from tiler.runner.work.worker_state import WorkerState
from tiler.sweep.table import JobRecord


def decided(folder: Path, job: JobRecord, row: Mapping[str, str]) -> Mask | None:
    """Return the kept cells of a slide in a job, from the cache where it has them.

    Parameters
    ----------
    folder
        The folder of the sweep.
    job, row
        The job, and the slide's row in it.

    Returns
    -------
    numpy.ndarray or None
        bool (ny, nx); None if that fails.
    """
    try:
        from tiler.config.rebuilt import rebuilt
        from tiler.report.planned import plan_only, planned

        found = rebuilt(folder / job.name, job.run, [row])
        if found.unread:
            return None
        with planned(plan_only(found.plan.jobs[0]), WorkerState()) as again:
            return again.candidates.decision.kept
    except Exception:  # components may raise anything; a missing picture must not end a sweep
        return None
