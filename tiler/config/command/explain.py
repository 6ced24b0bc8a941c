"""Hydra's errors in one line: its own text, in a few cases with a fix."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException
from yaml.error import MarkedYAMLError

from tiler.checks.targets import LISTS
from tiler.config.checks.validate import nearest, needed, package_line
from tiler.config.command.folder import conf_folder
from tiler.storage.named import unusable_path

_LONGEST = 600
_DETAILS = ("full_key:", "object_type=", "reference_type=")
_EXTRA = "hydra/launcher/submitit"
_UNKNOWN = re.compile(r"Could not override '([^']+)'")
_OF_A_FILE = re.compile(r"In '([^']+)': \w+ raised while composing config")
_OPTION = re.compile(r"Could not (?:load|find) '([a-z]+)/([^'/]+)'")
_AVAILABLE = "Available options in "
_NO_NAME = "Config group override must be a string or a list"
_AMBIGUOUS = re.compile(r"Ambiguous value for argument '([^'=]+)=([^']*)'")
_COMMA = re.compile(r"0,\d+")
"""A decimal number with a comma, as several languages write it."""

_MERGING = re.compile(
    r"Error merging override (\S+?)=(.*?)\s*Value .* could not be converted to (\w+)", re.DOTALL
)
_NO_LIST = re.compile(
    r"Error merging override (\S+?)=(.*?)\s*Invalid value assigned: \w+ is not a ListConfig",
    re.DOTALL,
)
_NO_MEMBER = re.compile(
    r"Error merging override (\S+?)=(.*?)\s*Invalid value '.*', expected one of \[(.*?)\]",
    re.DOTALL,
)
_LISTED = ("context", "pyramid")
"""Plain keys that are lists."""
_KINDS = {"Float": "a number", "Integer": "a whole number", "Boolean": "true or false"}


def explain(error: BaseException) -> str:
    """Describe an error of composing or launching in one line.

    Parameters
    ----------
    error
        An error of Hydra, OmegaConf or YAML.
    """
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        return f"{mark.name}, line {mark.line + 1}: {error.problem}" if mark else str(error.problem)
    if isinstance(error, UnicodeDecodeError):
        return f"a configuration file is not UTF-8: {error}"
    if what := unusable_path(error):
        return what
    text = f"{error}\n{error.__cause__}" if error.__cause__ is not None else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not isinstance(error, HydraException | OmegaConfBaseException | ValueError | OSError):
        return f"Hydra raised {error!r}; check the overrides that begin with hydra"
    if not lines:
        return type(error).__name__
    if isinstance(error, OverrideParseException):
        if "=" not in error.override:
            return _of_no_override(error.override)
        return (
            f"{lines[0]}; put quotes around a value with other than letters, digits and / - . _ :"
            " 'key=\"value\"'"
        )
    if unknown := _UNKNOWN.match(lines[0]):
        return _of_a_key(unknown.group(1).removesuffix("@").lstrip("+~"))
    if len(lines) > 1 and (composing := _OF_A_FILE.match(lines[0])):
        return _of_a_file(composing.group(1), lines[1:])
    if _EXTRA in text:
        return f"{lines[0]}: it needs the extra tiler[submitit]: pip install 'tiler[submitit]'"
    if option := _OPTION.search(lines[0]):
        return _of_an_option(option.group(1), option.group(2), lines[1:])
    if lines[0].startswith(_NO_NAME):
        return (
            "an option of a group is a name, not a number or null; choose one as in resolution=mpp,"
            " and set its keys as in resolution.value=0.5"
        )
    if problem := _of_a_value(lines[0], text):
        return problem
    first, *more = (line for line in lines if not line.startswith(_DETAILS))
    said = f"{first}: {' '.join(more)}" if more else first
    said = said.partition(" Config search path:")[0]
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"


def _of_no_override(argument: str) -> str:
    """Describe the mistake in an argument without an equals sign."""
    problem = f"{argument!r} is not an override"
    if argument in all_keys():
        return f"{problem}; write {argument}=VALUE, without spaces around the equals sign"
    if "/" in argument or os.sep in argument or os.path.lexists(argument):
        return f"{problem}; name slides as slides=files 'slides.paths={argument}'"
    return f"{problem}; write key=value without spaces, such as threshold=0.5"


def _of_a_value(line: str, text: str) -> str:
    """Describe the mistake in the value of an override; empty for another error.

    Parameters
    ----------
    line, text
        The first line of the error, and the whole of it.
    """
    if ambiguous := _AMBIGUOUS.search(line):
        key, values = ambiguous.groups()
        return f"{key}={values} is a sweep; add -m{_no_sweep(key, values)}"
    if merging := _MERGING.search(text):
        key, value, kind = merging.groups()
        return f"{key}={value} is invalid; use {_KINDS.get(kind, kind)}"
    if single := _NO_LIST.search(text):
        key, value = single.groups()
        return f"{key}={value} is not a list; write '{key}=[{value}]'"
    if listed_values := _NO_MEMBER.search(text):
        key, value, members = listed_values.groups()
        return f"{key}={value} is invalid; use one of {members}"
    return ""


def _no_sweep(key: str, values: str) -> str:
    """Return another fix for values that look like a sweep; empty if there is none."""
    if key in (*LISTS, *_LISTED):
        return f", or write a list as '{key}=[{values}]'"
    if _COMMA.fullmatch(values):
        return f", or write {key}={values.replace(',', '.')} with a decimal point"
    return ""


def _of_an_option(group: str, option: str, lines: Sequence[str]) -> str:
    """Name the options of a group that has no such option: those that Hydra lists, or tiler's."""
    start = next((i for i, line in enumerate(lines, 1) if line.startswith(_AVAILABLE)), None)
    found = () if start is None else takewhile(lambda line: " " not in line, lines[start:])
    names = list(found) or sorted(file.stem for file in conf_folder().glob(f"{group}/*.yaml"))
    listed = " ".join(names)
    return f"{group}/{option}: no such option; choose from: {listed}{nearest(option, names)}"


