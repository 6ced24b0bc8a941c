"""Run: each slide ends complete and recorded, or failed with a reason."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiler.errors import ConfigError, OtherSettingsError
from tiler.runner.engines.base import Engine
from tiler.runner.guard import refuse_folder
from tiler.runner.ledger import Ledger, RunResult
from tiler.runner.limits import NO_LIMITS, Limits
from tiler.runner.products.collecting import refuse_products
from tiler.runner.reporting.events import Events
from tiler.runner.reporting.log_file import log_kept
from tiler.runner.reporting.progress import progress
from tiler.runner.reporting.run_report import Pages, RunReport, report_slides
from tiler.runner.reporting.tracking import Tracking
from tiler.runner.schedule import Schedule
from tiler.runner.signals import Interrupted, interruptible
from tiler.runner.stock import DEFAULT_POLICY, Policy, Stock, take_stock
from tiler.runner.store.lock import held
from tiler.runner.work.folders import clear, new_work
from tiler.runner.work.job import SlideJob
from tiler.storage.destinations import make_folder
from tiler.trackers import NoTracker

if TYPE_CHECKING:
    from tiler.runner.budget import Budget
    from tiler.runner.stopwatch import Stopwatch

log = logging.getLogger("tiler")


def run(
    jobs: Sequence[SlideJob],
    out: Path,
    engine: Engine,
    facts: Mapping[str, Any],
    policy: Policy = DEFAULT_POLICY,
    limits: Limits = NO_LIMITS,
    tracking: AbstractContextManager[Tracking] | None = None,
    report: RunReport | None = None,
) -> RunResult:
    """Tile slides into ``out``; slides that are done already stay as they are.

    Parameters
    ----------
    jobs, out
        A job per slide, with unique ids; the run's folder, created if it is missing.
    engine, facts
        The engine that does the work; the facts about the configuration for ``run.json``.
    policy
        The policy for output that is already there.
    limits
        The limits of the run's output; they are checked before anything is written.
    tracking, report
        See ``tracked``, which begins when the folder has been checked, and ``RunReport``; or None.

    Raises
    ------
    ConfigError
        If it would write more, or ``out`` contains sources, or files of others with a run's names.
    DestinationError
        If ``out`` cannot be written; the run stops.
    LockedError
        If another run uses it, or it was made with other settings and ``on_change`` is ``refuse``.
    """
    refuse_folder(jobs, out)
    refuse_products(jobs, out)
    if report:
        report.check(out)
    with tracking or nullcontext(Tracking(NoTracker())) as tracked, held(out), log_kept(out):
        pages = report.begin(jobs, out) if report else None
        result = _Run(jobs, out, engine, facts, policy, Events(out), tracked, pages).go(limits)
        tracked.exit_code = result.exit_code
        return result


def dry_run(
    jobs: Sequence[SlideJob],
    out: Path,
    engine: Engine,
    facts: Mapping[str, Any],
    policy: Policy = DEFAULT_POLICY,
    limits: Limits = NO_LIMITS,
    startup: float = 0.0,
) -> Budget:
    """Predict what ``run`` would write and how long it would take; write only ``budget.json``.

    Parameters
    ----------
    jobs, out, engine, facts, policy, limits
        The same as for ``run``; the same refusals apply.
    startup
        Seconds of start-up, which a run takes too.

    Raises
    ------
    ConfigError, DestinationError, LockedError
        In the same cases as ``run``.
    """
    refuse_folder(jobs, out)
    refuse_products(jobs, out)
    with held(out):
        run = _Run(jobs, out, engine, facts, policy, Events(None), Tracking(NoTracker()))
        return run.estimate(limits, startup)


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
        tracking: Tracking,
        pages: Pages | None = None,
    ) -> None:
        self._jobs, self._out, self._engine = jobs, out, engine
        self._facts, self._policy, self._events = facts, policy, events
        self._tracking, self._pages = tracking, pages
        self._ledger = Ledger(jobs, out, facts, events, tracking)

    def go(self, limits: Limits) -> RunResult:
        """Do the slides that are not done, and write the tables, also after an interruption."""
        code = 0
        try:
            with interruptible():
                stock = self._taken_stock()
                self._events.add("started", slides=len(self._jobs), todo=len(stock.todo))
                self._tile(stock, limits)
                self._ledger.make_products(self._policy.verify)
        except Interrupted as stop:
            code = stop.exit_code
            done = len(self._ledger.rows)
            counts = f"{done} done, {len(self._jobs) - done} pending"
            log.warning("interrupted; %s; re-run to resume (out=%s)", counts, self._out)
        except BaseException as error:
            if self._ledger.begun:
                self._ledger.close_failed(error, self._engine)
            raise
        else:
            failed = {row.slide_id for row in self._ledger.rows.values() if row.status == "failed"}
            clear(self._out, keep_pieces=True, slides=failed)  # the other slides are done
        try:
            return self._ledger.close(code, None if code else self._pages)
        except Exception as error:
            self._ledger.close_failed(error, self._engine)
            raise

    def estimate(self, limits: Limits, startup: float) -> Budget:
        """Predict the cost of ``go``."""
        from tiler.runner.budget import Budget, write_budget
        from tiler.runner.stopwatch import Stopwatch

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
        """Compare the folder with the jobs, and log which slides are done or redone."""
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
        self._ledger.take(stock)
        if stock.done:
            log.info("%d of %d slides are done already", len(stock.done), len(self._jobs))
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
                self._ledger.begin()
                with progress(len(stock.left)) as bar:
                    self._ledger.add(stock.left, bar)
            if self._pages and (tasks := self._pages.tasks(self._ledger.table())):
                with self._engine as engine:
                    report_slides(self._pages, tasks, engine)
            return
        with self._engine as engine:
            if limits.need_estimate:
                from tiler.runner.stopwatch import Stopwatch

                budget = self._estimated(stock.todo, Stopwatch(engine))
                if refusal := limits.refusal(budget.tiles, budget.bytes):
                    self._refuse(refusal)
            self._work(stock, engine)
            if self._pages:
                report_slides(self._pages, self._pages.tasks(self._ledger.table()), engine)

    def _refuse(self, why: str) -> None:
        self._events.add("refused", why=why)
        raise ConfigError(why)

    def _estimated(self, todo: Sequence[SlideJob], watch: Stopwatch) -> Budget:
        """Predict the cost of slides, in a temporary folder."""
        from tiler.runner.budget import estimate

        work = new_work(self._out, "sample")
        try:
            return estimate(todo, watch, work.slide)
        finally:
            work.remove()

    def _work(self, stock: Stock, engine: Engine) -> None:
        self._ledger.begin()
        make_folder(self._out / "slides")
        with progress(len(stock.left) + len(stock.todo)) as bar:
            self._ledger.add(stock.left, bar)
            schedule = Schedule(engine, self._out, bar, self._events, verify=self._policy.verify)
            self._ledger.shared = schedule.shared
            for row in schedule.rows(stock.todo):
                if schedule.began is not None:
                    self._tracking.working_since(schedule.began)
                self._ledger.add((row,), bar)
                self._ledger.keep_up()
