"""The report of a run: data of its slides, made by tasks, and its pages, made at the end."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import tiler
from tiler.errors import TilerError
from tiler.files import digest
from tiler.report.assets import check_assets
from tiler.report.charts.figure import check_charts, check_formats
from tiler.report.charts.of_run import chart_files
from tiler.report.pages import check_templates, write_run_pages
from tiler.report.run.data import card_of, run_data
from tiler.report.run.rows import Row, typed_rows
from tiler.report.slide.picture_task import PictureTask, file_facts, pictured
from tiler.report.slide.recorded import Recorded
from tiler.report.slide.task import SlideReport, SlideReportTask
from tiler.runner.products.listed import SLIDES, Written
from tiler.runner.products.report_files import INDEX, PAGES, ReportFiles
from tiler.runner.reporting.tables import table_key
from tiler.runner.store.record import Record
from tiler.runner.store.record_file import read_record
from tiler.runner.work.folders import Work, new_work
from tiler.runner.work.job import SlideJob
from tiler.runner.work.tasks import Task
from tiler.storage.destinations import inside
from tiler.storage.safe_text import shown

log = logging.getLogger("tiler")


@dataclass(frozen=True)
class HtmlReport:
    """Make ``report/index.html`` of a run.

    Parameters
    ----------
    charts
        The formats in which its charts are written as files: any of ``svg`` and ``png``.

    Raises
    ------
    ConfigError
        If a format is unknown.
    """

    charts: Sequence[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_formats(self.charts)

    def check(self, out: Path) -> None:
        """Refuse a folder in which the report cannot be made: see ``RunReport``."""
        check_assets()
        check_templates()
        check_charts(self.charts)
        ReportFiles(out).check()

    def begin(self, jobs: Sequence[SlideJob], out: Path) -> HtmlPages:
        """Begin the report of a run."""
        return HtmlPages(jobs, out, self.charts)


class HtmlPages:
    """The report of one run: see ``Pages``.

    Parameters
    ----------
    jobs, out
        The run's slides and folder.
    charts
        The formats of charts.
    unread
        The reason why a slide cannot be read at all, by its number.
    """

    def __init__(
        self,
        jobs: Sequence[SlideJob],
        out: Path,
        charts: Sequence[str] = (),
        unread: Mapping[int, str] | None = None,
    ) -> None:
        self._jobs, self._out, self._charts = jobs, out, charts
        self._files = ReportFiles(out)
        self._without = dict(unread or {})
        self._waiting: dict[str, tuple[Mapping[str, Written], str]] = {}
        self._keys: dict[int, str] = {}
        self._work: Work | None = None

    @property
    def problems(self) -> Sequence[str]:
        """A line for each file whose place is taken by something else."""
        return self._files.problems

    @property
    def without(self) -> Mapping[int, str]:
        """Return why slides have no data, by their numbers."""
        return self._without

    def tasks(self, table: bytes) -> Sequence[Task]:
        """Return the work on slides whose data are missing or out of date."""
        there = self._files.keys()
        tasks: list[Task] = []
        for n, (job, row) in enumerate(zip(self._jobs, typed_rows(table), strict=True)):
            own = {name: value for name, value in row.items() if name != "seconds"}
            if row.get("output") != "current":
                self._keys[n] = key_of(job, n, {**own, **file_facts(job.path)}, None)
                known = there.get(_owner(n), "").partition(" ")[0] == self._keys[n]
                if pictured(row) and not known and n not in self._without:
                    tasks.append(PictureTask(job, self._folder(), n))
                continue
            record = read_record(inside(self._out / SLIDES, job.slide_id))
            self._keys[n] = key_of(job, n, own, record)
            if there.get(_owner(n), "").partition(" ")[0] == self._keys[n]:
                self._without.pop(n, None)  # its data are up to date
            elif n not in self._without:
                folder = self._folder()
                recorded = Recorded.of(record) if record else None
                tasks.append(SlideReportTask(job, folder, n, own, recorded))
        if tasks:
            self._files.remove(INDEX)  # until it is written again, it would not match the data
        return tasks

    def took(self, task: Task, result: object) -> None:
        """Keep the files of a slide, or the reason why it has none."""
        assert isinstance(task, SlideReportTask | PictureTask)
        n, slide_id = task.n, task.job.slide_id
        if isinstance(result, SlideReport):
            files = {file.name: Written(file.size, file.sha256) for file in result.files}
            problems = [*map(shown, result.problems)]
            card = {
                "doubt": shown(result.doubt),
                "stale": shown(result.stale),
                "problems": problems,
            }
            self._waiting[_owner(n)] = files, f"{self._keys[n]} {json.dumps(card)}"
            for problem in result.problems:
                log.warning("report: slide=%s: %s", slide_id, problem)
        elif isinstance(task, PictureTask):
            self._waiting[_owner(n)] = {}, ""  # the page has the reason why it failed
        else:
            assert isinstance(result, TilerError)
            self._without[n] = shown(result.in_config())
            self._waiting[_owner(n)] = {}, ""
            log.warning("report: slide=%s has no page: %s", slide_id, self._without[n])
        if self._files.is_due():
            self._put()

    def settle(self) -> None:
        """Put the files that the tasks made into place."""
        self._put()
        self._files.write_list()
        if self._work:
            self._work.remove()
            self._work = None

    def _put(self) -> None:
        if self._waiting:
            self._files.put(self._waiting, self._folder())
            self._waiting = {}

    def write(self, table: bytes, run: Mapping[str, Any]) -> Path | None:
        """Write the pages; None if something is in the way of the first one."""
        rows = typed_rows(table)
        current = {n for n, row in enumerate(rows) if row.get("output") == "current"}
        current -= self._without.keys()
        self._files.remove(INDEX)
        cards_alone = {n for n, row in enumerate(rows) if n not in current and pictured(row)}
        self._files.keep({PAGES, *map(_owner, current | cards_alone)})
        paths, keys = self._files.paths(), self._files.keys()
        cards = [
            card_of(paths.get(owner, []), keys.get(owner, ""), self._without.get(n, ""))
            for n, owner in enumerate(map(_owner, range(len(rows))))
        ]
        data = run_data(self._jobs, rows, cards, run, self._out.resolve().name)
        folder = self._folder()
        bins = [self._files.folder / path for n in sorted(current)
                for path in paths.get(_owner(n), []) if path.startswith("bins/")]  # fmt: skip
        charts = chart_files(data, bins, self._charts)
        stale = sum(bool(card.stale) for card in cards)
        pages = write_run_pages(folder, data, rows, stale, charts)
        index = {INDEX: pages.pop(INDEX)}
        self._files.put({PAGES: (pages, "")}, folder)
        self._files.put({INDEX: (index, table_key(table))}, folder)
        self.settle()
        for line in self.problems:
            log.error("report: %s", line)
        return self._files.folder / INDEX if INDEX in self._files.paths() else None

    def _folder(self) -> Path:
        """Return the folder for unfinished files."""
        if self._work is None:
            self._work = new_work(self._out, "report")
        return self._work.slide


def _owner(n: int) -> str:
    return f"{n:06d}"


@cache
def code_digest() -> str:
    """Return a digest of the code that makes reports."""
    total = sha256(tiler.__version__.encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()


def key_of(job: SlideJob, n: int, row: Row, record: Record | None) -> str:
    """Return a digest of everything that a slide's part of the report is made from."""
    made_from = [code_digest(), job.tiler_code, n, dict(row), record and _facts(record)]
    made_from += job.from_table
    text = json.dumps(made_from, sort_keys=True, default=str)
    return digest(text.encode(errors="surrogatepass"))


def _facts(record: Record) -> list[Any]:
    parts = record.source, record.mask, record.counts, [*record.dropped]
    return [dict(record.settings), dict(record.inputs), dict(record.code), *map(repr, parts)]
