"""A run of tiler that composes its configuration once. With Hydra's launch it is three times.

``command.tiler`` runs this. docs/decisions/0010-commands-of-tests.md says what this saves.
"""

from __future__ import annotations

import copy
import gc
import os
import sys
import time
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from omegaconf import DictConfig, open_dict, read_write

from tiler import entry
from tiler.config.command.flags import read_command_line
from tiler.config.compose import Composed, compose
from tiler.config.home import quoted_homes
from tiler.config.job import Command, complain, do_job
from tiler.config.schema import register_schema
from tiler.config.sweeps.multirun import register_resolvers
from tiler.errors import TilerError
from tiler.runner.signals import leave_at_once


def main() -> None:
    """Compose and check as the command does, run the job, and end this process.

    A sweep, a flag, a setting of Hydra's and a mistake in the composition run the whole command.
    """
    started = time.perf_counter()
    words = sys.argv[1:]
    if any(word.lstrip("+~").startswith(("-", "hydra")) for word in words):
        entry.main()
        return
    gc.disable()
    os.environ["HYDRA_FULL_ERROR"] = "1"
    leave_at_once()
    register_schema()
    register_resolvers()
    composed = composed_of(words)
    if composed is None or composed.sweeps:
        entry.main()
        return
    task = as_hydra_would(composed.config)
    sys.exit(do_job(task, Command(Path.cwd(), started, composed.variables)))


def composed_of(words: list[str]) -> Composed | None:
    """Compose and check a configuration; None where Hydra refuses it."""
    try:
        return compose(read_command_line(quoted_homes(words)))
    except TilerError as error:
        sys.exit(complain(error))
    except Exception:
        return None


def as_hydra_would(config: DictConfig) -> DictConfig:
    """Prepare a job as ``hydra.core.utils.run_job`` does; return its part of the configuration."""
    HydraConfig.instance().set_config(config)
    folder = Path.cwd() / config.hydra.run.dir
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(folder)
    HydraConfig.instance().set_config(config)
    folder.mkdir(parents=True, exist_ok=True)
    configure_log(config.hydra.job_logging, config.hydra.verbose)
    task = copy.deepcopy(config)
    with read_write(task), open_dict(task):
        del task["hydra"]
    return task
