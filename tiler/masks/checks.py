"""Checks of the settings of masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

from tiler.errors import ConfigError


def whole(field: str, value: object, low: int, high: int) -> int:
    """Return a whole number from ``low`` to ``high``.

    Raises
    ------
    ConfigError
        If the value is anything else; the error names the setting and the value.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(
            f"mask.{field}={value!r} is invalid; use a whole number from {low} to {high}"
        )
    return value


def odd(field: str, value: object, high: int) -> int:
    """Return an odd whole number from 1 to ``high``: the width of a filter with a centre."""
    if isinstance(value, int) and value % 2 == 0:
        raise ConfigError(f"mask.{field}={value!r} is invalid; use an odd number (1 for no filter)")
    return whole(field, value, 1, high)


def positive(field: str, value: object) -> float:
    """Return a positive, finite number."""
    if not _is_real(value) or not 0 < value < math.inf:
        raise ConfigError(f"mask.{field}={value!r} is invalid; use a positive number")
    return float(value)


def amount(field: str, value: object, high: float) -> float | None:
    """Return a finite number from 0 to ``high``, or None."""
    if value is None:
        return None
    if not _is_real(value) or not 0 <= value <= high or value == math.inf:
        upper = "" if high == math.inf else f" to {high:g}"
        raise ConfigError(f"mask.{field}={value!r} is invalid; use a number from 0{upper}, or null")
    return float(value)


def span(field: str, value: object, high: int, *, circular: bool = False) -> tuple[int, int]:
    """Return a pair (lowest, highest) of whole numbers from 0 to ``high``, both inclusive.

    A list from YAML becomes a tuple. If ``circular``, as for hues, the first number may be the
    larger one: the range then wraps from ``high`` to 0.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise ConfigError(f"mask.{field}={value!r} is invalid; use a pair [lowest, highest]")
    low, top = (whole(f"{field}[{i}]", number, 0, high) for i, number in enumerate(value))
    if low > top and not circular:
        raise ConfigError(
            f"mask.{field}=[{low}, {top}] is invalid: the lowest is above the highest; swap them"
        )
    return low, top


def _is_real(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
