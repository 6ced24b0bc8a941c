"""Schedule tasks: choose the next one, and act on its result."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tiler.errors import (
    DestinationError,
    EnvironmentRefusedError,
    TilerError,
    UnforeseenError,
    WorkerError,
)
from tiler.protocols import FailedTile
from tiler.regions import Regions
from tiler.runner.engines.base import Engine
from tiler.runner.kept import failed_row
from tiler.runner.reporting.events import Events
from tiler.runner.reporting.progress import Progress
from tiler.runner.slide_log import log_plan, log_reused
from tiler.runner.store.record_file import read_record
from tiler.runner.work.finish import FinishTask
from tiler.runner.work.folders import Work, new_work
from tiler.runner.work.job import SlideJob, SlideRow
from tiler.runner.work.plan import pieces, readable
from tiler.runner.work.tasks import (
    Planned,
    PlanTask,
    Task,
    TilesTask,
)
from tiler.runner.work.tiles.done import TilesDone, Written
from tiler.storage.destinations import inside

log = logging.getLogger("tiler")

Cut = Callable[[Regions], Iterable[Regions]]
"""Divide a slide's tiles into pieces of work."""


@dataclass
class _Slide:
    """A slide in work."""

    job: SlideJob
    work: Work
    final: Path
    start: float
    alone: bool
    planned: Planned | None = None
    pieces_left: int = 0
    written: dict[str, list[Written]] = field(default_factory=dict)
    failed: list[FailedTile] = field(default_factory=list)
    error: TilerError | None = None
    row: SlideRow | None = None
    under_way: int = 0


