"""Check where a configuration is read from: nothing is imported for it, and no time chooses it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tiler.checks.targets import is_trusted
from tiler.config.command.flags import CommandLine
from tiler.config.command.folder import conf_folder
from tiler.errors import ConfigError

_SEARCH_PATH = "hydra.searchpath"
_GROUP = re.compile(r"\$\{[\w./@]+\}")


def check_search_path(
    loader: ConfigLoader, line: CommandLine, overrides: Sequence[Override]
) -> None:
    """Refuse folders of options that are packages: to look into one is to import it.

    Parameters
    ----------
    loader
        Finds the primary configuration, the only file that may name such folders.
    line
        The command line, which chooses the primary configuration.
    overrides
        Those of the command.

    Raises
    ------
    ConfigError
        If one is neither a folder nor a package that the environment names.
    """
    given = (word.value() for word in overrides if word.get_key_element() == _SEARCH_PATH)
    found = next(given, None)
    own = line.config_name == "config" and line.config_path == conf_folder()
    if found is None and not own:  # tiler's own has none, and to read it takes 14 ms
        found = _of_primary(loader, line.config_name)
    for entry in found if isinstance(found, list) else [found]:
        if isinstance(entry, str) and not _is_folder(entry):
            raise ConfigError(
                f"{_SEARCH_PATH}={entry}: only folders are searched, as file:///absolute/path, or"
                " pkg://PACKAGE with a package that TILER_TARGETS names"
            )


def _of_primary(loader: ConfigLoader, name: str) -> Any:
    """Return the unresolved search path of a primary configuration."""
    source = next((source for source in loader.get_sources() if source.is_config(name)), None)
    if source is None:
        return None
    plain = OmegaConf.to_container(source.load_config(name).config)
    hydra = plain.get("hydra") if isinstance(plain, dict) else None
    return hydra.get("searchpath") if isinstance(hydra, dict) else hydra


def _is_folder(entry: str) -> bool:
    begins = entry.partition("${")[0]  # an interpolation may yield anything
    scheme, found, rest = begins.partition("://")
    if not found:
        return begins == entry or begins.startswith(("/", "."))
    return scheme == "file" or (scheme == "pkg" and is_trusted(rest.replace("/", ".")))


def check_defaults(
    loader: ConfigLoader, name: str, config: DictConfig, words: Sequence[str]
) -> None:
    """Refuse defaults lists of the user's own files that choose an option by a resolver.

    Hydra composes more than once, and a resolver such as ``now`` chooses otherwise the next time.

    Parameters
    ----------
    loader, name, words
        The loader, the name and the overrides with which the configuration was composed.
    config
        That configuration.

    Raises
    ------
    ConfigError
        If a defaults list contains a resolver.
    """
    sources = config.hydra.runtime.config_sources
    folders = [
        Path(source.path)
        for source in sources
        if source.schema == "file" and Path(source.path) != conf_folder()
    ]
    if not folders:
        return
    chosen = loader.compute_defaults_list(name, list(words), RunMode.MULTIRUN).defaults
    for path in {str(default.config_path).removesuffix(".yaml") for default in chosen}:
        for file in (folder / f"{path}.yaml" for folder in folders):
            for text in _default_texts(file) if file.is_file() else ():
                if "${" in _GROUP.sub("", text):
                    raise ConfigError(
                        f"{file}: defaults: {text}: an option is chosen by its name, or by that of"
                        " another group's option as ${GROUP}"
                    )


def _default_texts(file: Path) -> Iterator[str]:
    plain = OmegaConf.to_container(OmegaConf.load(file))
    entries = plain.get("defaults") if isinstance(plain, dict) else None
    yield from _texts(entries)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, below in value.items():
            yield str(name)
            yield from _texts(below)
    elif isinstance(value, list):
        for below in value:
            yield from _texts(below)
    elif value is not None:
        yield str(value)
