"""The jobs of a sweep in this process, for half of what Hydra's own launcher adds to each.

Hydra's copies a job's configuration four times and configures logging twice for it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import chdir, nullcontext
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import (
    JobReturn,
    JobRuntime,
    JobStatus,
    _flush_loggers,
    configure_log,
    env_override,
)
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write

from tiler.config.copies import copied

log = logging.getLogger("tiler")

_HYDRAS_OWN = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


def launch_in_process() -> None:
    """Have ``InProcessLauncher`` do what is asked of Hydra's basic launcher in this process."""
    Plugins.instance().class_name_to_class[_HYDRAS_OWN] = InProcessLauncher


class InProcessLauncher(Launcher):
    """Runs jobs one after the other; each finds what it finds under Hydra's own launcher."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what the jobs share: Hydra's parts, the function that runs one, and the sweep."""
        self._hydra, self._task, self._sweep = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a job for each list of words, and give back what came of them in their order."""
        configure_log(self._sweep.hydra.hydra_logging, self._sweep.hydra.verbose)
        Path(str(self._sweep.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        count = len(job_overrides)
        log.info("Launching %d job%s in this process", count, "" if count == 1 else "s")
        jobs = enumerate(job_overrides, initial_job_idx)
        done = [self._job(number, list(words)) for number, words in jobs]
        configure_log(self._sweep.hydra.hydra_logging, self._sweep.hydra.verbose)
        return done

    def _job(self, number: int, words: list[str]) -> JobReturn:
        config = self._hydra.config_loader.load_sweep_config(self._sweep, words)
        known = HydraConfig.instance()
        before, own = known.cfg, config.hydra
        with open_dict(own.job):
            own.job.id = own.job.num = number
        try:
            known.set_config(config)  # for ${hydra:…} in the folder's name
            hydras: Any = known.cfg
            folder = os.path.abspath(Path(str(own.sweep.dir), str(own.sweep.subdir)))
            for runtime in (own.runtime, hydras.hydra.runtime):
                with read_write(runtime), open_dict(runtime):
                    runtime.output_dir = folder
            return self._done(config, hydras, Path(folder))
        finally:
            known.cfg = before

    def _done(self, config: DictConfig, hydras: DictConfig, folder: Path) -> JobReturn:
        """What came of a job that all is ready for; ``hydras`` is what Hydra knows of it."""
        own = config.hydra
        task = copied(config, but="hydra")
        result = JobReturn(list(own.overrides.task), task, hydras)
        folder.mkdir(parents=True, exist_ok=True)
        with chdir(folder) if own.job.chdir else nullcontext():
            result.working_dir = str(Path.cwd())
            configure_log(own.job_logging, own.verbose)  # a job may have changed it
            log.info("#%d: %s", own.job.num, own.sweep.subdir)
            if own.output_subdir is not None:
                _save(folder / own.output_subdir, task, hydras, own.overrides.task)
            with env_override(own.job.env_set):
                self._hydra.callbacks.on_job_start(config=config, task_function=self._task)
                try:
                    result.return_value = self._task(task)
                    result.status = JobStatus.COMPLETED
                except Exception as error:
                    result.return_value = error
                    result.status = JobStatus.FAILED
            result.task_name = JobRuntime.instance().get("name")
            _flush_loggers()
            self._hydra.callbacks.on_job_end(config=config, job_return=result)
        return result


def _save(folder: Path, config: DictConfig, hydra: DictConfig, overrides: ListConfig) -> None:
    """Leave what a job was made of in its folder, as ``hydra.output_subdir`` asks."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("config", config), ("hydra", hydra), ("overrides", overrides)):
        OmegaConf.save(part, folder / f"{name}.yaml")
