"""Checks of plain values from YAML and JSON against type hints."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

_Made = TypeVar("_Made")


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value from YAML fits a type hint; unknown hints accept every value."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if hint is type(None) or hint is None:
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int or hint is float:
        kinds = (int, float) if hint is float else (int,)
        return isinstance(value, kinds) and not isinstance(value, bool)
    if hint is str or hint is Path:
        return isinstance(value, str)
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return value in [member.value for member in hint]
    if origin is tuple:
        return _fits_tuple(value, arguments)
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        return isinstance(value, list) and all(fits(item, arguments[0]) for item in value)
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return isinstance(value, dict) and all(
            fits(name, arguments[0]) and fits(item, arguments[1]) for name, item in value.items()
        )
    return True


def made_of(kind: type[_Made], content: object) -> _Made:
    """Build a dataclass from plain values that fit its hints; ignore unknown keys.

    Raises
    ------
    ValueError
        If a value is missing or does not fit, or the class refuses it; the error names the key.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"the value for {kind.__name__} is not an object")
    values: dict[str, Any] = {}
    for name, (hint, needed) in _fields(typing.cast("Any", kind)).items():
        if name not in content:
            if needed:
                raise ValueError(f"{name!r} is missing")
            continue
        values[name] = _value_of(name, content[name], hint)
    return kind(**values)


def _value_of(name: str, value: Any, hint: Any) -> Any:
    if inspect.isclass(hint) and is_dataclass(hint):
        return value if isinstance(value, hint) else made_of(hint, value)
    items = typing.get_args(hint)[:1]
    if isinstance(value, list) and items and is_dataclass(items[0]):
        return [_value_of(name, item, items[0]) for item in value]
    if not fits(value, hint):
        raise ValueError(f"{name!r} must be {spelled(hint)}")
    return value


@cache
def _fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Return the fields of a dataclass: the hint of each, and whether it is required."""
    hints = typing.get_type_hints(kind)
    return {
        field.name: (hints[field.name], field.default is MISSING is field.default_factory)
        for field in fields(kind)
        if field.init
    }


def _fits_tuple(value: Any, arguments: tuple[Any, ...]) -> bool:
    if not isinstance(value, list):
        return False
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return all(fits(item, arguments[0]) for item in value)
    pairs = zip(value, arguments, strict=False)
    return len(value) == len(arguments) and all(fits(item, hint) for item, hint in pairs)


def spelled(hint: Any) -> str:
    """Return a type hint as English text."""
    arguments = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return _spelled_union(arguments)
    if origin is Literal:
        return _either([str(argument) for argument in arguments])
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return _either([str(member.value) for member in hint])
    if origin is tuple:
        return f"a list of {len(arguments)} ({spelled(arguments[0])} each)"
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        return f"a list ({spelled(arguments[0])} each)"
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return f"an object ({spelled(arguments[1])} each)"
    words = {
        int: "a whole number",
        float: "a number",
        str: "text",
        Path: "a path",
        bool: "true or false",
        type(None): "null",
        Any: "any value",
    }
    return words.get(hint, str(hint))


def _spelled_union(members: tuple[Any, ...]) -> str:
    """Return the members of a union as English text; ``X or a list of X`` names X once."""
    lists = [one for one in members if set(typing.get_args(one)) & set(members)]
    ones = _either([*dict.fromkeys(spelled(one) for one in members if one not in lists)])
    return f"{ones}, or a list of them" if lists else ones


def _either(texts: list[str]) -> str:
    """Return alternatives as English text: ``a, b or c``."""
    *others, last = texts
    return f"{', '.join(others)} or {last}" if others else last
