"""The command, except that Hydra runs a job with the configuration that tiler composed to check it.

Hydra's launch composes the same configuration twice more. ``command.tiler`` runs this instead:
docs/decisions/0010-commands-of-tests.md says what it saves.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from omegaconf import DictConfig, open_dict, read_write

from tiler import cli, entry

_RUN = "hydra.mode=RUN"
"""What the command tells Hydra last, where it is no sweep."""


def main() -> None:
    """Run the command and end this process.

    Sweeps, flags that print and settings of Hydra are left to Hydra.
    """
    composed: list[Any] = []
    real_compose, real_main = cli.compose, hydra.main

    def compose(*arguments: Any) -> Any:
        composed.append(real_compose(*arguments))
        return composed[-1]

    def main(**place: Any) -> Callable[[Any], Callable[[], None]]:
        def decorated(task: Callable[[DictConfig], None]) -> Callable[[], None]:
            hydras = [word for word in sys.argv[1:] if word.lstrip("+~").startswith("hydra")]
            if hydras != [_RUN]:
                return real_main(**place)(task)
            return lambda: task(as_hydra_would(composed[-1].config))

        return decorated

    cli.compose, hydra.main = compose, main
    entry.main()


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
