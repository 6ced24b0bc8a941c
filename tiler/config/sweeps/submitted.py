"""Cancel the jobs that submitit started for a sweep.

Hydra's launcher does not expose submitit's objects, but names of submitit's files begin with a
job's id.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tiler.config.job import say

_SUBMITTED, _RESULT = "_submitted.pkl", "_0_result.pkl"

_ORDERLY_S, _SOON_S = 3.0, 1.5
"""Seconds that jobs have to write their tables, and submitit to end the remaining jobs."""


class SubmittedJobs:
    """Finds the jobs that are submitted from its creation on.

    Parameters
    ----------
    config
        The configuration as Hydra composed it, with its own node.
    """

    def __init__(self, config: DictConfig) -> None:
        launcher = str(OmegaConf.select(config, "hydra.launcher._target_")).rpartition(".")[2]
        self._cluster = {"LocalLauncher": "local", "SlurmLauncher": "slurm"}.get(launcher, "")
        self._folder = Path()
        with suppress(OmegaConfBaseException):
            folder = str(OmegaConf.select(config, "hydra.launcher.submitit_folder"))
            self._folder = Path(folder.partition("%")[0]).absolute()
        self._before = self._ids()

    def cancel(self) -> None:
        """Stop the jobs that have no result yet, and wait while they write their tables."""
        ids = self._ids() - self._before
        if self._cluster == "slurm":
            _cancel_slurm_jobs(self._folder, ids)
        elif self._cluster == "local":
            _cancel_processes([int(name) for name in ids if name.isdecimal()])

    def _ids(self) -> set[str]:
        """Return the ids of jobs that were submitted and have no result yet."""
        if not self._cluster:
            return set()
        files = [path.name for path in self._folder.glob("**/*.pkl")]
        ended = {name.removesuffix(_RESULT) for name in files if name.endswith(_RESULT)}
        ids = {name.removesuffix(_SUBMITTED) for name in files if name.endswith(_SUBMITTED)}
        return ids - ended


def _cancel_slurm_jobs(folder: Path, ids: Iterable[str]) -> None:
    from submitit import SlurmJob

    if shutil.which("scancel") is None:
        return
    for name in ids:
        with suppress(OSError):
            SlurmJob(folder, name).cancel(check=False)
    time.sleep(_ORDERLY_S)  # for their tables


def _cancel_processes(ids: Iterable[int]) -> None:
    """End submitit's processes, children of this one; each sends SIGTERM on to its job."""
    running = [number for number in ids if _runs(number)]
    if running:
        say(f"{len(running)} job{'s' if len(running) > 1 else ''} of the sweep: stopping")
    for number, seconds in ((signal.SIGTERM, _ORDERLY_S), (signal.SIGINT, _SOON_S)):
        for process in running:
            with suppress(OSError):
                os.kill(process, number)
        deadline = time.monotonic() + seconds
        while running and time.monotonic() < deadline:
            time.sleep(0.05)
            running = [process for process in running if _runs(process)]


def _runs(process: int) -> bool:
    """Return whether a child process is running; its number may belong to another one by now."""
    try:
        return os.waitpid(process, os.WNOHANG) == (0, 0)
    except (OSError, AttributeError):  # no child, or Windows
        return False
