"""Import what ``_target_`` may name, and read its parameters."""

from __future__ import annotations

import inspect
import os
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from tiler.checks.error_places import raised_at, said
from tiler.errors import ConfigError

TARGETS_VARIABLE = "TILER_TARGETS"
"""Environment variable: further packages, comma-separated, that ``_target_`` may name."""

_PACKAGES = {
    "slides": "tiler.slides",
    "reader": "tiler.readers",
    "mask": "tiler.masks",
    "filter": "tiler.scores",
    "label": "tiler.labels",
    "sampler": "tiler.samplers",
    "transform": "tiler.transforms",
    "exporter": "tiler.exporters",
    "engine": "tiler.runner.engines",
    "tracker": "tiler.trackers",
    "report": "tiler.report",
}
"""Packages of the components of each group: those that ``__all__`` lists, and no others."""

LISTS = {"exporter": "exporters", "filter": "filters", "transform": "transforms"}
"""The groups of which several options may be chosen, and the plural of each."""

_VALUES = {
    "resolution": ("tiler.resolution", ("Level", "MPP", "Magnification")),
    "tile": ("tiler.spec", ("TileSpec",)),
}
"""The groups of plain values: their modules have other classes as well."""

GROUPS = frozenset({*_PACKAGES, *_VALUES})
"""The groups whose options have a ``_target_``."""

ANY = "**"
"""Stands in ``parameters`` for all names that were not listed."""


def names_target(value: Any) -> bool:
    """Return whether a plain value has a ``_target_``."""
    return isinstance(value, Mapping) and "_target_" in value


def nodes(value: Any, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every mapping in plain containers that has a ``_target_``, with its place."""
    if isinstance(value, Mapping):
        if names_target(value):
            yield key, value
        for name, below in value.items():
            yield from nodes(below, f"{key}.{name}")
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from nodes(below, f"{key}[{number}]")


def target_of(place: str, node: Mapping[str, Any]) -> Any:
    """Import the ``_target_`` of a mapping at a place.

    Raises
    ------
    ConfigError
        If it may not be named there.
    """
    name = node["_target_"]
    try:
        return allowed_target(str(name), place.partition(".")[0].partition("[")[0])
    except ImportBrokenError as error:
        raise ConfigError(f"E_COMPONENT: {place}._target_={name}: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{place}._target_={name}: {error}") from None


def allowed_target(name: str, group: str) -> Any:
    """Import the object of a ``_target_``: a component of its group, or of a trusted package.

    Raises
    ------
    ValueError
        If it is neither, or does not exist.
    ImportBrokenError
        If its module raises an error.
    """
    if is_trusted(name):
        return trusted_target(name)
    package, components = _components(group)
    own = _component_in(package, components, name)
    if own is not None:
        return own
    if package and _inside(name, (package,)):
        raise ValueError(f"{package} has no such component; it has {', '.join(components)}")
    raise ValueError(
        f"{group} has {', '.join(components) or 'no components'}; to allow a package of your own,"
        f" set {TARGETS_VARIABLE}={name.partition('.')[0]} and add its folder to PYTHONPATH"
    )


def _components(group: str) -> tuple[str, Sequence[str]]:
    """Return the package of a group's components, and their names."""
    if group in _VALUES:
        return _VALUES[group]
    if group not in _PACKAGES:
        return "", ()
    names: Sequence[str] = import_module(_PACKAGES[group]).__all__
    return _PACKAGES[group], names


def own_component(name: str) -> Callable[..., Any] | None:
    """Return the component of tiler that a ``_target_`` names, of any group; None for others."""
    found = (_component_in(*_components(group), name) for group in GROUPS)
    return next((one for one in found if one is not None), None)


def _component_in(package: str, components: Sequence[str], name: str) -> Callable[..., Any] | None:
    component = name.removeprefix(f"{package}.")
    if component == name or component not in components:
        return None
    found: Callable[..., Any] = getattr(import_module(package), component)
    return found


def trusted_target(name: str) -> Any:
    """Import the object of a dotted name, if it is in a trusted package.

    Raises
    ------
    ValueError
        If it is in none, or does not exist.
    """
    return _imported(name, trusted_packages())


def is_trusted(name: str) -> bool:
    """Return whether a dotted name is a trusted package, or in one."""
    return _inside(name, trusted_packages())


@cache
def trusted_packages() -> tuple[str, ...]:
    """Return the packages that TILER_TARGETS named when the command started."""
    names = (name.strip() for name in os.environ.get(TARGETS_VARIABLE, "").split(","))
    return tuple(filter(None, names))


def user_packages() -> frozenset[str]:
    """Return the top-level packages that the environment allows beside tiler."""
    return frozenset(name.partition(".")[0] for name in trusted_packages()) - {"tiler"}


@cache
def _imported(name: str, allowed: tuple[str, ...]) -> Any:
    known = ", ".join(allowed) or "none"
    refusal = ValueError(f"only packages of {TARGETS_VARIABLE} may be named here ({known})")
    if not _inside(name, allowed):
        raise refusal
    module, _, attribute = name.rpartition(".")
    try:
        target = getattr(_loaded(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(_why_missing(module, attribute, error)) from error
    # mine.os.remove begins with mine, too: what counts is where the object lives.
    if not callable(target) or not _inside(getattr(target, "__module__", "") or "", allowed):
        raise refusal
    return target


def _why_missing(module: str, attribute: str, error: Exception) -> str:
    """Return the problem: a module was not found, or has no such attribute."""
    if isinstance(error, ModuleNotFoundError) and error.name and _inside(module, (error.name,)):
        package, _, name = error.name.rpartition(".")
        if package:
            return f"package {package!r} has no module {name!r}; correct the name"
        return f"module {name!r} was not found; add its folder to PYTHONPATH, or install it"
    if isinstance(error, AttributeError):
        return f"module {module!r} has no {attribute!r}; correct the name"
    return f"{error}; correct the name"


class ImportBrokenError(Exception):
    """A module of the user's own that raises an error while it is imported."""


def _loaded(module: str) -> ModuleType:
    try:
        return import_module(module)
    except Exception as error:  # a module of the user's own may raise anything
        place = raised_at(error, frozenset({module.partition(".")[0]}) - {"tiler"})
        if place is None:
            raise
        raise ImportBrokenError(said(error, place)) from error


def _inside(name: str, packages: Sequence[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@cache
def parameters(target: Any) -> dict[str, Any]:
    """Return the parameters of a callable with their type hints; ``ANY`` if it takes all."""
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # of a user's own class: names that are there for type checkers alone
        hints = {}
    return {
        ANY if parameter.kind is parameter.VAR_KEYWORD else name: hints.get(name, Any)
        for name, parameter in _signature(target)
    }


@cache
def required(target: Any) -> frozenset[str]:
    """Return the required parameters of a callable."""
    return frozenset(
        name
        for name, parameter in _signature(target)
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    )


def _signature(target: Any) -> Iterable[tuple[str, inspect.Parameter]]:
    try:
        return inspect.signature(target).parameters.items()
    except (TypeError, ValueError):  # of what is not written in Python: it may take anything
        return [(ANY, inspect.Parameter("all", inspect.Parameter.VAR_KEYWORD))]
