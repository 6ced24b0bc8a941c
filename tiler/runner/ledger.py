"""The rows of a run while it works, and the tables that it writes of them."""

from __future__ import annotations

import logging
import shlex
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiler.checks.error_places import foreign_packages, raised_at
from tiler.errors import ComponentError, DestinationError, ExitCode, TilerError, worst
from tiler.files import write_whole
from tiler.runner.engines.base import Engine
from tiler.runner.products.collecting import Products, has_products
from tiler.runner.products.report_files import withdraw_page
from tiler.runner.reporting.events import Events
from tiler.runner.reporting.progress import Progress
from tiler.runner.reporting.run_report import Pages
from tiler.runner.reporting.tables import slides_table, table_key, write_run
from tiler.runner.reporting.tracking import Tracking
from tiler.runner.signals import Interrupted, interruptible
from tiler.runner.stock import Stock
from tiler.runner.store.cache_folder import cache_facts, prune_caches
from tiler.runner.work.folders import make_room
from tiler.runner.work.job import SlideJob, SlideRow
from tiler.storage.destinations import inside, is_full

log = logging.getLogger("tiler")

_TABLE_EVERY_S = 5.0
_PRUNE_EVERY = 1000  # slides


@dataclass(frozen=True)
class RunResult:
    """The result of a run: a row per slide, and the exit code."""

    rows: tuple[SlideRow, ...]
    exit_code: int


