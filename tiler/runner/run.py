"""A run: every slide ends complete and vouched for, or named with its reason."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tiler.checks.error_places import foreign_packages, raised_at
from tiler.errors import (
    ComponentError,
    ConfigError,
    DestinationError,
    ExitCode,
    OtherSettingsError,
    TilerError,
    worst,
)
from tiler.files import is_full, make_folder
from tiler.runner.budget import Budget, estimate, write_budget
from tiler.runner.engines.base import Engine
from tiler.runner.guard import refuse_folder
from tiler.runner.limits import NO_LIMITS, Limits
from tiler.runner.reporting.events import Events
from tiler.runner.reporting.log_file import log_kept
from tiler.runner.reporting.progress import Progress, progress
from tiler.runner.reporting.tables import write_run, write_slides
from tiler.runner.reporting.tracking import Tracking
from tiler.runner.schedule import Schedule
from tiler.runner.signals import Interrupted, interruptible
from tiler.runner.stock import Stock, take_stock
from tiler.runner.stopwatch import Stopwatch
from tiler.runner.store.lock import held
from tiler.runner.work.cached import cache_facts, prune_caches
from tiler.runner.work.folders import clear, make_room, new_work
from tiler.runner.work.job import SlideJob, SlideRow
from tiler.trackers import NoTracker

log = logging.getLogger("tiler")

_TABLE_EVERY_S = 5.0
_PRUNE_EVERY = 1000  # slides


@dataclass(frozen=True)
class Policy:
    """How a run treats what it finds in its folder.

    Attributes
    ----------
    verify
        How finished slides are checked: ``size``, ``hash`` or ``none``.
    on_change
        What happens to slides made with other settings: ``redo`` them, or ``refuse`` the run.
    """

    verify: str = "size"
    on_change: str = "redo"


@dataclass(frozen=True)
class RunResult:
    """What came of a run: a row per slide, and the exit code."""

    rows: tuple[SlideRow, ...]
    exit_code: int


def run(
    jobs: Sequence[SlideJob],
    out: Path,
    engine: Engine,
    facts: Mapping[str, Any],
    policy: Policy = Policy(),
    limits: Limits = NO_LIMITS,
    tracking: Tracking | None = None,
) -> RunResult:
    """Tile slides into ``out``, leaving alone what is done already.

    Parameters
    ----------
    jobs
        One per slide, ids unique.
    out
        The run's folder; created if need be.
    engine
        Does the work.
    facts
        What ``run.json`` is to say of the configuration.
    policy
        How to treat what is there.
    limits
        What it may write at most: looked at before anything is written.
    tracking
        Is told of every slide; nobody if None.

    Raises
    ------
    ConfigError
        When it would write more, or ``out`` holds sources or others' files under a run's names.
    DestinationError
        When ``out`` cannot be written: nothing more is tried.
    LockedError
        When another run uses it, or it was made with other settings and those are refused.
    """
    refuse_folder(jobs, out)
    with held(out), log_kept(out):
        return _Run(jobs, out, engine, facts, policy, Events(out), tracking).go(limits)


def dry_run(
    jobs: Sequence[SlideJob],
    out: Path,
    engine: Engine,
    facts: Mapping[str, Any],
    policy: Policy = Policy(),
    limits: Limits = NO_LIMITS,
    startup: float = 0.0,
) -> Budget:
    """Find out what ``run`` would write and how long it would take; write ``budget.json`` alone.

    Parameters
    ----------
    jobs, out, engine, facts, policy, limits
        As for ``run``; what it would refuse is refused here too.
    startup
        Seconds that the command took to get here, for the run will take them too.

    Raises
    ------
    ConfigError, DestinationError, LockedError
        As ``run`` does.
    """
    refuse_folder(jobs, out)
    with held(out):
        return _Run(jobs, out, engine, facts, policy, Events(None)).estimate(limits, startup)


def summary(rows: Sequence[SlideRow]) -> str:
    """Return the counts of a run in words: ``9 slides: 6 done (3 empty), 3 failed; 12,410 tiles``.

    Parameters
    ----------
    rows
        One per slide.
    """
    count = Counter(row.status for row in rows)
    empty = f" ({count['done_empty']:,} empty)" if count["done_empty"] else ""
    ended = [f"{count['done'] + count['done_empty']:,} done{empty}"]
    ended += [
        f"{count[status]:,} {status}" for status in ("failed", "interrupted") if count[status]
    ]
    tiles = sum(row.kept for row in rows)
    return f"{counted(len(rows), 'slide')}: {', '.join(ended)}; {counted(tiles, 'tile')}"


def counted(number: int, what: str) -> str:
    """Return a number with its noun: ``1 tile``, ``12,410 tiles``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


