"""Send a run's numbers to its tracker; a failure of the tracker is logged, and fails no slide."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tiler.checks.error_places import foreign_packages, raised_at
from tiler.errors import STOPPED
from tiler.protocols import RunStatus, Tracker
from tiler.runner.products.listed import REPORT
from tiler.runner.products.report_files import INDEX
from tiler.runner.work.job import SlideRow

log = logging.getLogger("tiler")

_CHARTS = (".svg", ".png")

_T = TypeVar("_T")


class Guarded:
    """Tracker wrapper that reports the first failure; after it only ``end`` is called."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._started = self._failed = False

    def start(self, name: str, parameters: Mapping[str, str], parent: str | None) -> str:
        """Begin a run and return its id; empty if that failed."""
        run_id = self._tried(lambda: self._tracker.start(name, parameters, parent))
        self._started = not self._failed
        return run_id or ""

    def step(self, number: int, metrics: Mapping[str, float]) -> None:
        """Send the numbers so far."""
        if self._started and not self._failed:
            self._tried(lambda: self._tracker.step(number, metrics))

    def end(
        self, status: RunStatus, metrics: Mapping[str, float], files: Mapping[str, Path]
    ) -> None:
        """Send the last numbers and the files that exist."""
        there = {name: path for name, path in files.items() if path.is_file()}
        if self._started:
            self._tried(lambda: self._tracker.end(status, metrics, there))

    def _tried(self, call: Callable[[], _T]) -> _T | None:
        try:
            return call()
        except Exception as error:  # libraries, servers and disks may fail; no slide may
            if not self._failed:
                what = self._placed(error)
                log.warning("tracker: %s; tracking is incomplete, the run goes on", what)
            self._failed = True
            return None

    def _placed(self, error: BaseException) -> str:
        """Describe an error in one line, with its place in a user's tracker."""
        place = raised_at(error, foreign_packages([self._tracker]))
        return f"{_said(error)} ({place})" if place else _said(error)


def _said(error: BaseException) -> str:
    """Describe an error in one line, with its root cause."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    line = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return line if root is error else f"{line} ({type(root).__name__}: {root})"


class Tracking:
    """Counts of a run for its tracker, one step per slide.

    Attributes
    ----------
    exit_code
        The run's exit code; None until it has ended.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.exit_code: int | None = None
        self._tracker = Guarded(tracker)
        self._began = time.monotonic()
        self._totals = Counter[str](slides=0, tiles=0, failures=0)
        self._tissue: float | None = None
        self._covered = 0.0  # tiles, each counted by its coverage
        self._made = 0

    def start(self, name: str, parameters: Mapping[str, str], parent: str | None) -> None:
        """Begin the run."""
        self._tracker.start(name, parameters, parent)
        self._began = time.monotonic()

    def working_since(self, moment: float) -> None:
        """Count seconds from the moment that work on the first slide began, without start-up."""
        self._began = moment

    def resumed(self, rows: Iterable[SlideRow]) -> None:
        """Count slides that were done already."""
        for row in rows:
            self._count(row)

    def slide(self, row: SlideRow) -> None:
        """Count a slide that has just ended, and send the numbers so far."""
        self._count(row)
        self._made += row.kept
        self._tracker.step(self._totals["slides"], self.metrics())

    def end(self, files: Mapping[str, Path]) -> None:
        """End the run with the status of its exit code; without one it failed."""
        self._tracker.end(status_of(self.exit_code), self.metrics(), files)

    def metrics(self) -> dict[str, float]:
        """Return the numbers so far; tiles per second exclude slides that were done before."""
        seconds = time.monotonic() - self._began
        tissue = {} if self._tissue is None else {"tissue_mm2": self._tissue}
        tiles = self._totals["tiles"]
        coverage = {"coverage": self._covered / tiles} if tiles else {}
        rate = self._made / seconds if seconds else 0.0
        return {**self._totals, **tissue, **coverage, "seconds": seconds, "tiles_per_s": rate}

    def _count(self, row: SlideRow) -> None:
        self._totals.update(slides=1, tiles=row.kept, failures=int(row.status == "failed"))
        self._covered += row.kept * (row.coverage or 0.0)
        if row.tissue_mm2 is not None:  # unknown if the slide's mpp is
            self._tissue = (self._tissue or 0.0) + row.tissue_mm2


@contextmanager
def tracked(
    tracker: Tracker, name: str, parameters: Mapping[str, str], parent: str | None, out: Path
) -> Iterator[Tracking]:
    """Track the run in the block, which sets the exit code.

    Parameters
    ----------
    tracker
        The tracker.
    name, parameters, parent
        See ``Tracker.start``.
    out
        The run's folder; its tables and pictures are sent.
    """
    tracking = Tracking(tracker)
    tracking.start(name, parameters, parent)
    try:
        yield tracking
    finally:
        # A run without exit code may have been refused because another one uses the folder.
        tracking.end({} if tracking.exit_code is None else artifacts(out))


def artifacts(out: Path) -> dict[str, Path]:
    """Return the tables and pictures of a run, by their names in its folder."""
    pictures = sorted(out.glob("slides/*/*_overview.jpg"))
    paths = [out / "run.json", out / "slides.csv", *pictures]
    return {path.relative_to(out).as_posix(): path for path in paths} | charts_of(out)


def charts_of(out: Path) -> dict[str, Path]:
    """Return the charts of a folder's report; none if the report is about other results.

    A run that changes slides withdraws the page, and a report is finished by writing it.
    """
    folder = out / REPORT
    if folder.is_symlink() or not (folder / INDEX).is_file():
        return {}
    paths = sorted(folder.glob("charts/*"))
    return {f"{REPORT}/charts/{path.name}": path for path in paths if path.suffix in _CHARTS}


def status_of(exit_code: int | None) -> RunStatus:
    """Return the tracker's status for an exit code."""
    if exit_code in STOPPED:
        return "killed"
    return "finished" if exit_code == 0 else "failed"
