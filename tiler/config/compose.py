"""Compose the configuration of a command ahead of Hydra, and check what Hydra would call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tiler.config.checks.choices import check_choices
from tiler.config.checks.hydra_nodes import check_hydra
from tiler.config.checks.interpolations import check_interpolations
from tiler.config.checks.sources import check_defaults, check_search_path
from tiler.config.checks.typed import typed_keys
from tiler.config.command.flags import CommandLine
from tiler.config.command.folder import conf_folder
from tiler.config.sweeps.job_loader import JobLoader, name_job
from tiler.config.sweeps.multirun import EXCLUDED, fixed_keys, named_after_swept_keys
from tiler.errors import ConfigError

VERSION_BASE = "1.3"
JOB_NAME = "cli"
"""Hydra's name of the job: that of the module with the function that it runs."""
SWEEPING = "hydra.mode=MULTIRUN"


@dataclass(frozen=True)
class Composed:
    """A configuration that was composed and checked.

    Attributes
    ----------
    config
        The configuration as Hydra is going to compose it, with Hydra's own node.
    sweeps
        True for a sweep, which a flag or a file requested.
    lines
        The overrides of a sweep's jobs, those of its file first.
    typed
        The keys that the command itself sets.
    loader
        Hydra's loader, which composed it.
    """

    config: DictConfig
    sweeps: bool
    loader: ConfigLoader
    lines: tuple[Override, ...] = ()
    typed: frozenset[str] = frozenset()


def compose(line: CommandLine) -> Composed:
    """Compose the configuration of a command, and check that Hydra may instantiate it.

    Parameters
    ----------
    line
        The command line. From here on Hydra, too, looks for options in its folder.

    Raises
    ------
    ConfigError
        If a node of Hydra's names something that is not allowed.
    HydraException, OmegaConfBaseException
        If there is no such configuration.
    """
    given = (line.config_dir, line.config_path)
    folders = [folder for folder in given if folder is not None and folder != conf_folder()]
    if folders:
        from tiler.config.checks.bombs import check_early_keys, check_files

        for folder in folders:
            check_files(folder)
    with _loader(line) as loader:
        words = [*line.overrides, *([SWEEPING] if line.multirun else [])]
        overrides = OverridesParser.create(loader).parse_overrides(words)
        typed = typed_keys(overrides)
        check_search_path(loader, line, overrides)
        if folders:
            check_early_keys([*folders, conf_folder()], overrides)
        config = _composed(loader, line, words, overrides)
        check_interpolations(config)
        check_defaults(loader, line.config_name, config, words)
        check_hydra(config, typed)
        if config.hydra.mode is not RunMode.MULTIRUN:
            check_choices(loader, line.config_name, config, overrides)
            return Composed(config, False, loader, typed=typed)
        from tiler.config.checks.bombs import check_jobs

        swept = _sweep_lines(loader, line, config)
        check_jobs([*swept, *overrides])
        check_choices(loader, line.config_name, config, [*swept, *overrides])
        hydras = [
            word for word, own in zip(words, overrides, strict=True) if own.is_hydra_override()
        ]
        tasks = [override for override in overrides if not override.is_hydra_override()]
        lines = (*swept, *tasks)
        _name_jobs(config, line, lines, tasks)
        jobs = JobLoader(loader, config)
        for job in _jobs_apart(loader, line, swept, overrides):
            composed = jobs.load_sweep_config(config, job)
            check_interpolations(composed)
            check_defaults(loader, line.config_name, composed, [*hydras, *job])
            check_hydra(composed, typed)
    return Composed(config, True, jobs, lines, typed)


def _name_jobs(
    config: DictConfig, line: CommandLine, lines: Sequence[Override], tasks: Sequence[Override]
) -> None:
    """Name jobs after swept keys only, as if the command had set that."""
    OmegaConf.update(config, EXCLUDED, fixed_keys(lines))
    name_job(config, tasks)
    own = [] if line.multirun else [SWEEPING]
    config.hydra.overrides.hydra.extend([*own, named_after_swept_keys(lines)])


