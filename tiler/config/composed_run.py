"""Run a checked configuration as Hydra runs it, without composing it again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from hydra.core.utils import configure_log, run_job
from hydra.experimental.callback import Callback
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from tiler.config.compose import Composed


def needs_hydra(config: DictConfig) -> bool:
    """Return whether a run uses callbacks, or prints details, which only ``hydra.main`` does.

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
    context = HydraContext(composed.loader, cast("Any", Callback()))  # with hooks that do nothing
    done = run_job(task, config, "hydra.run.dir", None, context)
    _ = done.return_value  # raises the error of the job
