"""The report of a sweep: the kept tiles of its jobs, made by tasks, and its page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tiler.errors import TilerError
from tiler.files import digest
from tiler.report.charts.of_sweep import sweep_chart_files
from tiler.report.files import Making
from tiler.report.html import code_digest
from tiler.report.pages import now
from tiler.report.sweep.data import number_of, slide_ids, sweep_content
from tiler.report.sweep.page import write_sweep_pages
from tiler.report.sweep.tiles import KeptTask, KeptTiles, kept_task
from tiler.runner.engines.base import Engine
from tiler.runner.products.listed import SLIDES
from tiler.runner.products.report_files import INDEX, PAGES
from tiler.runner.reporting.run_report import report_slides
from tiler.runner.store.code import code_version
from tiler.runner.store.record_file import MAX_BYTES, NAME, read_record
from tiler.runner.work.folders import PARTIAL, clear
from tiler.runner.work.job import DONE, SlideJob
from tiler.runner.work.tasks import Task
from tiler.storage.destinations import own_folder
from tiler.storage.stored import StoredError, read_regular
from tiler.sweep.table import JobRecord

SlideJobs = Callable[[JobRecord], tuple[Sequence[SlideJob], Mapping[int, str]]]
"""Builds the jobs of slides again, one for each row of a sweep's job.

It also returns, by the number of the row, why a slide cannot be read as the sweep read it.
"""


def make_sweep_report(
    folder: Path,
    keys: Sequence[str],
    jobs: Sequence[JobRecord],
    again: SlideJobs,
    engine: Engine,
    charts: Sequence[str] = (),
) -> tuple[Path | None, list[str]]:
    """Make ``report/index.html`` of a sweep.

    Parameters
    ----------
    folder
        The folder of the sweep, locked.
    keys
        The swept keys.
    jobs
        The jobs as ``sweep.csv`` has them.
    again
        Builds the jobs of slides again.
    engine
        Plans slides.
    charts
        The formats in which its charts are written as files.

    Returns
    -------
    tuple
        The page, or None if something is in its way; and a line for each problem.

    Raises
    ------
    ConfigError
        If the folder for unfinished files is a link.
    DestinationError
        If the report cannot be written.
    """
    own_folder(folder / PARTIAL)
    making = Making(folder)
    try:
        tiles = _Tiles(folder, jobs, making)
        making.files.remove(INDEX)  # until it is written again, it would not match the data
        with engine:
            for job in jobs:
                if tasks := tiles.tasks(job, again):
                    report_slides(tiles, tasks, engine)
        making.put()
        making.files.keep({PAGES, *tiles.owners})
        there = making.files.paths()
        views = {n for n in range(len(tiles.slides)) if _view_owner(n) in there}
        name, made = folder.resolve().name, now()
        content = sweep_content(name, keys, jobs, tiles.slides, tiles.missing, views, made)
        drawn = sweep_chart_files(keys, jobs, charts)
        pages = write_sweep_pages(making.folder, content, jobs, drawn)
        page = making.finish(pages, made)
        return page, [*tiles.problems, *making.files.problems]
    finally:
        clear(folder, keep_pieces=False)


class _Tiles:
    """Collects the files of kept tiles and pictures of a report.

    Parameters
    ----------
    folder
        The folder of the sweep.
    jobs
        Its jobs.
    making
        The report.

    Attributes
    ----------
    slides
        The slides of the sweep by their numbers.
    missing
        The reason why there is no file of the kept tiles, by job number and slide number.
    owners
        The owners of the files of the report.
    problems
        A line for each job or slide without tiles.
    """

    def __init__(self, folder: Path, jobs: Sequence[JobRecord], making: Making) -> None:
        self.slides = slide_ids(jobs)
        self.missing: dict[tuple[int, int], str] = {}
        self.owners: set[str] = set()
        self.problems: list[str] = []
        self._folder, self._making = folder, making
        self._at = {slide_id: n for n, slide_id in enumerate(self.slides)}

    def tasks(self, job: JobRecord, again: SlideJobs) -> list[KeptTask]:
        """Return the work on the slides of a job whose files are missing or out of date."""
        number = number_of(job)
        todo: list[tuple[int, int]] = []
        for line, row in enumerate(job.rows):
            slide_id, n = row["slide_id"], self._at[row["slide_id"]]
            if row["status"] not in DONE:
                continue
            owner, key = _tiles_owner(number, n), _key(slide_id, self._slide(job, slide_id) / NAME)
            self.owners |= {owner, _view_owner(n)}
            if not self._making.is_current(owner, key):
                todo.append((line, n))
        return list(self._tasks(job, todo, again)) if todo else []

    def _tasks(
        self, job: JobRecord, todo: Sequence[tuple[int, int]], again: SlideJobs
    ) -> Iterator[KeptTask]:
        number = number_of(job)
        try:
            jobs, unread = again(job)
        except TilerError as error:
            self._lack(job.name, {(number, n) for _, n in todo}, error.in_config())
            return
        for line, n in todo:
            slide_id = self.slides[n]
            record = read_record(self._slide(job, slide_id))
            if record is None or line in unread:
                why = unread.get(line, "its record is missing")
                self._lack(f"{job.name}: {slide_id}", {(number, n)}, why)
                continue
            view, source = _view_owner(n), digest(repr((code_digest(), record.source)).encode())
            with_view = not self._making.is_current(view, source)
            yield kept_task(jobs[line], self._making.folder, number, n, record, with_view)

    def took(self, task: Task, result: object) -> None:
        """Take the result of a task, or its error."""
        assert isinstance(task, KeptTask)
        place = task.number, task.n
        if not isinstance(result, KeptTiles):
            assert isinstance(result, TilerError)
            self._lack(f"job {task.number}", {place}, result.in_config())
            self._making.forget(_view_owner(task.n))  # another job may read the slide
            return
        self._making.add(_tiles_owner(*place), [result.tiles])
        if result.view:
            self._making.add(_view_owner(task.n), [result.view])

    def settle(self) -> None:
        """Do nothing: writing the list of the report takes too long for each job."""

    def _slide(self, job: JobRecord, slide_id: str) -> Path:
        return self._folder / job.name / SLIDES / slide_id

    def _lack(self, where: str, places: set[tuple[int, int]], why: str) -> None:
        """Record that slides have no tiles in the report, and why."""
        self.problems.append(f"{where}: no tiles: {why}")
        self.missing |= dict.fromkeys(places, why)
        self.owners -= {_tiles_owner(*place) for place in places}


def _tiles_owner(number: int, n: int) -> str:
    return f"tiles {number} {n}"


def _view_owner(n: int) -> str:
    return f"view {n}"


def _key(slide_id: str, record: Path) -> str:
    """Return a digest of what the tiles of a slide are made from; empty without a record."""
    try:
        data = read_regular(record, MAX_BYTES)
    except (FileNotFoundError, StoredError):
        return ""
    made_from = code_digest(), code_version(), slide_id, digest(data)
    return digest(repr(made_from).encode())
