"""Compose once what Hydra composes again: for a run and its mode, and for the jobs of a sweep.

Hydra composes all to find out whether it is to sweep, and then again. It reads and merges every
file anew for each job of a sweep, and does so twice. Jobs that choose the same options of the
groups differ in single values, which are set last of all: here, on a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import hydra._internal.hydra as hydra_application
import omegaconf.base
import omegaconf.grammar_parser
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tiler.config.copies import copied, quickly_copied
from tiler.config.multirun import parsed
from tiler.config.targets import check_targets

_Lines = tuple[str, ...]

_MODES: tuple[list[str], ...] = ([], ["hydra.mode=RUN"], ["hydra.mode=MULTIRUN"])
"""What Hydra adds to the words once it knows the mode."""

_HYDRAS = ("hydra", "hydra_plugins")
"""Where Hydra's own plugins and callbacks are."""

_PASSED_ON = ("hydra.job.env_set.", "hydra.job.config.override_dirname.")
"""Keys of Hydra's that ``SweepCallback`` sets for all jobs; what composing makes of them, ``_job``
makes again."""

_MAX_READY = 64
"""So many configurations of jobs are kept from the check to the job: some 0.3 MB each."""


def share_compositions() -> None:
    """Have Hydra compose with ``SharingLoader``, and OmegaConf parse a text once, from here on."""
    vars(hydra_application)["ConfigLoaderImpl"] = SharingLoader
    vars(omegaconf.base)["parse"] = lru_cache(omegaconf.grammar_parser.parse)


@dataclass(frozen=True)
class _Composed:
    """A configuration that was composed, and the words that it was composed of.

    Attributes
    ----------
    config
        Never handed out, only copies of it.
    hydras, choices, values
        Words for Hydra itself; those that choose options; those that set values. Of the command
        that Hydra starts with, those that are swept are in none of them.
    """

    config: DictConfig
    hydras: _Lines
    choices: _Lines
    values: _Lines = ()


class SharingLoader(ConfigLoaderImpl):
    """Hydra's loader, which composes once for a run, and at a tenth of the cost for a job."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self._asked: tuple[list[str], DictConfig] | None = None
        self._known: list[_Composed] = []
        self._groups: dict[str, bool] = {}
        self._ready: dict[_Lines, tuple[DictConfig, DictConfig]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_ready": {}}  # other machines run a job each, not all of them

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
        compose = self._checked
        if not validate_sweep_overrides:
            words = list(overrides)
            try:  # as for a run: where no choice is left open, a sweep's is no other
                config = compose(config_name, words, RunMode.RUN, from_shell, False)
            except HydraException:
                return compose(config_name, words, run_mode, from_shell, False)
            self._asked = words, quickly_copied(config)
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
        if run_mode is RunMode.MULTIRUN:
            self._remember(config, every)
        return config

    def _checked(self, *words: Any) -> DictConfig:
        """What Hydra composes, if all that Hydra itself is going to call may be called."""
        config = super().load_configuration(*words)
        for part in ("callbacks", "launcher", "sweeper"):
            node = config.hydra._get_node(part)  # as it is written: ${…} is nothing to call
            if OmegaConf.is_config(node) and not node._is_none():
                check_targets(OmegaConf.to_container(node), f"hydra.{part}", _HYDRAS)
        return config

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """The configuration of a job, equal to the one that Hydra composes.

        Hydra asks for it twice: to check all jobs before the first begins, and when this one does.

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
        words = tuple(sweep_overrides)
        master, ready = self._ready.pop(words, (None, None))
        if ready is not None and master is master_config:
            OmegaConf.copy_cache(from_config=master_config, to_config=ready)
            return ready
        config = self._job(master_config, sweep_overrides)
        if len(self._ready) < _MAX_READY:
            self._ready[words] = master_config, copied(config)
        return config

    def _job(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        overrides = [parsed(word) for word in sweep_overrides]
        # This loader knows no groups of a search path, and composing reads some of Hydra's keys.
        if master_config.hydra.searchpath or any(word.is_hydra_override() for word in overrides):
            return super().load_sweep_config(master_config, sweep_overrides)
        self.validate_sweep_overrides_legal(overrides, RunMode.RUN, from_shell=True)
        values = [word for word in overrides if self._is_value(word)]
        choices = [word for word in overrides if word not in values]
        base = self._base(master_config, _lines(choices), _lines(values))
        config = copied(base.config)
        fixed = [word for word in values if word.input_line in base.values]
        own = [word for word in values if word not in fixed]
        if any(_overlap(word, other) for word in own for other in fixed):
            own = values  # the later of two wins
        self._apply_overrides_to_config(own, config)
        config.hydra.overrides.task = list(sweep_overrides)
        config.hydra.job.override_dirname = get_overrides_dirname(
            overrides, **config.hydra.job.config.override_dirname
        )
        OmegaConf.copy_cache(from_config=master_config, to_config=config)
        return config

    def _is_value(self, override: Override) -> bool:
        """Whether a word sets a value, rather than choosing a group's option."""
        key = override.key_or_group
        if key not in self._groups:
            self._groups[key] = self.repository.group_exists(key)
        return isinstance(override.value(), dict) or not self._groups[key]

    def _remember(self, config: DictConfig, words: Sequence[Override]) -> None:
        """Keep a sweep's own configuration for its jobs, unless setting its values twice harms."""
        fixed = [word for word in words if not word.is_sweep_override()]
        hydras = [word for word in fixed if word.is_hydra_override()]
        values = [word for word in fixed if word not in hydras and self._is_value(word)]
        choices = [word for word in fixed if word not in hydras + values]
        if not any(word.is_add() or word.is_force_add() or word.is_delete() for word in values):
            self._known.append(_Composed(copied(config), *map(_lines, (hydras, choices, values))))

    def _base(self, master: DictConfig, choices: _Lines, values: _Lines) -> _Composed:
        """What jobs with these choices and values, and maybe other values, can begin with."""
        own = OmegaConf.to_container(master.hydra.overrides.hydra)  # as written: ${threshold}
        assert isinstance(own, list)
        hydras = tuple(map(str, own))
        fit = [
            known
            for known in self._known
            if known.choices == choices and set(known.values) <= set(values)
        ]
        for known in fit:
            if known.hydras == hydras:
                return known
        for known in fit:
            added = hydras[len(known.hydras) :]
            if known.hydras + added == hydras and all(map(_is_passed_on, added)):
                self._known.append(self._with(known, added))
                return self._known[-1]
        name = master.hydra.job.config_name
        config = self.load_configuration(name, [*hydras, *choices], RunMode.RUN)
        self._known.append(_Composed(quickly_copied(config), hydras, choices))
        return self._known[-1]

    def _with(self, known: _Composed, added: _Lines) -> _Composed:
        """The same with more of Hydra's keys set."""
        config = copied(known.config)
        self._apply_overrides_to_config([parsed(word) for word in added], config)
        config.hydra.overrides.hydra += list(added)
        return _Composed(config, known.hydras + added, known.choices, known.values)


def _lines(words: Sequence[Override]) -> _Lines:
    return tuple(word.input_line or "" for word in words)


def _overlap(word: Override, other: Override) -> bool:
    one, two = (f"{override.key_or_group}." for override in (word, other))
    return one.startswith(two) or two.startswith(one)


def _is_passed_on(line: str) -> bool:
    return line.lstrip("+").startswith(_PASSED_ON)
