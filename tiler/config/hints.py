"""What a type hint admits of the values that YAML has, and how to say it."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union


def fits(value: Any, hint: Any) -> bool:
    """Whether a value from YAML can be meant by a type hint; unknown hints admit everything."""
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
    return True


def _fits_tuple(value: Any, arguments: tuple[Any, ...]) -> bool:
    if not isinstance(value, list):
        return False
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return all(fits(item, arguments[0]) for item in value)
    pairs = zip(value, arguments, strict=False)
    return len(value) == len(arguments) and all(fits(item, hint) for item, hint in pairs)


def spelled(hint: Any) -> str:
    """A type hint in words."""
    arguments = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(spelled(argument) for argument in arguments))
    if origin is Literal:
        return " or ".join(str(argument) for argument in arguments)
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return " or ".join(str(member.value) for member in hint)
    if origin is tuple:
        return f"a list of {len(arguments)} ({spelled(arguments[0])} each)"
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        return f"a list ({spelled(arguments[0])} each)"
    words = {
        int: "a whole number",
        float: "a number",
        str: "text",
        Path: "a path",
        bool: "true or false",
        type(None): "null",
    }
    return words.get(hint, str(hint))
