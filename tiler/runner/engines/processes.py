"""Worker processes on this machine, each with one task at a time.

A pool of our own, because one killed process breaks every pending future of the standard
library's pool: here a death is known to belong to one task, and costs that one only.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from types import TracebackType

from tiler.errors import ConfigError, WorkerError
from tiler.runner.tasks import Task
from tiler.threads import VARIABLE

_KEEP_BUFFERS = {"MALLOC_MMAP_THRESHOLD_": str(64 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20)}
"""For glibc: the buffers of a tile are used again, not given back and faulted in for each one."""


@dataclass
class ProcessEngine:
    """Spawned worker processes.

    Parameters
    ----------
    workers
        How many; one per core if None.
    timeout
        Seconds that a worker may spend on one piece of work (finding the tiles of a slide, or
        writing some hundred of them) before it counts as hung and is killed.
    """

    workers: int | None = None
    timeout: float = 1800
    _tasks: queue.SimpleQueue[Task | None] = field(init=False, repr=False)
    _results: queue.SimpleQueue[tuple[Task, object]] = field(init=False, repr=False)
    _workers: list[_Worker] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"engine.workers={self.workers}: must be at least 1")
        if not self.timeout > 0:
            raise ConfigError(f"engine.timeout={self.timeout}: must be positive")

    @property
    def slots(self) -> int:
        """One per worker and one in store."""
        return self._count + 1

    @property
    def at_once(self) -> int:
        """One per worker."""
        return self._count

    @property
    def _threads(self) -> int:
        """Threads for each worker: together as many as there are cores."""
        return max(1, (os.cpu_count() or 1) // self._count)

    @property
    def _count(self) -> int:
        return self.workers or os.cpu_count() or 1

    def submit(self, task: Task) -> None:
        """Give the task to the next worker that is free."""
        self._tasks.put(task)

    def next(self) -> tuple[Task, object]:
        """Wait for any worker."""
        while True:
            try:  # a wait without end would not let Ctrl-C through on every system
                return self._results.get(timeout=0.5)
            except queue.Empty:
                continue

    def __enter__(self) -> ProcessEngine:
        self._tasks, self._results = queue.SimpleQueue(), queue.SimpleQueue()
        self._workers = [
            _Worker(self._tasks, self._results, self.timeout, self._threads)
            for _ in range(self._count)
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for _ in self._workers:
            self._tasks.put(None)
        for worker in self._workers:
            worker.kill()


class _Worker:
    """A thread of this process that feeds one worker process, and replaces it when it dies."""

    def __init__(
        self,
        tasks: queue.SimpleQueue[Task | None],
        results: queue.SimpleQueue[tuple[Task, object]],
        timeout: float,
        threads: int,
    ) -> None:
        self._tasks, self._results = tasks, results
        self._timeout, self._threads = timeout, threads
        self._ended = False
        self._process = _spawn(self._threads)
        threading.Thread(target=self._feed, daemon=True).start()

    def kill(self) -> None:
        """End the process now, whatever it is doing."""
        self._ended = True
        self._process.kill()
        self._process.wait()

    def _feed(self) -> None:
        while (task := self._tasks.get()) is not None:
            result = self._done(task)
            if self._ended:
                return
            self._results.put((task, result))

    def _done(self, task: Task) -> object:
        process, hung = self._process, threading.Event()

        def give_up() -> None:
            hung.set()
            process.kill()

        timer = threading.Timer(self._timeout, give_up)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            pickle.dump(task, process.stdin, pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
            return pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            code = process.wait()
            if not self._ended:
                self._process = _spawn(self._threads)
            if hung.is_set():
                what = f"no progress for {self._timeout:g} s; the worker was killed"
            else:
                what = f"the worker died ({_cause(code)})"
            return WorkerError(task.job.slide_id, what)
        finally:
            timer.cancel()


def _spawn(threads: int) -> subprocess.Popen[bytes]:
    start = f"from tiler.runner.engines.worker import main; main({os.getpid()})"
    # The same search path as here, so that the worker imports what this process would.
    command = [sys.executable, "-P", "-c", f"import sys; sys.path[:] = {sys.path!r}; {start}"]
    environment = {**_KEEP_BUFFERS, **os.environ, VARIABLE: str(threads)}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code}, {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
