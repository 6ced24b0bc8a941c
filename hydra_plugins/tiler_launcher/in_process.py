"""Run the jobs of a sweep one after the other in this process, composing alike jobs once.

Hydra composes a job to check it, and to launch it. Here the second one is a copy if it can be.
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
_MOST_KINDS = 16  # configurations that are kept for copies: some 0.3 MB each


ConfigStore.instance().store(
    group="hydra/launcher",
    name="in_process",
    node={"_target_": "hydra_plugins.tiler_launcher.in_process.InProcessLauncher"},
)


class InProcessLauncher(Launcher):
    """Does what Hydra's basic launcher does, with half of the compositions."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what all jobs share."""
        self.context, self.task, self.sweep = hydra_context, task_function, config
        self.kinds: dict[object, DictConfig] = {}
        self.groups: dict[str, bool] = {}

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a job for each list of overrides; what each returned."""
        own = self.sweep.hydra
        Path(str(own.sweep.dir)).mkdir(parents=True, exist_ok=True)
        done = []
        for number, words in enumerate(job_overrides, initial_job_idx):
            configure_log(own.hydra_logging, own.verbose)  # a job has its own
            log.info("#%d: %s", number, " ".join(words))
            config = self.composed(list(words))
            with open_dict(config):
                config.hydra.job.id = config.hydra.job.num = number
            keys = "hydra.sweep.dir", "hydra.sweep.subdir"
            done.append(run_job(self.task, config, *keys, hydra_context=self.context))
        configure_log(own.hydra_logging, own.verbose)
        return done

    def composed(self, words: list[str]) -> DictConfig:
        """A job's configuration, equal to the one that Hydra composes."""
        loader = self.context.config_loader
        overrides = OverridesParser.create(loader).parse_overrides(words)
        values = [override for override in overrides if not self.chooses(override)]
        chosen = tuple(word.input_line for word in overrides if word not in values)
        kind = frozenset(value.key_or_group for value in values), chosen
        hydras = any(word.is_hydra_override() for word in overrides)
        if hydras or not apart(values) or self.sweep.hydra.searchpath:  # it may hold other groups
            return loader.load_sweep_config(self.sweep, words)
        if kind not in self.kinds:
            if len(self.kinds) == _MOST_KINDS:
                del self.kinds[next(iter(self.kinds))]
            self.kinds[kind] = loader.load_sweep_config(self.sweep, words)
        config = copy.deepcopy(self.kinds[kind])
        for override in values:
            OmegaConf.update(config, override.key_or_group, override.value())
        naming = config.hydra.job.config.override_dirname
        named = [str(o.input_line) for o in overrides if o.key_or_group not in naming.exclude_keys]
        name = naming.item_sep.join(sorted(named))
        config.hydra.job.override_dirname = name.replace("=", naming.kv_sep)
        config.hydra.overrides.task = words
        OmegaConf.copy_cache(self.sweep, config)
        return config

    def chooses(self, override: Override) -> bool:
        """Whether an override chooses an option of a group."""
        key = override.key_or_group
        if key not in self.groups:
            self.groups[key] = bool(self.context.config_loader.get_group_options(key))
        return self.groups[key] and not isinstance(override.value(), dict)


def apart(overrides: Sequence[Override]) -> bool:
    """Whether overrides set single values that are there, each by itself: in any order the same."""
    keys = sorted(f"{override.key_or_group}." for override in overrides)
    plain = not any(word.is_add() or word.is_force_add() or word.is_delete() for word in overrides)
    single = not any(isinstance(word.value(), dict) or word.package for word in overrides)
    return plain and single and not any(other.startswith(one) for one, other in pairwise(keys))
