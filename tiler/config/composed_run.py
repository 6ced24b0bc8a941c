"""Run a checked configuration, or its sweep, as Hydra does, without composing it again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from hydra.core.plugins import Plugins
from hydra.core.utils import configure_log, run_job
from hydra.experimental.callback import Callback
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from tiler.config.compose import Composed


def needs_hydra(config: DictConfig) -> bool:
    """Return whether a command uses callbacks, or prints details, which only ``hydra.main`` does.

    Logging is configured as Hydra configures it before a job: its level decides about details.
    """
    hydras = config.hydra
    configure_log(hydras.hydra_logging, hydras.verbose)
    details = hydras.verbose is not False or logging.getLogger("hydra").isEnabledFor(logging.DEBUG)
    return bool(details or hydras.callbacks)


def run_composed(composed: Composed, task: Callable[[DictConfig], None]) -> None:
    """Run a task with the configuration that tiler composed to check it.

    ``hydra.main`` composes the same configuration twice more: docs/decisions/0012.
    """
    config = composed.config
    config.hydra.mode = RunMode.RUN
    config.hydra.overrides.hydra.append("hydra.mode=RUN")
    done = run_job(task, config, "hydra.run.dir", None, _context(composed))
    _ = done.return_value  # raises the error of the job


def sweeps_here(config: DictConfig) -> bool:
    """Return whether the jobs of a sweep are known beforehand, and run in this process."""
    sweeper, launcher = (
        str(OmegaConf.select(config, f"hydra.{name}._target_")) for name in ("sweeper", "launcher")
    )
    return sweeper.endswith(".BasicSweeper") and launcher.endswith(".InProcessLauncher")


def sweep_composed(composed: Composed, task: Callable[[DictConfig], None]) -> None:
    """Sweep with the configuration that tiler composed to check it.

    Hydra's sweeper and the launcher compose jobs by its loader: ``JobLoader``.
    """
    config = composed.config
    sweeper = Plugins.instance().instantiate_sweeper(
        hydra_context=_context(composed), task_function=task, config=config
    )
    words = OmegaConf.to_container(config.hydra.overrides.task)  # as written, not resolved
    sweeper.sweep(cast("list[str]", words))


def _context(composed: Composed) -> HydraContext:
    """Return a context whose callbacks do nothing."""
    return HydraContext(composed.loader, cast("Any", Callback()))
