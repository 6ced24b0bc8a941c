"""Launcher that runs the jobs of a sweep one after the other in this process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, configure_log, run_job
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from tiler.config.sweeps.job_loader import JobLoader

log = logging.getLogger(__name__)


ConfigStore.instance().store(
    group="hydra/launcher",
    name="in_process",
    node={"_target_": "hydra_plugins.tiler_launcher.in_process.InProcessLauncher"},
)


class InProcessLauncher(Launcher):
    """Hydra's basic launcher, which composes jobs that differ in plain values only once."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store the objects that all jobs share."""
        self.context, self.task, self.sweep = hydra_context, task_function, config
        loader = hydra_context.config_loader
        self.loader = loader if isinstance(loader, JobLoader) else JobLoader(loader, config)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a job for each list of overrides, and return the results."""
        own = self.sweep.hydra
        Path(str(own.sweep.dir)).mkdir(parents=True, exist_ok=True)
        done = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            configure_log(own.hydra_logging, own.verbose)  # a job has its own
            log.info("#%d: %s", number, " ".join(overrides))
            config = self.loader.load_sweep_config(self.sweep, list(overrides))
            with open_dict(config):
                config.hydra.job.id = config.hydra.job.num = number
            keys = "hydra.sweep.dir", "hydra.sweep.subdir"
            done.append(run_job(self.task, config, *keys, hydra_context=self.context))
        configure_log(own.hydra_logging, own.verbose)
        return done
