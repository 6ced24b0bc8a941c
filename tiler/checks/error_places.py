"""The line of a user's component that raised an error. Imports only the standard library."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any


def foreign_packages(components: Iterable[object], settings: object = None) -> frozenset[str]:
    """Return the top-level packages of components, except tiler and the standard library.

    Parameters
    ----------
    components
        Objects, functions or partials; their base classes are included.
    settings
        Plain containers; their ``_target_`` values are included, for nested components.
    """
    modules = [module for part in components for module in _modules(part)]
    roots = {name.partition(".")[0] for name in [*modules, *targets_in(settings)]}
    return frozenset(roots - sys.stdlib_module_names - {"tiler"})


def is_tilers(module: str) -> bool:
    """Return whether a module, by its dotted name, is tiler's own."""
    return module.partition(".")[0] == "tiler"


def targets_in(settings: object) -> Iterator[str]:
    """Yield the values of ``_target_`` keys in plain containers, at any depth."""
    if isinstance(settings, Mapping):
        if isinstance(target := settings.get("_target_"), str):
            yield target
        settings = list(settings.values())
    if isinstance(settings, list | tuple):
        for value in settings:
            yield from targets_in(value)


def raised_at(error: BaseException, packages: frozenset[str]) -> str | None:
    """Return file, line and function of an error's innermost frame in ``packages``, or None.

    An ``OSError`` raised in tiler's code is not the component's error, even if it called tiler.
    """
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = _module(frame)
        if module.partition(".")[0] in packages:
            place = f"{_file(frame)}:{line}, in {frame.f_code.co_name}"
        elif is_tilers(module) and isinstance(error, OSError):
            place = None
    if isinstance(error, SyntaxError) and error.filename:  # no frame: the file did not run
        path = Path(error.filename)
        place = f"{path.name}:{error.lineno}" if packages & {*path.parts, path.stem} else place
    return place


def said(error: BaseException, place: str) -> str:
    """Describe an error of a component in one line: type, message, place and fix."""
    message = " ".join(str(error).split())
    what = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"{what} ({place}); correct this component"


def _modules(part: object) -> list[str]:
    thing = part.func if isinstance(part, partial) else part
    kinds = thing.__mro__ if isinstance(thing, type) else type(thing).__mro__
    function = getattr(thing, "__module__", None)
    return [kind.__module__ for kind in kinds] + ([function] if isinstance(function, str) else [])


def _module(frame: FrameType) -> str:
    name: Any = frame.f_globals.get("__name__", "")
    return str(name)


def _file(frame: FrameType) -> str:
    """Return the path of a module relative to its import folder, to hide private folders."""
    path = Path(frame.f_code.co_filename)
    depth = _module(frame).count(".") + 1 + (path.stem == "__init__")
    return "/".join(path.parts[-depth:])
