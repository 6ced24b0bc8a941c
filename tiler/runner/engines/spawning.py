"""Worker processes: started, kept for later work, and ended."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tiler.process.startup import ALLOCATOR, VARIABLE

_LONGEST_END_S = 1.0


def most_workers() -> int:
    """Return the largest number of processes on this machine; more are a mistake."""
    return max(32, 8 * (os.cpu_count() or 1))


Process = subprocess.Popen[bytes]

_idle: list[tuple[object, Process]] = []
"""Processes without work, and the circumstances in which they were started."""


def take(workers: int) -> tuple[object, Process]:
    """Return one of so many processes, and the circumstances in which it was started.

    It is one without work that was started in the present circumstances, or else a new one.
    """
    now = _circumstances(workers)
    while _idle:
        then, process = _idle.pop()
        if then == now and process.poll() is None:
            return then, process
        end(process)
    return now, _spawn(workers)


def keep(started_in: object, process: Process) -> None:
    """Keep a process that has no work for a later call of ``take``."""
    _idle.append((started_in, process))


def end(process: Process) -> None:
    """End a process now, even if it works on a task.

    A process that waits for a disk or a server ends when that answers; this function does not wait
    for it.
    """
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_LONGEST_END_S)


def cause_of(code: int) -> str:
    """Describe the exit code of a process that died."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code}, {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


@atexit.register
def _end_idle() -> None:
    while _idle:
        end(_idle.pop()[1])


def _circumstances(workers: int) -> object:
    """Return the facts that a worker process inherits; workers with other facts are not reused."""
    return workers, Path.cwd(), dict(os.environ), tuple(sys.path)


def _spawn(workers: int) -> Process:
    start = f"from tiler.runner.engines.worker import main; main({os.getpid()})"
    # The same search path as here, so that the worker imports the same modules.
    command = [sys.executable, "-P", "-c", f"import sys; sys.path[:] = {sys.path!r}; {start}"]
    threads = max(1, (os.cpu_count() or 1) // workers)  # together as many as there are cores
    environment = {**ALLOCATOR, **os.environ, VARIABLE: str(threads)}
    with _without_interrupts():
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start processes that ignore Ctrl-C; the parent receives it and ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
