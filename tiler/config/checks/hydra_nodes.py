"""Check the nodes of Hydra's own configuration, which Hydra instantiates before any run begins.

Hydra composes the configuration again after this check, and again for each job. An interpolation
may resolve differently then (``${now:…}``, ``${hydra:job.num}``). So whatever names code must be
written out: an interpolation is accepted only where its result can be nothing but text or a number.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.plugin import Plugin
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from tiler.config.checks.logging_node import logging_problems
from tiler.config.checks.targets import ImportBrokenError, trusted_target
from tiler.errors import ConfigError

_PLUGINS: Mapping[str, type[Plugin]] = {"launcher": Launcher, "sweeper": Sweeper}
_HARMLESS = ("_target_", "_recursive_", "_convert_")
_ONE_KEY = re.compile(r"\$\{(\w[\w.]*)\}")
_MANY_KEYS = re.compile(r"(\$\{\w[\w.]*\}[^$]*)+")
VARIABLES = "hydra.job.env_set"
_DECIDES_CODE = re.compile(
    r"(PATH|HOME|SHELL|ENV|IFS|BASH_.*|(LD|DYLD|PYTHON|TILER|HYDRA|DASK|GIT|GIO|XDG|GCONV|LOC)_?.*"
    r"|OPENSSL_.*|OMP_TOOL.*|GLIBC_.*|CONDA_.*|VIRTUAL_ENV)",
    re.IGNORECASE,
)


def check_hydra(config: DictConfig, typed: Collection[str]) -> None:
    """Refuse a configuration by which Hydra would call something else than it needs.

    Parameters
    ----------
    config
        As Hydra composed it, with its own node.
    typed
        The environment variables that the command itself sets by ``hydra.job.env_set``.

    Raises
    ------
    ConfigError
        With a line for every mistake.
    """
    # As it is written: nothing is resolved.
    plain: Any = OmegaConf.to_container(config, enum_to_str=True)
    own = plain["hydra"]
    problems = [
        *_callback_problems(own["callbacks"], plain),
        *(line for name in _PLUGINS for line in _plugin_problems(name, own[name], plain)),
        *logging_problems("hydra.hydra_logging", own["hydra_logging"]),
        *logging_problems("hydra.job_logging", own["job_logging"], own["job"]["name"]),
        *_variable_problems(own["job"]["env_set"], typed),
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def _callback_problems(callbacks: Any, plain: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with callbacks: only packages that the environment names have any."""
    if callbacks is None:
        return
    yield from _unfixed("hydra.callbacks", callbacks, plain)
    for place, node in _mappings("hydra.callbacks", callbacks):
        if isinstance(name := node.get("_target_"), str) and "${" not in name:
            try:
                trusted_target(name)
            except (ValueError, ImportBrokenError) as error:
                yield f"{place}._target_={name}: {error}"


def _plugin_problems(name: str, node: Any, plain: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the launcher or the sweeper: one of Hydra's plugins, and plain values."""
    key = f"hydra.{name}"
    plugins = [
        f"{plugin.__module__}.{plugin.__name__}"
        for plugin in Plugins.instance().discover(_PLUGINS[name])
    ]
    yield from _unfixed(key, node, plain)
    for place, below in _mappings(key, node):
        for inner, value in below.items():
            if inner == "_target_" and (place != key or value not in plugins):
                yield f"{place}.{inner}={value}: only a {name} that is installed may be named here"
            elif str(inner).startswith("_") and inner not in _HARMLESS:
                yield f"{place}.{inner}: is not for a {name}; leave it out"


def _variable_problems(variables: Any, typed: Collection[str]) -> Iterator[str]:
    """What is wrong with the environment that jobs get: it can make any program run any code."""
    if not isinstance(variables, Mapping):
        yield f"{VARIABLES}={variables}: write its variables out, not an interpolation"
        return
    for name in variables:
        if _DECIDES_CODE.fullmatch(name):
            yield f"{VARIABLES}.{name}: decides which code runs; set it before tiler starts"
        elif name not in typed:
            yield (
                f"{VARIABLES}.{name}: a file sets an environment variable; set it in the command,"
                f" as +{VARIABLES}.{name}=…"
            )


def _unfixed(key: str, value: Any, plain: Mapping[str, Any]) -> Iterator[str]:
    """Interpolations in and below a key that may yield a node, or name what is called."""
    if isinstance(value, Mapping):
        for name, below in value.items():
            if name == "_target_" and "${" in str(below):
                yield f"{key}.{name}={below}: write the name out, not an interpolation"
            else:
                yield from _unfixed(f"{key}.{name}", below, plain)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _unfixed(f"{key}[{number}]", below, plain)
    elif isinstance(value, str) and not _is_text(value, plain):
        yield (
            f"{key}={value}: write the value out, or name the key of a plain value; this"
            " interpolation may name code"
        )


def _is_text(value: str, plain: Mapping[str, Any]) -> bool:
    """Whether a text stays one, or a number, whatever the interpolations in it yield.

    A text that is more than one interpolation always does. One that is nothing else becomes
    whatever the key holds that it names.
    """
    if not (value.startswith("${") and value.endswith("}")):
        return True
    if found := _ONE_KEY.fullmatch(value):
        held: Any = plain
        for name in found.group(1).split("."):
            if not isinstance(held, Mapping) or name not in held:
                return False
            held = held[name]
        return not isinstance(held, Mapping | list) and "${" not in str(held)
    return _MANY_KEYS.fullmatch(value) is not None


def _mappings(key: str, value: Any) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Every mapping in plain containers, with its place."""
    if isinstance(value, Mapping):
        yield key, value
        for name, below in value.items():
            yield from _mappings(f"{key}.{name}", below)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _mappings(f"{key}[{number}]", below)
