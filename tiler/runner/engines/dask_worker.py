"""Tasks in a worker of dask.distributed."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from tiler.errors import EnvironmentRefusedError
from tiler.runner.engines.log_lines import sent
from tiler.runner.reporting.log_records import clean_log_records
from tiler.runner.store.code import code_of
from tiler.runner.store.versions import versions
from tiler.runner.work.attempt import attempt
from tiler.runner.work.job import SlideJob
from tiler.runner.work.tasks import Task
from tiler.runner.work.worker_state import WorkerState

_state: WorkerState | None = None
_at_work = threading.Lock()
"""A process does one task at a time, in however many threads: it has one working folder."""


@dataclass(frozen=True)
class Home:
    """The folder in which a run was started, and the versions and code there."""

    folder: Path
    versions: Mapping[str, str]
    code: Sequence[str]


def attempt_at_home(
    task: Task, home: Home, levels: Mapping[str, int]
) -> tuple[object, list[logging.LogRecord]]:
    """Run a task in this worker, alone, and return its result and its log records.

    Relative paths count from the run's folder.
    """
    lines: list[logging.LogRecord] = []
    with _at_work, sent(task.job.slide_id, levels, lines.append):
        return _done(task, home), lines


def _done(task: Task, home: Home) -> object:
    """Run a task if this worker has the run's versions and folder."""
    global _state
    if _state is None:
        clean_log_records()
        _state = WorkerState()
    if code_of_job(task.job) != home.code:
        what = "; ".join(_differences(home.versions)) or "of tiler's code or your own components"
        return _refused(
            f"has other versions than the run ({what}): install the same, start it again"
        )
    try:
        with chdir(home.folder):
            return attempt(task, _state)
    except OSError as error:
        what = f"cannot enter the folder that the run was started in ({error.strerror})"
        return _refused(f"{what}: start it in one that all machines share")


def _differences(wanted: Mapping[str, str]) -> Iterator[str]:
    here = versions()
    for name, version in wanted.items():
        if here.get(name) != version:
            yield f"{name} {version}, here {here.get(name)}"


def code_of_job(job: SlideJob) -> list[str]:
    """Return the digests of the code that shapes a slide's output."""
    return code_of(job.open_reader, job.extractor.mask_provider, *job.exporters.values())


def _refused(what: str) -> EnvironmentRefusedError:
    return EnvironmentRefusedError(f"the worker on {socket.gethostname()} {what}")
