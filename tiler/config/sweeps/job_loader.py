"""Compose the jobs of a sweep; jobs that differ in plain values only are composed once."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

_MOST_KINDS = 256  # templates that are kept, about 20 kB each


class JobLoader(ConfigLoader):
    """Hydra's loader, which returns copies for jobs that differ in plain values only.

    Hydra's sweeper composes each job to validate it, and its launcher composes it again.

    Parameters
    ----------
    loader
        Hydra's own loader.
    sweep
        The configuration of the sweep, with Hydra's own node.
    """

    def __init__(self, loader: ConfigLoader, sweep: DictConfig) -> None:
        self._loader, self._sweep = loader, sweep
        self._pickled = pickle.dumps(sweep)
        self._groups: dict[str, bool] = {}
        self._overrides: dict[str, Override] = {}
        self._kinds: dict[object, bytes] = {}
        words = OmegaConf.to_container(sweep.hydra.overrides.task)  # as written, not resolved
        self._chosen, self._set = self._kind(self._parsed(cast("list[str]", words)))

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """Return a job's configuration, equal to the one that Hydra's own loader returns."""
        texts = list(sweep_overrides)
        overrides = self._parsed(texts)
        values = [override for override in overrides if not self._chooses(override)]
        if (
            master_config is not self._sweep
            or any(override.is_hydra_override() for override in overrides)
            or not independent(values)
            or self._sweep.hydra.searchpath  # there may be other groups
        ):
            return self._loader.load_sweep_config(master_config, texts)
        # 0.8 ms, where a deep copy takes 5 ms
        config: DictConfig = pickle.loads(self._template(overrides, texts))
        try:
            for override in values:
                OmegaConf.update(config, override.key_or_group, override.value())
        except OmegaConfBaseException:  # Hydra reports it as a mistake in the override
            return self._loader.load_sweep_config(master_config, texts)
        config.hydra.overrides.task = texts
        name_job(config, overrides)
        OmegaConf.copy_cache(self._sweep, config)
        return config

    def _template(self, overrides: Sequence[Override], texts: list[str]) -> bytes:
        """Return a pickled configuration: the job's, except for the values that the job sets."""
        chosen, keys = kind = self._kind(overrides)
        if (
            chosen == self._chosen
            and keys >= self._set
            and not OmegaConf.missing_keys(self._sweep.hydra.runtime.choices)  # Hydra refuses these
        ):
            return self._pickled
        if kind not in self._kinds:
            if len(self._kinds) == _MOST_KINDS:
                del self._kinds[next(iter(self._kinds))]
            self._kinds[kind] = pickle.dumps(self._loader.load_sweep_config(self._sweep, texts))
        return self._kinds[kind]

    def _kind(
        self, overrides: Sequence[Override]
    ) -> tuple[tuple[tuple[str, str], ...], frozenset[str]]:
        """Return the options that overrides choose, and the keys that they set to values."""
        chosen = {
            one.get_key_element(): _value_text(one) for one in overrides if self._chooses(one)
        }
        keys = frozenset(one.key_or_group for one in overrides if not self._chooses(one))
        return tuple(chosen.items()), keys

    def _chooses(self, override: Override) -> bool:
        """Return whether an override chooses an option of a group."""
        key = override.key_or_group
        if key not in self._groups:
            self._groups[key] = bool(self._loader.get_group_options(key))
        return self._groups[key] and not isinstance(override.value(), dict)

    def _parsed(self, texts: Sequence[str]) -> list[Override]:
        """Parse overrides; jobs of a sweep share most of theirs."""
        new = [text for text in texts if text not in self._overrides]
        parsed = OverridesParser.create(self._loader).parse_overrides(new)
        self._overrides |= zip(new, parsed, strict=True)
        return [self._overrides[text] for text in texts]

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Call Hydra's own loader."""
        return self._loader.load_configuration(
            config_name, overrides, run_mode, from_shell, validate_sweep_overrides
        )

    def get_search_path(self) -> ConfigSearchPath:
        """Call Hydra's own loader."""
        return self._loader.get_search_path()

    def get_sources(self) -> list[ConfigSource]:
        """Call Hydra's own loader."""
        return self._loader.get_sources()

    def list_groups(self, parent_name: str) -> list[str]:
        """Call Hydra's own loader."""
        return self._loader.list_groups(parent_name)

    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        """Call Hydra's own loader."""
        return self._loader.get_group_options(group_name, results_filter, config_name, overrides)

    def compute_defaults_list(
        self, config_name: str | None, overrides: list[str], run_mode: RunMode
    ) -> Any:
        """Call Hydra's own loader."""
        return self._loader.compute_defaults_list(config_name, overrides, run_mode)


def independent(overrides: Sequence[Override]) -> bool:
    """Return whether overrides set existing single values, so that their order is irrelevant."""
    keys = sorted(f"{override.key_or_group}." for override in overrides)
    plain = not any(one.is_add() or one.is_force_add() or one.is_delete() for one in overrides)
    single = not any(isinstance(one.value(), dict) or one.package for one in overrides)
    return plain and single and not any(other.startswith(one) for one, other in pairwise(keys))


def name_job(config: DictConfig, overrides: Sequence[Override]) -> None:
    """Name a job after its overrides, except those of keys that the configuration excludes."""
    naming = config.hydra.job.config.override_dirname
    named = [
        str(one.input_line) for one in overrides if one.key_or_group not in naming.exclude_keys
    ]
    name = naming.item_sep.join(sorted(named))
    config.hydra.job.override_dirname = name.replace("=", naming.kv_sep)


def _value_text(override: Override) -> str:
    if override.is_sweep_override():
        return str(override.input_line)
    return override.get_value_element_as_str()