def _composed(
    loader: ConfigLoader, line: CommandLine, words: list[str], overrides: Sequence[Override]
) -> DictConfig:
    """Compose a run, or a sweep that a flag or a file requests."""
    if not line.multirun:
        try:
            return loader.load_configuration(line.config_name, words, RunMode.RUN)
        except HydraException:  # a sweep may leave an option open, and list values of a key
            if not _may_sweep(line, overrides):
                raise
            config = loader.load_configuration(line.config_name, words, RunMode.MULTIRUN)
            if config.hydra.mode is not RunMode.MULTIRUN:
                raise
            return config
    return loader.load_configuration(line.config_name, words, RunMode.MULTIRUN)


def _may_sweep(line: CommandLine, overrides: Sequence[Override]) -> bool:
    """Return whether a command without the flag may be a sweep, or looks like one.

    tiler's own files request none. Composing a command again only to find this out took 0.1 s.
    """
    own = line.config_path == conf_folder() and line.config_dir is None
    return not own or any(
        one.is_sweep_override() or _is_hydras(one.key_or_group) for one in overrides
    )


@contextmanager
def _loader(line: CommandLine) -> Iterator[ConfigLoader]:
    if line.config_dir is not None:
        _search_also(line.config_dir)
    with initialize_config_dir(str(line.config_path), JOB_NAME, version_base=VERSION_BASE):
        yield GlobalHydra.instance().config_loader()


def _search_also(folder: Path) -> None:
    """Make Hydra search a folder for options, after its own and tiler's."""

    class CommandLineFolder(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            search_path.append("command-line", f"file://{folder}")

    Plugins.instance().register(CommandLineFolder)


def _sweep_lines(loader: ConfigLoader, line: CommandLine, config: DictConfig) -> list[Override]:
    """Return the overrides that a file sets for each job of a sweep."""
    params = OmegaConf.select(config, "hydra.sweeper.params") or {}
    written = OmegaConf.to_container(params) if params else {}
    assert isinstance(written, dict)
    words = [f"{key}={value}" for key, value in params.items()]
    lines = OverridesParser.create(loader).parse_overrides(words)
    for override, (key, value) in zip(lines, written.items(), strict=True):
        if "${" in str(value) and _reaches_hydra(loader, line, override):
            raise ConfigError(f"hydra.sweeper.params.{key}={value}: write the options out")
    return lines


def _jobs_apart(
    loader: ConfigLoader,
    line: CommandLine,
    swept: Sequence[Override],
    overrides: Sequence[Override],
) -> Iterator[list[str]]:
    """Yield the overrides of one job of each kind whose Hydra nodes may differ.

    A job's values do not reach them. The options that it chooses may, by what their files contain.
    """
    lines = [*((one, True) for one in swept), *((one, False) for one in overrides)]
    known = {
        override.get_key_element(): (override, of_a_file or override.is_sweep_override())
        for override, of_a_file in lines
        if of_a_file or not override.is_hydra_override()
    }
    reach = {
        key: own and _reaches_hydra(loader, line, override)
        for key, (override, own) in known.items()
    }
    if not any(reach.values()):
        return
    choices = []
    for key, (override, _) in known.items():
        values = [f"{key}={value}" for value in _values(override)]
        if values:
            choices.append(values if reach[key] else values[:1])
    yield from (list(words) for words in product(*choices))


def _values(override: Override) -> Iterator[str]:
    if not override.is_sweep_override():
        yield override.get_value_element_as_str()
    elif override.is_discrete_sweep():
        yield from override.sweep_string_iterator()


def _reaches_hydra(loader: ConfigLoader, line: CommandLine, override: Override) -> bool:
    """Return whether an override, or the file it chooses, may change a node of Hydra's."""
    key = override.key_or_group
    options = loader.get_group_options(
        key, config_name=line.config_name, overrides=list(line.overrides)
    )
    return _is_hydras(key) or bool(options)


def _is_hydras(key: str) -> bool:
    """Return whether a key is Hydra's node, one of its groups, or below."""
    return key.split(".")[0].split("/")[0] == "hydra"
