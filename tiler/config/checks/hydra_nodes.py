"""Check the nodes of Hydra's own configuration, which Hydra instantiates before any run begins.

Hydra composes the configuration again after this check, and again for each job. An interpolation
may resolve differently then (``${now:…}``, ``${hydra:job.num}``). So whatever names code must be
written out: an interpolation is accepted only where its result can be nothing but text or a number.
Hydra also resolves these nodes twice: a text that an interpolation yields may be one itself.
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
from omegaconf.errors import OmegaConfBaseException

from tiler.checks.targets import ImportBrokenError, trusted_target
from tiler.config.checks.logging_node import logging_problems
from tiler.config.checks.typed import control_characters, untyped
from tiler.config.checks.validate import leaves
from tiler.errors import ConfigError

_PLUGINS: Mapping[str, type[Plugin]] = {"launcher": Launcher, "sweeper": Sweeper}
_HARMLESS = ("_target_", "_recursive_", "_convert_")
_ONE_KEY = re.compile(r"\$\{(\w[\w.]*)\}")
_MANY_KEYS = re.compile(r"(\$\{\w[\w.]*\}[^$]*)+")
_HARMLESS_INTERPOLATION = re.compile(
    r"\$\{(?:(?P<key>\w[\w.]*)\}|hydra:(?P<own>\w[\w.]*)\}|oc\.select:(?P<selected>\w[\w.]*)[,}]"
    r"|(?:oc\.env|now|tiler_home|tiler_name|tiler_job_folder):)"
)
"""Matches a key that is written out, or a resolver that yields no ``$`` of its own."""
SUBDIR = ".hydra"
_VARIABLES = "hydra.job.env_set"
_PICKLES = {"submitit_folder": "${hydra.sweep.dir}/.submitit/%j", "temp_folder": None}
"""Folders from which launchers load pickles, with their defaults."""
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
        The configuration as Hydra composed it, with its own node.
    typed
        The keys that the command itself sets.

    Raises
    ------
    ConfigError
        If there are mistakes; the error has a line for each.
    """
    # As it is written: nothing is resolved.
    plain: Any = OmegaConf.to_container(config, enum_to_str=True)
    own = plain["hydra"]
    problems = [
        *_callback_problems(own["callbacks"], plain),
        *(line for name in _PLUGINS for line in _plugin_problems(name, own[name], plain)),
        *_command_problems(own["launcher"], _resolved(config, own["launcher"]), typed),
        *logging_problems("hydra.hydra_logging", own["hydra_logging"]),
        *logging_problems("hydra.job_logging", own["job_logging"], own["job"]["name"]),
        *_variable_problems(own["job"], typed),
        *_subdir_problems(own["output_subdir"]),
        *_folder_problems(own),
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def _callback_problems(callbacks: Any, plain: Mapping[str, Any]) -> Iterator[str]:
    """List the problems of callbacks: they must be in packages of TILER_TARGETS."""
    if callbacks is None:
        return
    yield from _unfixed("hydra.callbacks", callbacks, plain)
    for place, node in _mappings("hydra.callbacks", callbacks):
        yield from _untrusted(place, node.get("_target_"))


def _plugin_problems(name: str, node: Any, plain: Mapping[str, Any]) -> Iterator[str]:
    """List the problems of the launcher or sweeper: it must be a plugin with plain values."""
    key = f"hydra.{name}"
    plugins = [
        f"{plugin.__module__}.{plugin.__name__}"
        for plugin in Plugins.instance().discover(_PLUGINS[name])
        # The jobs of Hydra's own sweeper alone are known beforehand.
        if name == "launcher" or plugin.__module__.startswith("hydra.")
    ]
    yield from _unfixed(key, node, plain)
    for place, below in _mappings(key, node):
        for inner, value in below.items():
            if inner == "_target_" and not (place == key and value in plugins):
                yield from _untrusted(place, value)
            elif str(inner).startswith("_") and inner not in _HARMLESS:
                yield f"{place}.{inner}: a {name} has no such key; remove it"


def _untrusted(place: str, name: Any) -> Iterator[str]:
    """List the problems of a name of code that Hydra itself does not need."""
    if isinstance(name, str) and "${" not in name:
        try:
            trusted_target(name)
        except (ValueError, ImportBrokenError) as error:
            yield f"{place}._target_={name}: {error}"


def _resolved(config: DictConfig, written: Any) -> Any:
    """Resolve the launcher's values; return them as written where Hydra cannot resolve them."""
    try:
        return OmegaConf.to_container(config.hydra.launcher, resolve=True, enum_to_str=True)
    except (OmegaConfBaseException, AttributeError):
        return written


def _command_problems(written: Any, launcher: Any, typed: Collection[str]) -> Iterator[str]:
    """List values that a launcher runs or writes into job scripts, and that only a file sets."""
    for name, value in launcher.items() if isinstance(launcher, Mapping) else ():
        folder = name in _PICKLES and written[name] != _PICKLES[name]
        if folder or (value and isinstance(value, Mapping | list)):
            yield from untyped(f"hydra.launcher.{name}", value, typed)
        yield from control_characters(f"hydra.launcher.{name}", value, typed)


def _variable_problems(job: Mapping[str, Any], typed: Collection[str]) -> Iterator[str]:
    """List the problems of the environment of jobs: it can make any program run any code."""
    variables, copied = job["env_set"], job["env_copy"]
    if not isinstance(variables, Mapping):
        yield f"{_VARIABLES}={variables}: write its variables out, not an interpolation"
        return
    for name in variables:
        if _DECIDES_CODE.fullmatch(name):
            yield f"{_VARIABLES}.{name}: decides which code runs; set it before tiler starts"
        elif not (
            f"{_VARIABLES}.{name}" in typed or (name in copied and "hydra.job.env_copy" in typed)
        ):
            yield (
                f"{_VARIABLES}.{name}: a file sets an environment variable; set it in the command,"
                f" as +{_VARIABLES}.{name}=…"
            )


def _subdir_problems(subdir: Any) -> Iterator[str]:
    """Yield the problems of the folder for Hydra's own files."""
    if subdir not in (None, SUBDIR):
        yield f"hydra.output_subdir={subdir}: Hydra's own files go to {SUBDIR}, or nowhere (null)"


def _folder_problems(own: Mapping[str, Any]) -> Iterator[str]:
    """List nodes with Hydra's folders that an interpolation replaces by something else."""
    for name in ("run", "sweep"):
        if not isinstance(own[name], Mapping):
            yield f"hydra.{name}={own[name]}: this node has keys; leave it out, and set out=…"


def _unfixed(key: str, value: Any, plain: Mapping[str, Any]) -> Iterator[str]:
    """List interpolations in and below a key that may yield a node or name code."""
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
    """Return whether a text resolves to text or a number, whatever its interpolations yield.

    A text around interpolations does, if no result looks like an interpolation. A text that is one
    interpolation becomes the value of the key that it names, of any type.
    """
    if "${" not in value:
        return True
    if not _yields_no_interpolation(value, plain):
        return False
    if not (value.startswith("${") and value.endswith("}")):
        return True
    if found := _ONE_KEY.fullmatch(value):
        held = _held(plain, found.group(1))
        return not isinstance(held, Mapping | list) and "${" not in str(held)
    return _MANY_KEYS.fullmatch(value) is not None


def _yields_no_interpolation(
    value: str, plain: Mapping[str, Any], above: frozenset[str] = frozenset()
) -> bool:
    """Return whether a text contains no ``$`` after it is resolved."""
    for dollar in re.finditer(r"\$", value):
        found = _HARMLESS_INTERPOLATION.match(value, dollar.start())
        if found is None or value[: dollar.start()].endswith("\\"):
            return False
        own = f"hydra.{found['own']}" if found["own"] else None
        key = found["key"] or found["selected"] or own
        if key is None or key in above:  # Hydra refuses a circle
            continue
        below = leaves({key: _held(plain, key)})
        if not all(_yields_no_interpolation(str(one), plain, above | {key}) for _, one in below):
            return False
    return True


def _held(plain: Mapping[str, Any], key: str) -> Any:
    """Return the unresolved value of a dotted key; an empty mapping if it is missing."""
    held: Any = plain
    for name in key.split("."):
        if not isinstance(held, Mapping) or name not in held:
            return {}
        held = held[name]
    return held


def _mappings(key: str, value: Any) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield every mapping in plain containers, with its place."""
    if isinstance(value, Mapping):
        yield key, value
        for name, below in value.items():
            yield from _mappings(f"{key}.{name}", below)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _mappings(f"{key}[{number}]", below)
