"""The jobs of a sweep that submitit launches: their log files and their ends."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from tiler.config.job import say
from tiler.errors import ConfigError, JobError, TilerError
from tiler.runner.engines.slurm import ended

if TYPE_CHECKING:
    from submitit import Job

_SBATCH = "sbatch: error: "

_LOOK_EVERY_S, _LOOKS = 5.0, 3
"""A job counts as dead after this many looks: its result may arrive later than its end."""

_FOLDER = "hydra.launcher.submitit_folder"
_DEFAULT, _OURS = "${hydra.sweep.dir}/.submitit/%j", "${hydra.sweep.dir}/.submitit"


def flat_folder(config: DictConfig) -> list[str]:
    """Return the override that puts all log files into one folder; none for other launchers.

    Names of log files begin with the job's id. Submitit's local launcher would leave an empty
    folder named ``%j`` otherwise.
    """
    written: Any = OmegaConf.to_container(config.hydra.launcher)
    return [f"{_FOLDER}={_OURS}"] if written.get("submitit_folder") == _DEFAULT else []


def watch_slurm(config: DictConfig, keys: Sequence[str]) -> SlurmJobs | None:
    """Watch the jobs of a sweep; return None if its launcher is not Slurm's.

    Parameters
    ----------
    config
        The configuration as Hydra composed it, with its own node.
    keys
        The swept keys; messages name a job by its values of them.
    """
    if not str(config.hydra.launcher["_target_"]).endswith(".SlurmLauncher"):
        return None
    folder = str(config.hydra.launcher.submitit_folder)
    return SlurmJobs(folder.removesuffix("/%j") if flat_folder(config) else folder, keys)


class SlurmJobs:
    """Watches Slurm's queue for the jobs that submitit submits from now on.

    Submitit waits for a job's result, or until Slurm's accounting reports the job's end. Without
    accounting it would wait forever for a job that died, so this class writes a result for it.

    Parameters
    ----------
    folder
        The launcher's ``submitit_folder``; ``%j`` stands for a job's id.
    keys
        The swept keys.
    """

    def __init__(self, folder: str, keys: Sequence[str]) -> None:
        from submitit import Job
        from submitit.core.utils import JobPaths

        self._folder, self._keys, self._job = folder, keys, Job
        self._root = JobPaths.get_first_id_independent_folder(folder)
        self._earlier = set(self._submitted())
        logging.getLogger("submitit").setLevel(logging.ERROR)  # it warns about missing accounting
        threading.Thread(target=self._watch, daemon=True).start()

    def wait(self) -> None:
        """Wait for the result of every job, or for Ctrl-C."""
        with suppress(KeyboardInterrupt):
            while self._pending():
                time.sleep(1)

    def _watch(self) -> None:
        looks: dict[str, int] = {}
        while True:
            time.sleep(_LOOK_EVERY_S)
            pending = self._pending()
            looks = {job: looks.get(job, 0) + 1 for job in ended(pending)} if pending else {}
            for job, count in looks.items():
                if count >= _LOOKS:
                    self._give_up(pending[job])

    def _pending(self) -> dict[str, Job[Any]]:
        ids = set(self._submitted()) - self._earlier
        jobs: dict[str, Job[Any]] = {name: self._job(self._folder, name) for name in ids}
        return {name: job for name, job in jobs.items() if not job.paths.result_pickle.exists()}

    def _submitted(self) -> Iterator[str]:
        for path in self._root.glob("**/*_submitted.pkl"):
            yield path.name.removesuffix("_submitted.pkl")

    def _give_up(self, job: Job[Any]) -> None:
        """Write a failed result for a job that died, so that submitit stops waiting for it."""
        overrides = job.submission().args[0]
        settings = ", ".join(one for one in overrides if one.split("=")[0] in self._keys)
        text = (
            f"{JobError.code}: Slurm job {job.job_id} ({settings}) died; see its log"
            f" {job.paths.stderr} and run again to resume"
        )
        # Mode x never replaces a result that arrives late.
        with suppress(FileExistsError), job.paths.result_pickle.open("xb") as file:
            pickle.dump(("error", text), file)
            say(text)


def launch_error(error: Exception) -> TilerError | None:
    """Turn an error of submitit or joblib into one of tiler; None if it is reported already."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip("- ")]
    refused = [line.removeprefix(_SBATCH) for line in lines if line.startswith(_SBATCH)]
    if refused:
        return ConfigError(f"hydra.launcher: Slurm refuses the jobs: {' '.join(refused)}")
    if type(error).__name__ == "FailedJobError":  # a heading, a traceback, three lines of files
        lines = lines[-4:-3]
    if any(line.startswith(JobError.code) for line in lines):
        return None
    return JobError(
        f"a job of the sweep died, others may still run: {' '.join(lines[:2])}; see the logs in"
        " .submitit of the sweep's folder and run again to resume"
    )
