"""A program of Hydra's on tiler's configuration whose jobs write down all that they find.

``witness.py tiler WORDS``: launched by tiler's launcher; ``witness.py hydra WORDS``: by Hydra's.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import uuid
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from tiler.config import multirun
from tiler.config.composition import share_compositions
from tiler.config.folder import conf_folder
from tiler.config.schema import register_schema

WORD = "WITNESS"


def whole(config: DictConfig) -> list[Any]:
    flags = [OmegaConf.is_struct(config), OmegaConf.is_readonly(config), list(config)]
    return [OmegaConf.to_yaml(config), OmegaConf.to_container(config), *flags]


def found(config: DictConfig) -> dict[str, Any]:
    known = HydraConfig.get()
    return {
        "config": whole(config),
        "hydra": whole(known),
        "resolved": OmegaConf.to_yaml(known.runtime, resolve=True),
        "from outside": OmegaConf.create({"at": "${hydra:job.num}"}).at,
        "here": str(Path.cwd()),
        "there": sorted(str(path) for path in Path.cwd().rglob("*")),
        "environment": os.environ.get(WORD),
        "logs": {
            str(path): [line for line in path.read_text().splitlines() if "#" not in line]
            for path in sorted(Path.cwd().rglob("*.log"))
        },
    }


def write(name: str, what: dict[str, Any]) -> None:
    folder = Path(HydraConfig.get().runtime.output_dir)
    (folder / f"{name}.json").write_text(json.dumps(what, indent=1, default=str))


class Witness(Callback):
    """Sees what Hydra tells its callbacks."""

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        write("start", found(config))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        told = {name: str(value) for name, value in vars(job_return).items()}
        told["working_dir"] = Path(told["working_dir"]).name  # Hydra's may be relative to another
        write("end", {**found(config), "told": told})


def job(config: DictConfig) -> float:
    logging.getLogger("witness").warning("at %s", config.threshold)
    write("job", found(config))
    (Path.cwd() / f"{config.threshold}.txt").touch()
    logging.getLogger().setLevel(logging.CRITICAL)  # as a library may
    if config.threshold == 0.75:
        raise ValueError("not this one")
    return float(config.threshold)


if __name__ == "__main__":
    register_schema()
    multirun.register_resolvers()
    share_compositions()
    if sys.argv.pop(1) == "hydra":
        multirun.launch_in_process = lambda: None
    uuid.uuid4 = lambda: uuid.UUID(int=7)  # of the sweep
    os.environ["TILER_TARGETS"] = "witness"
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(job)()
    finally:
        Path("after.txt").write_text(str(HydraConfig.initialized()))
