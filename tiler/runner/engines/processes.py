"""Worker processes on this machine, each with one task at a time.

The standard library's pool is not used: one killed process breaks all of its pending futures.
Here a death belongs to one task, and only that task is lost.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import queue
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

from tiler.checks.machine import machine_limit
from tiler.errors import (
    ComponentError,
    ConfigError,
    EnvironmentRefusedError,
    LimitError,
    WorkerError,
)
from tiler.runner.components import unpicklable
from tiler.runner.engines.log_lines import log_again, log_levels
from tiler.runner.engines.spawning import Process, cause_of, end, keep, most_workers, take
from tiler.runner.engines.worker import NoRoom
from tiler.runner.signals import complete
from tiler.runner.work.attempt import bug
from tiler.runner.work.tasks import Task

_LONGEST_WAIT_S = 3600.0  # some systems cannot wait for longer than a few weeks


@dataclass
class ProcessEngine:
    """Spawned worker processes.

    Parameters
    ----------
    workers
        The number of worker processes; one per core if None.
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
            raise ConfigError(f"engine.workers={self.workers} is out of range; use 1 or more")
        if self._count > most_workers():
            raise ConfigError(
                f"engine.workers={self.workers}: more than {most_workers()}, eight per core"
            )
        if not self.timeout > 0:
            raise ConfigError(
                f"engine.timeout={self.timeout} is out of range; use a positive number"
            )

    @property
    def slots(self) -> int:
        """One per worker, and one that waits."""
        return self._count + 1

    @property
    def at_once(self) -> int:
        """One per worker."""
        return self._count

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
        self._workers = []
        try:
            for _ in range(self._count):
                with complete():
                    made = _Worker(self._tasks, self._results, self.timeout, self._count)
                    self._workers.append(made)
        except BaseException as error:  # also a signal that ends the run
            self.__exit__(type(error), error, None)
            if limit := machine_limit(error):
                what = f"engine.workers={self._count}: {limit}"
                raise EnvironmentRefusedError(what) from error
            raise
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
            worker.leave() if error is None else worker.kill()


class _Worker:
    """A thread of this process that feeds one worker process, and replaces it when it dies."""

    def __init__(
        self,
        tasks: queue.SimpleQueue[Task | None],
        results: queue.SimpleQueue[tuple[Task, object]],
        timeout: float,
        workers: int,
    ) -> None:
        self._tasks, self._results = tasks, results
        self._timeout, self._workers = timeout, workers
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._due, self._hung = math.inf, False  # by time.monotonic()
        self._started_in: object = None
        self._process: Process | None = None
        self._start()
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        watcher = threading.Thread(target=self._watch, daemon=True)
        try:
            self._feeder.start()
            watcher.start()
        except RuntimeError:  # the machine has no room for them
            self.kill()
            raise

    def leave(self) -> None:
        """Keep the process for the next run of this command, if it has no task."""
        self._feeder.join(timeout=1)
        if self._feeder.is_alive():
            self.kill()
            return
        self._ended.set()
        if self._process is None:
            return
        try:
            assert self._process.stdin is not None
            pickle.dump((None, {}), self._process.stdin)
            self._process.stdin.flush()
        except BrokenPipeError:
            self.kill()
        else:
            keep(self._started_in, self._process)

    def kill(self) -> None:
        """End the process now, even if it works on a task."""
        self._ended.set()
        if self._process is not None:
            end(self._process)

    def _start(self) -> Process:
        """Return the process; start another one if the last one ended."""
        if self._process is None:
            self._started_in, self._process = take(self._workers)
        return self._process

    def _gone(self) -> None:
        """Replace the process, as soon as the machine lets one start."""
        self._process = None
        if not self._ended.is_set():
            with suppress(OSError):
                self._start()

    def _feed(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                result = self._done(task)
            except Exception as error:  # without a result the run would wait for ever
                self._due = math.inf
                if self._process is not None:
                    end(self._process)
                self._gone()
                limit = machine_limit(error)
                result = LimitError(task.job.slide_id, limit) if limit else bug(task, error)
            if self._ended.is_set():
                return
            self._results.put((task, result))

    def _watch(self) -> None:
        """Kill the process when its task is overdue; a timer per task would cost 0.1 ms each."""
        while not self._ended.wait(self._wait_s()):
            with self._lock:
                if time.monotonic() >= self._due:
                    self._due, self._hung = math.inf, True
                    if self._process is not None:
                        self._process.kill()

    def _wait_s(self) -> float:
        """Return the seconds for which no task can become overdue."""
        return max(0.0, min(self._timeout, self._due - time.monotonic(), _LONGEST_WAIT_S))

    def _done(self, task: Task) -> object:
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        result: object = None
        try:
            data = pickle.dumps((task, log_levels()), pickle.HIGHEST_PROTOCOL)
        except MemoryError:
            raise
        except Exception as error:  # a user's component may contain anything
            return ComponentError(task.job.slide_id, unpicklable(error))
        self._due = time.monotonic() + self._timeout
        try:
            with suppress(BrokenPipeError):  # a worker that could not begin may have said why
                process.stdin.write(data)
                process.stdin.flush()
            while isinstance(result := pickle.load(process.stdout), logging.LogRecord):
                log_again(result)
            died = False
        except (EOFError, pickle.UnpicklingError):
            died = True
        with self._lock:
            hung, self._due, self._hung = self._hung, math.inf, False
        if isinstance(result, NoRoom):
            self._gone()
            return LimitError(task.job.slide_id, str(result))
        if not died and not hung:
            return result
        code = process.wait()
        self._gone()
        if hung:
            what = f"no progress for {self._timeout:g} s; the worker was killed"
        else:
            what = f"the worker died ({cause_of(code)})"
        return WorkerError(task.job.slide_id, what)
