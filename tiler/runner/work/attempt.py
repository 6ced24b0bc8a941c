"""Run a task so that its error becomes its result."""

from __future__ import annotations

import traceback

from tiler.checks.machine import machine_limit
from tiler.errors import (
    LimitError,
    ReadError,
    TilerError,
    UnforeseenError,
)
from tiler.runner.components import component_error
from tiler.runner.signals import raise_interruption
from tiler.runner.work.tasks import Task
from tiler.runner.work.worker_state import WorkerState


def attempt(task: Task, state: WorkerState) -> object:
    """Run a task; an error is its result, so that it can travel."""
    try:
        return task.run(state)
    except (Exception, SystemExit) as error:
        raise_interruption(error)
        if not isinstance(error, TilerError) and (limit := machine_limit(error)):
            state.close()
            return LimitError(task.job.slide_id, limit)
        if of_component := component_error(error, task.job):
            state.close()
            return of_component
        if isinstance(error, TilerError):
            return error
        if isinstance(error, SystemExit):
            raise
        state.close()
        if isinstance(error, OSError):  # of the source: the destination has errors of its own kind
            return ReadError(task.job.slide_id, f"{type(error).__name__}: {error}")
        return bug(task, error)


def bug(task: Task, error: Exception) -> UnforeseenError:
    """Return the error for an unforeseen exception in a task, with its traceback."""
    trace = "".join(traceback.format_exception(error))
    return UnforeseenError(task.job.slide_id, f"a bug in tiler: {error!r}", trace)