class Ledger:
    """Collect the rows of a run and write its tables.

    Parameters
    ----------
    jobs, out
        The run's slides and folder.
    facts
        The facts about the configuration for ``run.json``.
    events, tracking
        Events and tracker, which receive each row.

    Attributes
    ----------
    rows
        The rows of slides that have ended, by slide id.
    shared
        The counts of masks and grids, as in ``Schedule.shared``.
    begun
        Whether the tables in the folder are those of this run.
    """

    def __init__(
        self,
        jobs: Sequence[SlideJob],
        out: Path,
        facts: Mapping[str, Any],
        events: Events,
        tracking: Tracking,
    ) -> None:
        self._jobs, self._out, self._facts = jobs, out, facts
        self._events, self._tracking = events, tracking
        self._earlier: frozenset[str] = frozenset()
        self._redo: Mapping[str, Sequence[str]] = {}
        self._reused = 0
        self._table_written = time.monotonic()
        self.rows: dict[str, SlideRow] = {}
        self.shared: Counter[str] = Counter()
        self.begun = False
        self._products = Products()

    def take(self, stock: Stock) -> None:
        """Enter the slides that are done already."""
        self._earlier = stock.earlier
        self._redo = {job.slide_id: job.kept for job in stock.todo if job.slide_id in stock.redo}
        self._reused = len(stock.done)
        self.rows.update(stock.done)
        self._tracking.resumed(stock.done.values())

    def begin(self) -> None:
        """Replace the tables of an earlier run, and remove products of slides to be redone."""
        withdraw_page(self._out)  # first: it is about the tables that are replaced
        write_run(self._out, {**self._facts, "reused": self._reused}, self._all_rows(), None)
        self.begun = True
        self._write_table(self.table())
        if self._redo and has_products(self._jobs, self._out):
            from tiler.runner.products.make import withdraw

            withdraw(self._out, self._redo)

    def add(self, rows: Iterable[SlideRow], bar: Progress) -> None:
        """Enter the rows of slides that have ended, and report them."""
        for row in rows:
            self.rows[row.slide_id] = row
            bar.slide(row)
            self._events.add("slide", **vars(row))
            self._tracking.slide(row)

    def keep_up(self) -> None:
        """Write the table and shrink the caches from time to time."""
        if len(self.rows) % _PRUNE_EVERY == 0:
            prune_caches(self._jobs)
        if time.monotonic() - self._table_written > _TABLE_EVERY_S:
            self._write_table(self.table())

    def close_failed(self, error: BaseException, engine: Engine) -> None:
        """Write the tables of a run that an error ends, as far as there is room for them."""
        code = error.exit_code if isinstance(error, TilerError) else ExitCode.BUG
        if raised_at(error, foreign_packages([engine])):
            code = ComponentError.exit_code
        text = error.in_config() if isinstance(error, TilerError) else str(error)
        self._facts = {**self._facts, "error": text}
        try:
            self.close(code)
        except DestinationError as full:
            if not is_full(full):
                return  # run.json still contains "running"
            for _ in make_room(self._out):
                with suppress(DestinationError):
                    self.close(code)
                    return

    def close(self, code: int, pages: Pages | None = None) -> RunResult:
        """Write the final tables, and the pages of a report.

        Parameters
        ----------
        code
            The exit code as far as slides do not decide it.
        pages
            The report; None if there is none, or the run did not get that far.
        """
        rows, table = self._all_rows(), self.table()
        withdraw_page(self._out, table_key(table))
        self._write_table(table)
        code = worst([code, self._products.exit_code, *(row.exit_code for row in rows)])
        prune_caches(self._jobs)
        cache = cache_facts(self._out, self._jobs, self.shared)
        facts = {**self._facts, "reused": self._reused, "cache": cache}
        run = write_run(self._out, facts, rows, code)
        page, of_pages = self._page(pages, table, run) if pages else (None, 0)
        if (whole := worst([code, of_pages])) != code:
            code = whole
            write_run(self._out, facts, rows, code)
        self._events.add("ended", exit_code=code)
        log.info("%s; report: %s", summary(rows), where_report(page, self._out))
        return RunResult(tuple(rows), code)

    def _page(self, pages: Pages, table: bytes, run: Mapping[str, Any]) -> tuple[Path | None, int]:
        """Write the pages of a report; return the first one, and the exit code of doing so.

        A page that is not about the end that the run then has is removed.
        """
        try:
            with interruptible():
                page = pages.write(table, run)
        except (Exception, Interrupted) as error:
            with suppress(DestinationError):
                withdraw_page(self._out)
            if isinstance(error, Interrupted):
                return None, error.exit_code
            raise
        return page, ExitCode.SLIDE_FAILED if pages.problems else 0

    def make_products(self, verify: str) -> None:
        """Make the products of the run; ``verify`` as in ``Policy``."""
        if not has_products(self._jobs, self._out):
            return
        from tiler.runner.products.make import make_products

        found = self._products = make_products(self._jobs, self.rows, self._out, verify)
        if found != Products():
            made = {"links": found.links, "files": found.files, "missing": len(found.problems)}
            self._facts = {**self._facts, "products": made}
            self._events.add("products", **made, problems=list(found.problems))

    def table(self) -> bytes:
        """Return ``slides.csv`` as it is now."""
        return slides_table(self._all_rows(), [job.columns for job in self._jobs])

    def _write_table(self, data: bytes) -> None:
        write_whole(inside(self._out, "slides.csv"), data)
        self._table_written = time.monotonic()

    def _all_rows(self) -> list[SlideRow]:
        """Return the rows of all slides in the order of the jobs, including those not done yet."""
        return [self.rows.get(job.slide_id) or self._pending_row(job) for job in self._jobs]

    def _pending_row(self, job: SlideJob) -> SlideRow:
        output = "earlier" if job.slide_id in self._earlier else ""
        return SlideRow(job.slide_id, "interrupted", "not done yet", path=job.given, output=output)


def summary(rows: Sequence[SlideRow]) -> str:
    """Return the counts of a run in words: ``9 slides: 6 done (3 empty), 3 failed; 12,410 tiles``.

    Parameters
    ----------
    rows
        The rows, one per slide.
    """
    count = Counter(row.status for row in rows)
    empty = f" ({count['done_empty']:,} empty)" if count["done_empty"] else ""
    ended = [f"{count['done'] + count['done_empty']:,} done{empty}"]
    ended += [
        f"{count[status]:,} {status}" for status in ("failed", "interrupted") if count[status]
    ]
    tiles = sum(row.kept for row in rows)
    return f"{counted(len(rows), 'slide')}: {', '.join(ended)}; {counted(tiles, 'tile')}"


def where_report(page: Path | None, out: Path) -> str:
    """Return the path of a report's page, or the command that makes one."""
    place, here = page or out, Path.cwd()
    shown = str(place.relative_to(here) if place.is_relative_to(here) else place)
    return shown if page else f"tiler-report {shlex.quote(shown)}"


def counted(number: int, what: str) -> str:
    """Return a number with its noun: ``1 tile``, ``12,410 tiles``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
