"""Slurm jobs as workers of Dask: their scripts, a check beforehand, and their queue."""

from __future__ import annotations

import gc
import logging
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from getpass import getuser
from pathlib import Path
from typing import Any

from tiler.errors import ConfigError
from tiler.storage.destinations import make_folder

_SBATCH = "sbatch: error: "
_TOO_LARGE = "node configuration is not available"
_LOOPBACK = "127.0.0.1:0"
_PLAIN_PATH = re.compile(r"[\w./+=@:,-]+")


def check_slurm(wanted: Mapping[str, Any], logs: str | None) -> None:
    """Check the parameters of ``slurm_cluster`` as far as possible before anything is written.

    Raises
    ------
    ConfigError
        If one is invalid, or this machine has no Slurm.
    """
    cores = wanted.get("cores", 1)
    if not isinstance(cores, int) or cores < 1:
        raise ConfigError(f"engine.slurm.cores={cores!r} is invalid; use a whole number, 1 or more")
    if shutil.which("sbatch") is None:
        raise ConfigError(
            "engine.slurm: there is no Slurm here (no sbatch); start on a node of the cluster"
        )
    if logs and not _PLAIN_PATH.fullmatch(os.path.abspath(logs)):
        raise ConfigError(
            f"engine.logs={logs}: a path in a Slurm job has letters, digits and . / _ + = @ : , -"
            " alone; name another folder that all nodes share"
        )


def slurm_cluster(
    wanted: Mapping[str, Any], jobs: int, logs: Path | None, dashboard: str | None
) -> Any:
    """Start a Dask scheduler here, and Slurm jobs that work for it.

    Parameters
    ----------
    wanted
        Arguments of ``dask_jobqueue.SLURMCluster``; they take precedence over tiler's.
    jobs
        The number of jobs to keep: one that is cancelled or out of time is replaced.
    logs
        The folder for the output of the jobs, and for the keys of the run's TLS connections. All
        nodes must share it. Slurm and Dask choose their own if None.
    dashboard
        The address of Dask's dashboard; none if None.

    Raises
    ------
    ConfigError
        If an argument is invalid, or Slurm refuses such jobs.
    """
    with _own_signals():
        try:
            from dask_jobqueue import SLURMCluster
        except ImportError:
            raise ConfigError(
                "engine.slurm needs the extra tiler[dask]: pip install 'tiler[dask]'"
            ) from None
    try:
        cluster = SLURMCluster(**_arguments(wanted, logs, dashboard))
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        said = str(error).splitlines()[0].split(". Very likely")[0]
        raise ConfigError(f"engine.slurm: {said}") from error
    try:
        _try_submission(cluster.job_script())
    except ConfigError:
        cluster.close()
        raise
    logging.getLogger("tornado.application").addFilter(_refusal_in_one_line)
    # A minimum as large as the maximum makes adapt() replace every job that is cancelled.
    cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
    return cluster


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of signals: importing dask_jobqueue has Ctrl-C call ``sys.exit``."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _arguments(
    wanted: Mapping[str, Any], logs: Path | None, dashboard: str | None
) -> dict[str, Any]:
    """Add what ``wanted`` and the site's configuration of Dask leave open.

    Anyone who reaches a Dask scheduler without TLS can run code as its owner, and nodes of a
    cluster are shared: so connections are encrypted and authenticated, the scheduler listens on
    one address instead of all, and pages about workers are for the node itself.
    """
    import dask
    from distributed.utils import get_ip

    def site(key: str, default: Any) -> Any:
        return dask.config.get(f"jobqueue.slurm.{key}", None) or default

    scheduler = {
        "dashboard": dashboard is not None,
        "dashboard_address": dashboard or _LOOPBACK,
        **(wanted.get("scheduler_options") or site("scheduler-options", {})),
    }
    if not (wanted.get("interface") or site("interface", None) or "interface" in scheduler):
        scheduler = {"host": get_ip(), **scheduler}
    extra = wanted.get("worker_extra_args") or site("worker-extra-args", [])
    ours: dict[str, Any] = {"security": True}
    if cores := wanted.get("cores") or site("cores", None):
        ours["processes"] = cores  # of one thread each: a worker does one task at a time
    if logs is not None:
        folder = str(make_folder(logs.absolute()))
        ours |= {"log_directory": folder, "shared_temp_directory": folder}
    return {
        **ours,
        **wanted,
        "scheduler_options": scheduler,
        "worker_extra_args": ["--no-dashboard", "--dashboard-address", _LOOPBACK, *extra],
    }


def _try_submission(script: str) -> None:
    """Let Slurm check a job without submitting it: Dask would try again for ever, silently.

    Raises
    ------
    ConfigError
        If Slurm refuses it.
    """
    trial = subprocess.run(
        ["sbatch", "--test-only"], input=script, capture_output=True, text=True, check=False
    )
    if trial.returncode:
        said = " ".join(trial.stderr.replace(_SBATCH, "").split())
        fix = "correct the arguments of engine.slurm; sinfo lists partitions and nodes"
        if _TOO_LARGE in said:  # Slurm says the same of all nodes in maintenance
            fix = "use fewer cores or less memory, or wait if nodes are down or drained (see sinfo)"
        raise ConfigError(f"engine.slurm: Slurm refuses the jobs: {said}; {fix}")


def _refusal_in_one_line(record: logging.LogRecord) -> bool:
    """Make a log record state the job that Slurm refused, instead of the place in Dask."""
    error = str(record.exc_info[1]) if record.exc_info else ""
    if "sbatch" in error:
        said = " ".join(error.split("stderr:")[-1].replace(_SBATCH, "").split())
        record.msg, record.args, record.exc_info = "Slurm refused a job: %s", (said,), None
        record.exc_text = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def close_cluster(cluster: Any) -> None:
    """Cancel a cluster's jobs and stop its scheduler."""
    gc.collect()  # Dask asserts that no job is left, and errors hold those that Slurm refused
    with suppress(AssertionError):
        cluster.close()


def ended(jobs: Collection[str]) -> set[str]:
    """Return those of some Slurm jobs that are no longer in its queue.

    ``7`` names a job and ``7_2`` one of an array. While Slurm does not answer, none has ended.
    """
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--user={getuser()}"]
    try:
        queue = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return set()
    return set(jobs) - set(queue.stdout.split())
