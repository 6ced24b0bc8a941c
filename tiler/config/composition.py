"""Compose once what Hydra composes again: for a run and its mode, and for the jobs of a sweep.

Hydra composes all to find out whether it is to sweep, and then again. It reads and merges every
file anew for each job of a sweep, and does so twice. Jobs that choose the same options of the
groups differ in single values, which are set last of all: here, on a copy.
"""

from __future__ import annotations

import pickle
from typing import Any

import hydra._internal.hydra as hydra_application
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from tiler.config.multirun import parsed

_MODES: tuple[list[str], ...] = ([], ["hydra.mode=RUN"], ["hydra.mode=MULTIRUN"])
"""What Hydra adds to the words once it knows the mode."""


def share_compositions() -> None:
    """Have Hydra compose with ``SharingLoader``, in all that this process does."""
    vars(hydra_application)["ConfigLoaderImpl"] = SharingLoader


class QuicklyCopied(DictConfig):
    """A configuration that is copied in a third of the time: Hydra makes four copies for a job."""

    def __deepcopy__(self, memo: dict[int, Any]) -> QuicklyCopied:
        """A copy that keeps its parent, as OmegaConf's own does."""
        parent = self._get_parent()
        self._set_parent(None)  # or it would be copied too
        try:
            copied: QuicklyCopied = pickle.loads(pickle.dumps(self))
        finally:
            self._set_parent(parent)
        copied._set_parent(parent)
        return copied


def _quickly_copied(config: DictConfig) -> DictConfig:
    for node in (config, config.hydra):
        object.__setattr__(node, "__class__", QuicklyCopied)
    return config


class SharingLoader(ConfigLoaderImpl):
    """Hydra's loader, which composes once for a run, and at a tenth of the cost for a job."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self._asked: tuple[list[str], DictConfig] | None = None
        self._shared: dict[tuple[str, ...], bytes] = {}

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """The configuration of a run or a sweep, equal to the one that Hydra composes.

        Parameters
        ----------
        config_name, overrides, run_mode, from_shell
            As Hydra has them.
        validate_sweep_overrides
            False where Hydra wants to know the mode alone, before it asks for the same words again.

        Raises
        ------
        ConfigCompositionException
            When a word does not fit the configuration.
        """
        compose = super().load_configuration
        if not validate_sweep_overrides:
            words = list(overrides)
            try:  # as for a run: where no choice is left open, a sweep's is no other
                config = compose(config_name, words, RunMode.RUN, from_shell, False)
            except HydraException:
                return compose(config_name, words, run_mode, from_shell, False)
            self._asked = words, _quickly_copied(config)
            return config
        asked, self._asked = self._asked, None
        if asked is None or overrides not in [asked[0] + mode for mode in _MODES]:
            return compose(config_name, overrides, run_mode, from_shell)
        words, config = asked
        every = [parsed(word) for word in overrides]
        self.validate_sweep_overrides_legal(every, run_mode, from_shell)
        added = every[len(words) :]
        self._apply_overrides_to_config(added, config)
        config.hydra.overrides.hydra += [word.input_line for word in added]
        return config

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """The configuration of a job, equal to the one that Hydra composes.

        Parameters
        ----------
        master_config
            The sweep's.
        sweep_overrides
            The job's words.

        Raises
        ------
        ConfigCompositionException
            When a word does not fit the configuration.
        """
        overrides = [parsed(word) for word in sweep_overrides]
        # This loader knows no groups of a search path, and composing reads some of Hydra's keys.
        if master_config.hydra.searchpath or any(word.is_hydra_override() for word in overrides):
            return super().load_sweep_config(master_config, sweep_overrides)
        self.validate_sweep_overrides_legal(overrides, RunMode.RUN, from_shell=True)
        values = [override for override in overrides if self._is_value(override)]
        choices = [override.input_line or "" for override in overrides if override not in values]
        config = self._composed(master_config, tuple(choices))
        self._apply_overrides_to_config(values, config)
        with open_dict(config.hydra):
            config.hydra.overrides.task = list(sweep_overrides)
            config.hydra.job.override_dirname = get_overrides_dirname(
                overrides, **config.hydra.job.config.override_dirname
            )
        OmegaConf.copy_cache(from_config=master_config, to_config=config)
        return config

    def _is_value(self, override: Override) -> bool:
        """Whether a word sets a value, rather than choosing a group's option."""
        key = override.key_or_group
        return isinstance(override.value(), dict) or not self.repository.group_exists(key)

    def _composed(self, master: DictConfig, choices: tuple[str, ...]) -> DictConfig:
        """The configuration before any value is set: a copy for each who asks."""
        hydras = OmegaConf.to_container(master.hydra.overrides.hydra)  # as written: ${threshold}
        assert isinstance(hydras, list)
        words = (*map(str, hydras), *choices)
        if words not in self._shared:
            config = self.load_configuration(master.hydra.job.config_name, list(words), RunMode.RUN)
            self._shared[words] = pickle.dumps(_quickly_copied(config))
        copied: DictConfig = pickle.loads(self._shared[words])
        return copied