class _Run:
    """One run under its lock."""

    def __init__(
        self,
        jobs: Sequence[SlideJob],
        out: Path,
        engine: Engine,
        facts: Mapping[str, Any],
        policy: Policy,
        events: Events,
        tracking: Tracking | None = None,
    ) -> None:
        self._jobs, self._out, self._engine = jobs, out, engine
        self._facts, self._policy, self._events = facts, policy, events
        self._tracking = tracking or Tracking(NoTracker())
        self._earlier: frozenset[str] = frozenset()
        self._rows: dict[str, SlideRow] = {}
        self._reused = 0
        self._shared: Counter[str] = Counter()
        self._table_written = time.monotonic()
        self._begun = False

    def go(self, limits: Limits) -> RunResult:
        """Do what is not done, and report, also when the run is cut short."""
        code = 0
        try:
            with interruptible():
                stock = self._taken_stock()
                self._events.add("started", slides=len(self._jobs), todo=len(stock.todo))
                self._tile(stock, limits)
        except Interrupted as stop:
            code = stop.exit_code
            pending = len(self._jobs) - len(self._rows)
            log.warning(
                "interrupted; %d done, %d pending; re-run to resume (out=%s)",
                len(self._rows),
                pending,
                self._out,
            )
        except BaseException as error:
            if self._begun:
                self._report_failure(error)
            raise
        else:
            failed = {row.slide_id for row in self._rows.values() if row.status == "failed"}
            clear(self._out, keep_pieces=True, slides=failed)  # others are done
        return self._report(code)

    def estimate(self, limits: Limits, startup: float) -> Budget:
        """What ``go`` would cost."""
        try:
            with interruptible():
                stock, found = self._taken_stock(), Budget()
                if stock.redo:
                    log.warning("%s", stock.replaced)
                if stock.todo:
                    with Stopwatch(self._engine) as watch:
                        found = self._estimated(stock.todo, watch)
        except Interrupted as stop:
            return Budget(exit_code=stop.exit_code)
        budget = replace(found, seconds=startup + found.seconds)
        budget = budget.concluded(self._jobs, stock, limits)
        write_budget(self._out, self._facts, budget)
        return budget

    def _taken_stock(self) -> Stock:
        """What is in the folder, told to everybody."""
        stock = take_stock(self._jobs, self._out, self._policy.verify)
        changed = stock.changed
        if changed and self._policy.on_change == "refuse":
            raise OtherSettingsError(
                f"{self._out} was made with other settings ({changed[0]}"
                f"{f'; {len(changed)} slides in all' if len(changed) > 1 else ''}); use another"
                " out, or on_change=redo"
            )
        for slide_id, why in stock.redo.items():
            log.warning("slide=%s to be redone: %s", slide_id, why)
            self._events.add("redo", slide=slide_id, why=why)
        self._earlier = stock.earlier
        self._rows.update(stock.done)
        self._reused = len(stock.done)
        self._tracking.resumed(stock.done.values())
        if self._reused:
            log.info("%d of %d slides are done already", self._reused, len(self._jobs))
        return stock

    def _tile(self, stock: Stock, limits: Limits) -> None:
        refusal = limits.refusal_to_replace(stock.replaced.tiles, str(stock.replaced))
        if refusal:
            self._refuse(refusal)
        if stock.redo:
            log.warning("%s", stock.replaced)
            self._events.add("replaces", **vars(stock.replaced))
        if not stock.todo:
            if stock.left:
                self._begin()
                with progress(len(stock.left)) as bar:
                    self._end_slides(stock.left, bar)
            return
        with self._engine as engine:
            if limits.need_estimate:
                budget = self._estimated(stock.todo, Stopwatch(engine))
                if refusal := limits.refusal(budget.tiles, budget.bytes):
                    self._refuse(refusal)
            self._work(stock, engine)

    def _refuse(self, why: str) -> None:
        self._events.add("refused", why=why)
        raise ConfigError(why)

    def _estimated(self, todo: Sequence[SlideJob], watch: Stopwatch) -> Budget:
        """What slides would cost, found in a folder that goes."""
        work = new_work(self._out, "sample")
        try:
            return estimate(todo, watch, work.slide)
        finally:
            work.remove()

    def _work(self, stock: Stock, engine: Engine) -> None:
        self._begin()
        make_folder(self._out / "slides")
        with progress(len(stock.left) + len(stock.todo)) as bar:
            self._end_slides(stock.left, bar)
            schedule = Schedule(engine, self._out, bar, self._events, verify=self._policy.verify)
            self._shared = schedule.shared
            for row in schedule.rows(stock.todo):
                if schedule.began is not None:
                    self._tracking.working_since(schedule.began)
                self._end_slides((row,), bar)
                if len(self._rows) % _PRUNE_EVERY == 0:
                    prune_caches(self._jobs)
                if time.monotonic() - self._table_written > _TABLE_EVERY_S:
                    self._write_table()

    def _end_slides(self, rows: Iterable[SlideRow], bar: Progress) -> None:
        """Tell everybody of slides that have ended."""
        for row in rows:
            self._rows[row.slide_id] = row
            bar.slide(row)
            self._events.add("slide", **vars(row))
            self._tracking.slide(row)

    def _begin(self) -> None:
        """Replace the tables of an earlier run before its slides are touched."""
        write_run(self._out, {**self._facts, "reused": self._reused}, self._all_rows(), None)
        self._begun = True
        self._write_table()

    def _report_failure(self, error: BaseException) -> None:
        """Write the tables of a run that an error ends, as far as there is room for them."""
        code = error.exit_code if isinstance(error, TilerError) else ExitCode.BUG
        if raised_at(error, foreign_packages([self._engine])):
            code = ComponentError.exit_code
        what = error.in_config() if isinstance(error, TilerError) else str(error)
        self._facts = {**self._facts, "error": what}
        try:
            self._report(code)
        except DestinationError as full:
            if not is_full(full):
                return  # run.json still contains "running"
            for _ in make_room(self._out):
                with suppress(DestinationError):
                    self._report(code)
                    return

    def _report(self, code: int) -> RunResult:
        rows = self._write_table()
        code = worst([code, *(row.exit_code for row in rows)])
        prune_caches(self._jobs)
        cache = cache_facts(self._out, self._jobs, self._shared)
        write_run(self._out, {**self._facts, "reused": self._reused, "cache": cache}, rows, code)
        self._events.add("ended", exit_code=code)
        table, here = self._out / "slides.csv", Path.cwd()
        shown = table.relative_to(here) if table.is_relative_to(here) else table
        log.info("%s; see %s", summary(rows), shown)
        return RunResult(tuple(rows), code)

    def _write_table(self) -> list[SlideRow]:
        rows = self._all_rows()
        write_slides(self._out, rows, [job.columns for job in self._jobs])
        self._table_written = time.monotonic()
        return rows

    def _all_rows(self) -> list[SlideRow]:
        """The slides' rows in the order they were asked for; of those not done yet, too."""
        return [self._rows.get(job.slide_id) or self._pending_row(job) for job in self._jobs]

    def _pending_row(self, job: SlideJob) -> SlideRow:
        output = "earlier" if job.slide_id in self._earlier else ""
        return SlideRow(job.slide_id, "interrupted", "not done yet", path=job.given, output=output)
