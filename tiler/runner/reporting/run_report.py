"""Protocol that a run's report implements, and the work on it that an engine does."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tiler.errors import DestinationError, EnvironmentRefusedError
from tiler.runner.engines.base import Engine
from tiler.runner.reporting.progress import counted_slides
from tiler.runner.work.job import SlideJob
from tiler.runner.work.tasks import Task


class TakesResults(Protocol):
    """Uses the results of a report's tasks."""

    def took(self, task: Task, result: object) -> None:
        """Use the result of a task, or its error."""

    def settle(self) -> None:
        """Put the files of the tasks into place; called after the last one."""


class Pages(TakesResults, Protocol):
    """The report of one run while it is being made."""

    @property
    def problems(self) -> Sequence[str]:
        """A line for each page or slide that has no report, or a part of it."""

    def tasks(self, table: bytes) -> Sequence[Task]:
        """Return the work on slides whose data are missing or out of date.

        Parameters
        ----------
        table
            ``slides.csv`` as it would be now.
        """

    def write(self, table: bytes, run: Mapping[str, Any]) -> Path | None:
        """Write the pages and return the first one; None if it could not be written.

        Parameters
        ----------
        table, run
            The contents of ``slides.csv`` and ``run.json`` at the end of the run.
        """


class RunReport(Protocol):
    """Makes reports of runs: an option of the group ``report``."""

    def check(self, out: Path) -> None:
        """Refuse a folder in which the report cannot be made, before anything is written.

        Raises
        ------
        ConfigError
            With one line that says what to do.
        """

    def begin(self, jobs: Sequence[SlideJob], out: Path) -> Pages:
        """Begin the report of a run."""


def report_slides(pages: TakesResults, tasks: Sequence[Task], engine: Engine) -> None:
    """Do the tasks of a report. An error of one of them affects only the report.

    Raises
    ------
    DestinationError, EnvironmentRefusedError
        If no other task could be done either.
    """
    waiting, under_way = deque(tasks), 0
    with counted_slides(len(tasks), "report") as count:
        while waiting or under_way:
            while waiting and under_way < engine.slots:
                engine.submit(waiting.popleft())
                under_way += 1
            task, result = engine.next()
            under_way -= 1
            if isinstance(result, DestinationError | EnvironmentRefusedError):
                raise result
            pages.took(task, result)
            count()
    pages.settle()
