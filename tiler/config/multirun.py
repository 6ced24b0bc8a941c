"""A multirun's own knowledge: what is swept, where its jobs go, and which sweep a job is of."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from tiler.config.folder import help_text

_VARIABLE = "TILER_SWEEP"
_MAX_NAME = 120


@dataclass(frozen=True)
class Sweep:
    """A multirun: its id, the keys it sweeps, and in the launching process its folder."""

    sweep_id: str
    keys: tuple[str, ...]
    folder: Path | None = None


_launched: Sweep | None = None


def launched_sweep() -> Sweep | None:
    """The multirun that this process launches, if it does."""
    return _launched


def current_sweep() -> Sweep | None:
    """The multirun that this job is part of, if it is."""
    words = os.environ.get(_VARIABLE, "").split()
    return Sweep(words[0], tuple(words[1:])) if words else None


def swept_values(sweep: Sweep, overrides: list[str]) -> dict[str, str]:
    """The value that a job has for each swept key."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    values = {override.key_or_group: override.get_value_element_as_str() for override in parsed}
    return {key: values[key] for key in sweep.keys if key in values}


def register_resolvers() -> None:
    """Make known to OmegaConf what the configuration asks for: a job's folder, and the help."""
    OmegaConf.register_new_resolver("tiler_job_folder", job_folder, replace=True)
    OmegaConf.register_new_resolver("tiler_help", help_text, replace=True)


def job_folder(overrides: str) -> str:
    """A folder name that says what was swept, safe and not too long."""
    name = re.sub(r"[^\w.,=+@\-\[\] ]", "_", overrides)
    if len(name) > _MAX_NAME:
        name = f"{name[:_MAX_NAME]}-{sha256(overrides.encode()).hexdigest()[:8]}"
    return name.strip(". ") or "job"


class SweepCallback(Callback):
    """Tells each job which keys are swept, before the first one starts."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Name the jobs' folders after what is swept, and hand the sweep's id down."""
        global _launched
        parser = OverridesParser.create()
        params = OmegaConf.select(config, "hydra.sweeper.params") or {}
        lines = [*_lines(params), *config.hydra.overrides.task]
        parsed = {o.key_or_group: o for o in parser.parse_overrides(lines)}
        keys = tuple(key for key, override in parsed.items() if override.is_sweep_override())
        fixed = [key for key in parsed if key not in keys]
        sweep_id = uuid.uuid4().hex[:12]
        _launched = Sweep(sweep_id, keys, Path(config.hydra.sweep.dir))
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.overrides.hydra += [
                f"hydra.job.config.override_dirname.exclude_keys=[{','.join(fixed)}]",
                f"+hydra.job.env_set.{_VARIABLE}='{' '.join([sweep_id, *keys])}'",
            ]


def _lines(params: Mapping[Any, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in params.items()]
