"""A slide planned again for a report, with all cells of its grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

from tiler.errors import OpenError
from tiler.protocols import WSIReader
from tiler.readers.deferred import DeferredReader
from tiler.readers.preflight import look
from tiler.runner.work.job import SlideJob
from tiler.runner.work.plan import SlidePlan, plan_slide
from tiler.runner.work.worker_state import WorkerState
from tiler.selection import Candidates


@dataclass(frozen=True, eq=False)
class Planned:
    """A slide and its plan.

    Attributes
    ----------
    plan
        Its plan.
    candidates
        All cells, with the decision about each.
    source
        The slide, which is opened when its pixels are read.
    opened
        Opens the slide.
    """

    plan: SlidePlan
    candidates: Candidates
    source: WSIReader
    opened: Callable[[], WSIReader]


def plan_only(job: SlideJob) -> SlideJob:
    """Return a job without the settings that only the export of tiles needs."""
    return replace(job, exporters={}, transforms={}, expected_sha256=None)


@contextmanager
def planned(job: SlideJob, state: WorkerState) -> Iterator[Planned]:
    """Plan a slide again, from the cache where it has the cells; close the slide at the end.

    Raises
    ------
    SlideError
        If the slide cannot be planned.
    """
    state.close()  # a retry must open the slide again
    if job.problem:
        raise OpenError(job.slide_id, f"{job.problem}; check it, or leave it out")
    look(job.path, job.slide_id)
    opened = partial(state.reader, job, uuid4().hex)
    try:
        plan = plan_slide(job, opened, all_cells=True)
        assert plan.candidates is not None, "the plan was asked for them"
        source = DeferredReader(job.path, job.slide_id, plan.shared.known, opened, job.given)
        yield Planned(plan, plan.candidates, source, opened)
    finally:
        state.close()
