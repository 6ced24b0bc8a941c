"""The report of a run: data of its slides, made by tasks, and its pages, made at the end."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
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
from tiler.report.files import Making
from tiler.report.pages import check_templates, write_run_pages
from tiler.report.run.data import Card, card_of, listed_facts, run_data
from tiler.report.run.rows import Row, typed_rows
from tiler.report.slide.picture_task import PictureTask, file_facts, pictured
from tiler.report.slide.recorded import Recorded
from tiler.report.slide.task import SlideReport, SlideReportTask
from tiler.runner.products.listed import SLIDES
from tiler.runner.products.report_files import INDEX, PAGES, ReportFiles
from tiler.runner.reporting.tables import table_key
from tiler.runner.store.record import Record
from tiler.runner.store.record_file import read_record
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
        self._making = Making(out)
        self._without = dict(unread or {})

    @property
    def problems(self) -> Sequence[str]:
        """A line for each file whose place is taken by something else."""
        return self._making.files.problems

    @property
    def without(self) -> Mapping[int, str]:
        """Return why slides have no data, by their numbers."""
        return self._without

    def tasks(self, table: bytes) -> Sequence[Task]:
        """Return the work on slides whose data are missing or out of date."""
        rows = enumerate(zip(self._jobs, typed_rows(table), strict=True))
        tasks = [task for n, (job, row) in rows if (task := self._task(n, job, row))]
        if tasks:
            self._making.files.remove(INDEX)  # until written again, it does not match the data
        return tasks

    def _task(self, n: int, job: SlideJob, row: Row) -> Task | None:
        """Return the work on a slide, if there is any."""
        own = {name: value for name, value in row.items() if name != "seconds"}
        if row.get("output") != "current":
            key = key_of(job, n, {**own, **file_facts(job.path)}, None)
            if self._making.is_current(_owner(n), key) or n in self._without or not pictured(row):
                return None
            return PictureTask(job, self._making.folder, n)
        record = read_record(inside(self._out / SLIDES, job.slide_id))
        if self._making.is_current(_owner(n), key_of(job, n, own, record)):
            self._without.pop(n, None)  # its data are up to date
            return None
        if n in self._without:
            return None
        recorded = Recorded.of(record) if record else None
        return SlideReportTask(job, self._making.folder, n, own, recorded)

    def took(self, task: Task, result: object) -> None:
        """Keep the files of a slide, or the reason why it has none."""
        assert isinstance(task, SlideReportTask | PictureTask)
        n, slide_id = task.n, task.job.slide_id
        if isinstance(result, SlideReport):
            facts = listed_facts(result.doubt, result.stale, result.problems)
            self._making.add(_owner(n), result.files, facts)
            for problem in result.problems:
                log.warning("report: slide=%s: %s", slide_id, problem)
            return
        self._making.drop(_owner(n))
        if isinstance(task, SlideReportTask):  # else the page has the reason why the slide failed
            assert isinstance(result, TilerError)
            self._without[n] = shown(result.in_config())
            log.warning("report: slide=%s has no page: %s", slide_id, self._without[n])

    def settle(self) -> None:
        """Put the files that the tasks made into place."""
        self._making.settle()

    def write(self, table: bytes, run: Mapping[str, Any]) -> Path | None:
        """Write the pages; None if something is in the way of the first one."""
        rows, files = typed_rows(table), self._making.files
        tiled = {n for n, row in enumerate(rows) if row.get("output") == "current"}
        current = tiled - self._without.keys()
        cards_alone = {n for n, row in enumerate(rows) if n not in current and pictured(row)}
        files.remove(INDEX)
        files.keep({PAGES, *map(_owner, current | cards_alone)})
        cards = self._cards(len(rows))
        data = run_data(self._jobs, rows, cards, run, self._out.resolve().name)
        charts = chart_files(data, self._bins(current), self._charts)
        stale = sum(bool(card.stale) for card in cards)
        pages = write_run_pages(self._making.folder, data, rows, stale, charts)
        page = self._making.finish(pages, table_key(table))
        for line in self.problems:
            log.error("report: %s", line)
        return page

    def _cards(self, count: int) -> list[Card]:
        """Return the cards of the first slides."""
        paths, keys = self._making.files.paths(), self._making.files.keys()
        return [
            card_of(paths.get(owner, []), keys.get(owner, ""), self._without.get(n, ""))
            for n, owner in enumerate(map(_owner, range(count)))
        ]

    def _bins(self, slides: Iterable[int]) -> list[Path]:
        """Return the files with the histograms of slides."""
        folder, paths = self._making.files.folder, self._making.files.paths()
        own = (path for n in sorted(slides) for path in paths.get(_owner(n), []))
        return [folder / path for path in own if path.startswith("bins/")]


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