class Schedule:
    """Run slides through an engine.

    Pieces of slides that are already begun come first, so that few slides are open at a time.
    A slide whose worker died is tried once more when nothing else runs.

    Parameters
    ----------
    engine
        The engine that does the work.
    out
        The run's folder; finished slides appear in its folder ``slides``.
    bar, events
        Receive the progress and the events.
    cut
        Divides the tiles into pieces of work; it may leave some out.
    verify
        The check of tiles that an interrupted run finished: see ``find_done``.

    Attributes
    ----------
    shared
        The numbers of masks, grids, labels and scores that were made, and that were in the cache.
    began
        The start of the first plan in ``time.monotonic()``; None until there is one.
    """

    def __init__(
        self,
        engine: Engine,
        out: Path,
        bar: Progress,
        events: Events,
        cut: Cut = pieces,
        verify: str = "size",
    ) -> None:
        self._engine = engine
        self._verify = verify
        self._out = out
        self._cut = cut
        self._bar = bar
        self._events = events
        self._ready: deque[Task] = deque()
        self._slides: dict[str, _Slide] = {}
        self._under_way = 0
        self.shared: Counter[str] = Counter()
        self.began: float | None = None

    def rows(self, jobs: Sequence[SlideJob]) -> Iterator[SlideRow]:
        """Tile the slides, and yield the row of each as it ends.

        Raises
        ------
        DestinationError
            If the output cannot be written: nothing more is tried.
        """
        again: deque[SlideJob] = deque()
        share = max(1, self._engine.at_once // max(1, len(jobs)))  # else workers are idle
        fresh = deque(replace(job, plan_share=share) for job in jobs)
        while fresh or again or self._slides:
            self._fill(fresh, again)
            task, result = self._engine.next()
            slide = self._slides[task.job.slide_id]
            self._under_way -= 1
            slide.under_way -= 1
            if isinstance(result, DestinationError | EnvironmentRefusedError):
                raise result  # every other slide would fail in the same way
            if isinstance(result, TilerError):
                slide.error = slide.error or result
                self._ready = deque(t for t in self._ready if t.job is not slide.job)
            elif slide.error is None:
                self._advance(slide, task, result)
            ended = self._ended(slide)
            if isinstance(ended, SlideRow):
                yield ended
            elif ended is not None:
                log.warning("%s; the slide is tried once more by itself", slide.error)
                again.append(ended)

    def _fill(self, fresh: deque[SlideJob], again: deque[SlideJob]) -> None:
        """Submit tasks until the engine has as many as it has slots."""
        while self._under_way < self._engine.slots:
            if not self._ready:
                if fresh:
                    self._begin(fresh.popleft(), alone=False)
                elif again and not self._slides:
                    self._begin(again.popleft(), alone=True)
                else:
                    return
            task = self._ready.popleft()
            self._slides[task.job.slide_id].under_way += 1
            self._under_way += 1
            self._engine.submit(task)

    def _begin(self, job: SlideJob, *, alone: bool) -> None:
        work = new_work(self._out, job.slide_id)
        final = inside(self._out / "slides", job.slide_id)
        self._slides[job.slide_id] = _Slide(job, work, final, time.monotonic(), alone)
        self._bar.began(job.slide_id)
        self._ready.append(PlanTask(job, work, self._verify))

    def _advance(self, slide: _Slide, task: Task, result: object) -> None:
        """Use a task's result, and prepare the tasks that follow it."""
        if isinstance(task, PlanTask):
            assert isinstance(result, Planned)
            self._add_tiles(slide, result)
        elif isinstance(task, TilesTask):
            assert isinstance(result, TilesDone)
            self._count_tiles(slide, task, result)
        else:
            assert isinstance(result, SlideRow)
            slide.row = result
            return
        if not slide.pieces_left:
            self._ready.appendleft(self._finish(slide))

    def _add_tiles(self, slide: _Slide, planned: Planned) -> None:
        """Prepare the tasks for the tiles of a slide that was planned."""
        job, plan = slide.job, planned.plan
        self.began = self.began or time.monotonic() - planned.seconds
        self.shared.update(f"{what}s made" for what in plan.shared.made)
        self.shared.update(f"{what}s reused" for what in plan.shared.reused)
        log_plan(self._events, job, plan)
        self._take_over(slide, planned)
        names = [name for name, exporter in job.exporters.items() if exporter.per_tile]
        listed = {name: planned.listed_as(name) for name in names}
        tasks = [
            TilesTask(job, needed, piece, slide.work.slide, planned.key, listed, plan.transforms)
            for needed, regions in planned.unfinished(names)
            for piece in self._cut(readable(job, regions))
        ]
        self._bar.planned(job.slide_id, sum(len(task.regions) for task in tasks))
        slide.pieces_left = len(tasks)
        self._ready.extendleft(reversed(tasks))

    def _count_tiles(self, slide: _Slide, task: TilesTask, done: TilesDone) -> None:
        """Keep the files of a task, and report its tiles."""
        for name, written in done.written.items():
            slide.written.setdefault(name, []).append(written)
        slide.failed += done.failed
        for tile in done.failed:
            x, y = tile.region.location
            self._events.add("bad_tile", slide=slide.job.slide_id, x=x, y=y, cause=tile.cause)
        slide.pieces_left -= 1
        self._bar.tiles(slide.job.slide_id, len(task.regions))

    def _finish(self, slide: _Slide) -> FinishTask:
        """Return the last task of a slide; tiles that failed are in a fixed order."""
        assert slide.planned is not None
        failed = sorted(slide.failed, key=lambda tile: (tile.region.location[::-1], tile.cause))
        sample = self._cut is not pieces
        folder, final = slide.work.slide, slide.final
        return FinishTask(
            slide.job, slide.planned, slide.written, tuple(failed), folder, final, sample=sample
        )

    def _take_over(self, slide: _Slide, planned: Planned) -> None:
        """Count the tiles that an interrupted run finished; workers do not need them again."""
        slide.planned = replace(planned, finished={})
        for name, found in planned.finished.items():
            if count := int(found.done.sum()):
                slide.written[name] = [*found.written]
                log_reused(self._events, slide.job, name, count, len(found.done))

    def _ended(self, slide: _Slide) -> SlideRow | SlideJob | None:
        """Return the row of a slide that has ended, its job if it is tried again, else None."""
        if slide.under_way or (slide.error is None and slide.row is None):
            return None
        del self._slides[slide.job.slide_id]
        if slide.error is None:
            slide.work.remove()
        else:
            slide.work.leave()  # a later run uses its finished tiles
        seconds = round(time.monotonic() - slide.start, 3)
        if slide.row is not None:
            return replace(slide.row, seconds=seconds)
        assert slide.error is not None
        if isinstance(slide.error, WorkerError) and not slide.alone:
            return slide.job
        if isinstance(slide.error, UnforeseenError):
            log.error("%s", slide.error.args[-1])
        plan = slide.planned.plan if slide.planned else None
        row = failed_row(slide.job, plan, read_record(slide.final), slide.error)
        return replace(row, seconds=seconds)
