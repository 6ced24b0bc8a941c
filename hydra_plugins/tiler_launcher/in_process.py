"""Launcher that runs the jobs of a sweep one after the other in this process.

Hydra composes each job twice, to check and to launch it. Where possible, the second is a copy.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, configure_log, run_job
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

log = logging.getLogger(__name__)
_MOST_KINDS = 16  # configurations kept as templates, about 0.3 MB each


ConfigStore.instance().store(
    group="hydra/launcher",
    name="in_process",
    node={"_target_": "hydra_plugins.tiler_launcher.in_process.InProcessLauncher"},
)


class InProcessLauncher(Launcher):
    """Hydra's basic launcher with half of its compositions."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store the objects that all jobs share."""
        self.context, self.task, self.sweep = hydra_context, task_function, config
        self.kinds: dict[object, DictConfig] = {}
        self.groups: dict[str, bool] = {}

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
            config = self.composed(list(overrides))
            with open_dict(config):
                config.hydra.job.id = config.hydra.job.num = number
            keys = "hydra.sweep.dir", "hydra.sweep.subdir"
            done.append(run_job(self.task, config, *keys, hydra_context=self.context))
        configure_log(own.hydra_logging, own.verbose)
        return done

    def composed(self, texts: list[str]) -> DictConfig:
        """Return a job's configuration, equal to the one that Hydra composes."""
        loader = self.context.config_loader
        overrides = OverridesParser.create(loader).parse_overrides(texts)
        values = [override for override in overrides if not self.chooses(override)]
        chosen = tuple(one.input_line for one in overrides if one not in values)
        kind = frozenset(value.key_or_group for value in values), chosen
        hydras = any(one.is_hydra_override() for one in overrides)
        if hydras or not apart(values) or self.sweep.hydra.searchpath:  # it may hold other groups
            return loader.load_sweep_config(self.sweep, texts)
        if kind not in self.kinds:
            if len(self.kinds) == _MOST_KINDS:
                del self.kinds[next(iter(self.kinds))]
            self.kinds[kind] = loader.load_sweep_config(self.sweep, texts)
        config = copy.deepcopy(self.kinds[kind])
        for override in values:
            OmegaConf.update(config, override.key_or_group, override.value())
        naming = config.hydra.job.config.override_dirname
        named = [str(o.input_line) for o in overrides if o.key_or_group not in naming.exclude_keys]
        name = naming.item_sep.join(sorted(named))
        config.hydra.job.override_dirname = name.replace("=", naming.kv_sep)
        config.hydra.overrides.task = texts
        OmegaConf.copy_cache(self.sweep, config)
        return config

    def chooses(self, override: Override) -> bool:
        """Return whether an override chooses an option of a group."""
        key = override.key_or_group
        if key not in self.groups:
            self.groups[key] = bool(self.context.config_loader.get_group_options(key))
        return self.groups[key] and not isinstance(override.value(), dict)


def apart(overrides: Sequence[Override]) -> bool:
    """Return whether overrides set existing single values, so that their order is irrelevant."""
    keys = sorted(f"{override.key_or_group}." for override in overrides)
    plain = not any(one.is_add() or one.is_force_add() or one.is_delete() for one in overrides)
    single = not any(isinstance(one.value(), dict) or one.package for one in overrides)
    return plain and single and not any(other.startswith(one) for one, other in pairwise(keys))
