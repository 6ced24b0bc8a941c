"""Errors of an iteration that are raised after all that came before them was delivered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Late:
    """The error that ended an iteration."""

    error: Exception


def until_error(items: Iterable[_T]) -> Iterator[_T | Late]:
    """Yield the items, and then the error if one ends them."""
    try:
        yield from items
    except Exception as error:
        yield Late(error)
