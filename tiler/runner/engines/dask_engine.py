"""The engine on dask.distributed: a local cluster, a running one, or Slurm jobs."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tiler.errors import ConfigError, EnvironmentRefusedError, WorkerError
from tiler.runner.engines.dask_watch import Watch
from tiler.runner.engines.dask_worker import Home, attempt_at_home, code_of_job
from tiler.runner.engines.log_lines import log_again, log_levels
from tiler.runner.engines.slurm import check_slurm, close_cluster, ended, slurm_cluster
from tiler.runner.store.versions import versions
from tiler.runner.work.tasks import Task

if TYPE_CHECKING:
    from distributed import Client, Future

_LOOK_EVERY_S = 10.0

_BELIEVED_S = 20.0
"""Seconds without any worker after which a run ends; lost Slurm jobs are replaced after 15 s."""

_RESTART_S = 30.0
"""Seconds that a run waits for a killed worker to start again."""


@dataclass
class DaskEngine:
    """Workers of dask.distributed, each doing one task at a time.

    Dask gives a task whose worker is lost to another one; results are small, so nothing else is
    lost with it.

    Parameters
    ----------
    workers
        The number of worker processes (local) or Slurm jobs (``slurm``) to keep; for a local
        cluster one per core if None. With ``address`` it is the minimum for tasks under way.
    address
        The address of a scheduler that runs already, such as ``tcp://node17:8786``.
    slurm
        Arguments of ``dask_jobqueue.SLURMCluster`` (queue, cores, memory, walltime …); jobs that
        are cancelled are replaced.
    retries
        The number of times that a task is tried again after its worker was lost.
    timeout
        Seconds that a worker may spend on one task before it counts as hung and is killed.
    logs
        The folder for the output of Slurm jobs; all nodes must share it.
    dashboard
        The address of Dask's dashboard, such as ``127.0.0.1:8787``; none if None.

    Raises
    ------
    ConfigError
        If a value is invalid, or the extra ``tiler[dask]`` is not installed.
    """

    workers: int | None = None
    address: str | None = None
    slurm: dict[str, Any] | None = None
    retries: int = 2
    logs: str | None = None
    dashboard: str | None = None
    timeout: float = 1800
    _client: Client = field(init=False, repr=False)
    _cluster: Any = field(init=False, repr=False, default=None)
    _tasks: dict[str, Task] = field(init=False, repr=False, default_factory=dict)
    _futures: dict[str, Future] = field(init=False, repr=False, default_factory=dict)
    _watch: Watch = field(init=False, repr=False)
    _looked: float = field(init=False, repr=False, default=0.0)

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"engine.workers={self.workers} is out of range; use 1 or more")
        if self.retries < 0:
            raise ConfigError(f"engine.retries={self.retries} is out of range; use 0 or more")
        if not self.timeout > 0:
            raise ConfigError(
                f"engine.timeout={self.timeout} is out of range; use a positive number"
            )
        self._watch = Watch(self.timeout)
        if self.address is not None and self.slurm is not None:
            raise ConfigError("engine.address and engine.slurm exclude each other")
        if self.slurm is not None and self.workers is None:
            raise ConfigError("engine.workers is not set: how many Slurm jobs may there be?")
        if self.slurm is not None:
            check_slurm(self.slurm, self.logs)
        try:
            import_module("distributed")
        except ImportError:
            raise ConfigError(
                "engine=dask needs the extra tiler[dask]: pip install 'tiler[dask]'"
            ) from None

    @property
    def slots(self) -> int:
        """Two per worker, present or expected: one is on its way while the other is done."""
        return 2 * self.at_once

    @property
    def at_once(self) -> int:
        """One per worker, present or expected."""
        known = len(self._client.scheduler_info(n_workers=-1)["workers"])
        return max(1, known, self.workers or 0)

    def submit(self, task: Task) -> None:
        """Hand the task to the scheduler."""
        home = Home(Path.cwd(), versions(), code_of_job(task.job))
        future = self._client.submit(
            attempt_at_home, task, home, log_levels(), pure=False, retries=self.retries
        )
        self._tasks[future.key], self._futures[future.key] = task, future

    def next(self) -> tuple[Task, object]:
        """Wait for any task."""
        from distributed import as_completed

        ended_since = math.inf
        every_s = min(_LOOK_EVERY_S, self.timeout / 4)
        while True:
            if time.monotonic() - self._looked >= every_s and (hung := self._hung()):
                return hung
            try:
                future = next(iter(as_completed(self._futures.values(), timeout=every_s)))
                break
            except TimeoutError:
                now = time.monotonic()
                ended_since = min(ended_since, now) if self._all_jobs_ended() else math.inf
                if now - ended_since >= _BELIEVED_S:
                    return self._given_up()
        task = self._tasks.pop(future.key)
        del self._futures[future.key]
        try:
            result, lines = future.result()
        except Exception as error:  # any error by which Dask gives a task up
            return task, WorkerError(task.job.slide_id, f"dask gave up: {error}")
        for line in lines:
            log_again(line)
        return task, result

    def __enter__(self) -> DaskEngine:
        from distributed import Client

        # Dask logs every connection that closes; errors that matter are results of tasks.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        target = self.address if self.address is not None else self._start_cluster()
        try:
            self._client = Client(target)
        except (OSError, ValueError) as error:
            if self.address is None:
                raise
            raise ConfigError(
                f"engine.address={self.address}: no scheduler of Dask's answers there; start one,"
                " or leave the address out"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.cancel(list(self._futures.values()))
        self._client.close()
        if self._cluster is not None:
            close_cluster(self._cluster)

    def _start_cluster(self) -> Any:
        if self.slurm is None:
            from distributed import LocalCluster

            self._cluster = LocalCluster(
                n_workers=self.workers, threads_per_worker=1, dashboard_address=self.dashboard
            )
        else:
            logs = Path(self.logs) if self.logs else None
            self._cluster = slurm_cluster(self.slurm, self.workers or 1, logs, self.dashboard)
        return self._cluster

    def _hung(self) -> tuple[Task, object] | None:
        """Kill a worker that hangs; return its task, which is not tried again here."""
        self._looked = time.monotonic()
        processing = self._client.processing()
        worker = self._watch.hung(processing, self._futures.keys(), self._looked)
        if worker is None:
            return None
        # A worker does its tasks in the order in which they were submitted.
        key = next(key for key in self._tasks if key in processing[worker])
        task, future = self._tasks.pop(key), self._futures.pop(key)
        future.cancel()
        what = f"no progress for {self.timeout:g} s; the worker was killed"
        try:
            self._client.restart_workers([worker], timeout=_RESTART_S, raise_for_error=False)
        except KeyError:  # it left in this moment
            pass
        except ValueError:
            what = f"no progress for {self.timeout:g} s; the worker has no nanny that could kill it"
        return task, WorkerError(task.job.slide_id, what)

    def _all_jobs_ended(self) -> bool:
        """Return whether there are Slurm jobs, and none of them is a worker or going to be one."""
        if self.slurm is None or self._client.scheduler_info(n_workers=-1)["workers"]:
            return False
        jobs = {str(job.job_id) for job in self._cluster.workers.values()}
        return bool(jobs) and ended(jobs) == jobs

    def _given_up(self) -> tuple[Task, object]:
        key, task = self._tasks.popitem()
        del self._futures[key]
        return task, EnvironmentRefusedError(
            "all Slurm jobs ended before a worker started in them; read their output in"
            f" {self.logs}, and check that all nodes have the same Python and reach this machine"
        )
