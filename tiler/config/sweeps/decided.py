"""The kept cells of a slide in a job of a sweep, decided again, for ``sweep.png``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from tiler.protocols import Mask
from tiler.runner.work.plan import plan_slide
from tiler.runner.work.worker_state import WorkerState
from tiler.sweep.table import JobRecord

_COMPONENTS = {
    "engine": {"_target_": "tiler.runner.engines.SerialEngine"},
    "report": {"_target_": "tiler.report.no_report"},
}


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
    state = WorkerState()
    try:
        from tiler.config.rebuilt import rebuilt

        found = rebuilt(folder / job.name, job.run, [row], _COMPONENTS)
        if found.unread:
            return None
        plain = replace(found.plan.jobs[0], exporters={}, transforms={}, expected_sha256=None)
        opened = partial(state.reader, plain, uuid4().hex)
        plan = plan_slide(plain, opened, all_cells=True)
        return None if plan.candidates is None else plan.candidates.decision.kept
    except Exception:  # components may raise anything; a missing picture must not end a sweep
        return None
    finally:
        state.close()
