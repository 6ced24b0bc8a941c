"""Hydra's errors in one line for people."""

from __future__ import annotations

import re
import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from yaml.error import MarkedYAMLError

from tiler.config.folder import conf_folder
from tiler.config.validate import nearest, needed

_EXTRAS = ("hydra/launcher/submitit_local", "hydra/launcher/submitit_slurm")


def explain(error: BaseException, keys: Mapping[str, Collection[str]]) -> str:
    """The one line that a composition error comes down to, with the nearest key if there is one.

    Parameters
    ----------
    error
        What Hydra or OmegaConf raised.
    keys
        All keys of the configuration, dotted, each with the options that have it.
    """
    lines = [line.strip() for line in _text(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    unknown = re.match(r"Could not override '([^']+)'", first)
    if unknown:
        key = unknown.group(1).removesuffix("@").lstrip("+~")
        reason = next((line for line in lines[1:] if line.startswith(("Value", "Invalid"))), "")
        if reason:
            return f"{key}: {reason}"
        if key in keys:
            group = key.split(".")[0]
            others = " or ".join(f"{group}={option}" for option in keys[key])
            if not others:
                return needed(key)
            return f"{key}: the chosen option of {group} has no such key; take {others}"
        return f"unknown key {key!r}{nearest(key, keys)}"
    merging = re.match(r"Error merging override (.*)", first)
    if merging and len(lines) > 1:
        return f"{merging.group(1)}: {lines[1]}"
    composing = re.match(r"In '([^']+)': \w+ raised while composing config", first)
    if composing and len(lines) > 1:
        return _of_a_file(composing.group(1), lines[1:], keys)
    option = re.match(r"In .*: Could not find '([^']+)'", first) or re.match(
        r"Could not find '([^']+)'", first
    )
    if option:
        options = re.search(
            r"Available options in '[^']*':(.*?)(?:Config search|$)", _text(error), re.S
        )
        names = " ".join(options.group(1).split()) if options else ""
        if option.group(1) in _EXTRAS:
            return (
                f"{option.group(1)} needs the extra tiler[submitit]: pip install 'tiler[submitit]'"
            )
        return f"no such option: {option.group(1)}" + (f"; choose one of: {names}" if names else "")
    exporter = re.match(r"In .*: Could not load '(exporter/[^']+)'", first)
    if exporter:
        names = " ".join(sorted(file.stem for file in conf_folder().glob("exporter/*.yaml")))
        return f"no such option: {exporter.group(1)}; choose any of: {names}"
    ambiguous = re.match(r"Ambiguous value for argument '([^=]+)=(.*)'", first)
    if ambiguous:
        key, values = ambiguous.groups()
        return (
            f"{key}={values}: several values are a sweep, which begins with -m; a list is"
            f" '{key}=[{values}]', text is '{key}=\"{values}\"'"
        )
    if type(error).__name__ == "OverrideParseException":
        return (
            f"{first}; put quotes around a value with other than letters, digits and / - . _ :"
            " 'key=\"value\"'"
        )
    return first


def _of_a_file(option: str, lines: Sequence[str], keys: Iterable[str]) -> str:
    """What is wrong with the file of an option."""
    key = next((line[10:] for line in lines if line.startswith("full_key: ")), "")
    if lines[0].startswith(f"Key '{option.split('/')[0]}' not in"):
        return f"{option}: its file has to begin with the line '# @package _global_'"
    if re.match("Key '.*' not in", lines[0]):
        return f"{option}: unknown key {key!r}{nearest(key, keys)}"
    lists = "Cannot merge DictConfig with ListConfig"
    if lines[0].startswith(lists) and key in ("", "exporter"):
        return (
            f"{option}: {lines[0]}; exporters are chosen by '- override /exporter: [csv, images]'"
        )
    return f"{option}: {key}: {lines[0]}" if key else f"{option}: {lines[0]}"


def explain_other(error: Exception) -> str | None:
    """The one line that another error comes down to, if it is of the configuration's making."""
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        return f"{mark.name}, line {mark.line + 1}: {error.problem}" if mark else str(error.problem)
    if isinstance(error, UnicodeDecodeError):
        return f"a configuration file is not UTF-8 ({error}): {error.object[:60]!r}…"
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    package = str(frame.f_globals["__name__"]).split(".")[0]
    if isinstance(error, ValueError) and package == "logging":
        return f"hydra.job_logging: {error}: {error.__cause__}"
    if isinstance(error, ValueError) and package == "hydra":  # such as of mask=null
        return f"{error}; leave the group out, or choose one of its options"
    if package in ("hydra", "omegaconf"):  # of words that make no sense to it
        return f"{error!r}, says Hydra: look at the words that begin with hydra"
    return None


def all_keys() -> dict[str, list[str]]:
    """Every key of the default configuration and of all options, with those that have it."""
    import yaml

    folder = conf_folder()
    top = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    keys: dict[str, list[str]] = {key: [] for key in top if key not in ("hydra", "defaults")}
    keys |= {f"limits.{key}": [] for key in top["limits"]}
    for file in sorted(folder.glob("*/*.yaml")):
        node: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        group = file.parent.name
        prefix = f"{group}.{file.stem}" if group == "exporter" else group
        for key in (group, *(f"{prefix}.{key}" for key in node if not key.startswith("_"))):
            keys.setdefault(key, []).append(file.stem)
    return keys


def _text(error: BaseException) -> str:
    cause = error.__cause__
    return f"{error}\n{cause}" if cause is not None else str(error)
