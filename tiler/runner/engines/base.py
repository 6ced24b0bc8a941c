"""Protocol that engines implement."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from tiler.runner.work.tasks import Task


class Engine(Protocol):
    """Does tasks, one or many at a time.

    It is a context manager: entering starts its workers, leaving ends them at once, even if they
    work on tasks.
    """

    @property
    def slots(self) -> int:
        """Return the number of tasks to submit ahead, so that no worker waits."""

    @property
    def at_once(self) -> int:
        """Return the number of tasks that run at the same time."""

    def submit(self, task: Task) -> None:
        """Take a task."""

    def next(self) -> tuple[Task, object]:
        """Wait for any task to end; return it with its result, or the error that ended it."""

    def __enter__(self) -> Engine: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
