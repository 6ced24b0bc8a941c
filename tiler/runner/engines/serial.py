"""The engine that does all tasks in this process, one after the other."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from types import TracebackType

from tiler.runner.engines.log_lines import slide_named
from tiler.runner.work.attempt import attempt
from tiler.runner.work.tasks import Task
from tiler.runner.work.worker_state import WorkerState


@dataclass
class SerialEngine:
    """Runs each task when its result is requested."""

    _waiting: deque[Task] = field(default_factory=deque, init=False, repr=False)
    _state: WorkerState = field(default_factory=WorkerState, init=False, repr=False)

    @property
    def slots(self) -> int:
        """One."""
        return 1

    @property
    def at_once(self) -> int:
        """One."""
        return 1

    def submit(self, task: Task) -> None:
        """Put the task in line."""
        self._waiting.append(task)

    def next(self) -> tuple[Task, object]:
        """Run the task that waits longest."""
        task = self._waiting.popleft()
        with slide_named(task.job.slide_id):
            return task, attempt(task, self._state)

    def __enter__(self) -> SerialEngine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._state.close()
