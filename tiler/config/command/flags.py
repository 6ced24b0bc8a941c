"""The command line: Hydra's documented flags and the overrides, read before Hydra reads them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tiler.config.command.folder import conf_folder
from tiler.errors import ConfigError
from tiler.storage.named import is_folder

_SWITCHES = (
    ("--help", "-h"),
    ("--hydra-help",),
    ("--version",),
    ("--resolve",),
    ("--run", "-r"),
    ("--multirun", "-m"),
    ("--shell-completion", "-sc"),
)
_WITH_VALUE = (
    ("--package", "-p"),
    ("--config-path", "-cp"),
    ("--config-name", "-cn"),
    ("--config-dir", "-cd"),
    ("--experimental-rerun",),
)
_SECTIONS = ("job", "hydra", "all")
_FACTS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_PRINTING = ("help", "hydra_help", "version", "cfg", "resolve", "package", "shell_completion",
             "info")  # fmt: skip
"""Flags that print something about the configuration instead of running it."""


@dataclass(frozen=True)
class CommandLine:
    """A command line.

    Attributes
    ----------
    overrides
        The arguments that are no flags, in order.
    config_name, config_path
        Name and folder of the primary configuration; by default tiler's own.
    config_dir
        The user's own folder of options, absolute.
    multirun
        True for a sweep.
    printing
        The flags that print instead of running, as Hydra reads them.
    """

    overrides: tuple[str, ...]
    config_name: str
    config_path: Path
    config_dir: Path | None = None
    multirun: bool = False
    printing: tuple[str, ...] = ()


def read_command_line(arguments: Sequence[str]) -> CommandLine:
    """Read Hydra's documented flags and the overrides from the arguments of a command.

    Raises
    ------
    ConfigError
        If a flag is unknown, lacks its value, or names a configuration that cannot be checked.
    """
    found = _parser().parse_intermixed_args(arguments)
    if found.experimental_rerun is not None:
        raise ConfigError(
            "--experimental-rerun reads a pickle, which can run any code; use --rerun RUN_FOLDER"
        )
    if found.run and found.multirun:
        raise ConfigError("--run and --multirun exclude each other; leave one out")
    if found.config_path is not None and not Path(found.config_path).is_absolute():
        raise ConfigError(
            f"--config-path={found.config_path} is not an absolute path; to add your own options"
            " to those of tiler, use --config-dir"
        )
    return CommandLine(
        tuple(found.overrides),
        found.config_name or "config",
        conf_folder() if found.config_path is None else _folder("path", found.config_path),
        None if found.config_dir is None else _folder("dir", found.config_dir),
        found.multirun,
        tuple(_printing(found)),
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; tiler --hydra-help lists the flags")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    for flags in _SWITCHES:
        parser.add_argument(*flags, action="store_true")
    for flags in _WITH_VALUE:
        parser.add_argument(*flags)
    parser.add_argument("--cfg", "-c", choices=_SECTIONS)
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=_FACTS)
    return parser


def _folder(flag: str, text: str) -> Path:
    path = Path(os.path.abspath(text))
    if not is_folder(path):
        raise ConfigError(f"--config-{flag}={text}: no such folder")
    return path


def _printing(found: argparse.Namespace) -> list[str]:
    flags = []
    for name in _PRINTING:
        value = getattr(found, name)
        flag = f"--{name.replace('_', '-')}"
        flags += [flag] if value is True else [flag, value] if value else []
    return flags