def _of_a_key(key: str) -> str:
    """Describe the mistake in a key that an override sets."""
    keys = all_keys()
    if key not in keys:
        return f"unknown key {key!r}{nearest(key, keys)}"
    group = key.split(".")[0]
    others = " or ".join(f"{group}={option}" for option in keys[key])
    if not others:
        return needed(key)
    return (
        f"{key}: the chosen option of {group} has no such key; use {others}, or +{key}=… in a"
        f" sweep over {group}"
    )


def _of_a_file(option: str, lines: Sequence[str]) -> str:
    """Describe the mistake in the file of an option."""
    key = next((line[10:] for line in lines if line.startswith("full_key: ")), "")
    if lines[0].startswith(f"Key '{option.split('/')[0]}' not in"):
        return f"{option}: its file has to begin with the line '# @package _global_'"
    if key == "_target_":
        return f"{option}: {package_line(option.partition('/')[0])}"
    if re.match("Key '.*' not in", lines[0]):
        return f"{option}: unknown key {key!r}{nearest(key, all_keys())}"
    lists = "Cannot merge DictConfig with ListConfig"
    if lines[0].startswith(lists) and key in ("", *LISTS):
        return (
            f"{option}: {lines[0]}; exporters are chosen by '- override /exporter: [csv, images]',"
            " filters and transforms in the same way"
        )
    return f"{option}: {key}: {lines[0]}" if key else f"{option}: {lines[0]}"


def all_keys() -> dict[str, list[str]]:
    """Return every key of the default configuration and of all options, with its options."""
    import yaml

    folder = conf_folder()
    top = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    keys: dict[str, list[str]] = {key: [] for key in top if key not in ("hydra", "defaults")}
    keys |= {f"limits.{key}": [] for key in top["limits"]}
    for file in sorted(folder.glob("*/*.yaml")):
        node: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        group = file.parent.name
        prefix = f"{group}.{file.stem}" if group in LISTS else group
        for key in (group, *(f"{prefix}.{key}" for key in node if not key.startswith("_"))):
            keys.setdefault(key, []).append(file.stem)
    return keys
