"""Settings of masks, checked when they are given."""

from __future__ import annotations

from collections.abc import Sequence

from tiler.errors import ConfigError
from tiler.geometry import is_number


def whole(field: str, value: object, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, as a plain int.

    Raises
    ------
    ConfigError
        When it is something else, naming the setting and the value.
    """
    if not is_number(value) or not low <= value <= high or value != int(value):  # type: ignore[operator,call-overload]
        raise ConfigError(f"mask.{field}={value!r}: must be a whole number from {low} to {high}")
    return int(value)  # type: ignore[call-overload,no-any-return]


def odd(field: str, value: object, high: int) -> int:
    """An odd whole number from 1 to ``high``: the width of a filter with a centre."""
    number = whole(field, value, 1, high)
    if number % 2 == 0:
        raise ConfigError(f"mask.{field}={value!r}: must be an odd number (1 switches it off)")
    return number


def amount(field: str, value: object, high: float) -> float | None:
    """A number from 0 to ``high``, or None."""
    if value is None:
        return None
    if not is_number(value) or not 0 <= value <= high:  # type: ignore[operator]
        upper = "" if high == float("inf") else f" and at most {high:g}"
        raise ConfigError(f"mask.{field}={value!r}: must be at least 0{upper}, or null")
    return float(value)  # type: ignore[arg-type]


def bounds(field: str, value: object, high: int, *, circular: bool = False) -> tuple[int, int]:
    """A pair (lowest, highest) of whole numbers from 0 to ``high``, both inclusive.

    Lists, as YAML gives them, become tuples. Where ``circular``, as for hues, the first may be
    the larger: the range then runs over the end and on from 0.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise ConfigError(f"mask.{field}={value!r}: give a pair [lowest, highest]")
    low, top = (whole(f"{field}[{i}]", number, 0, high) for i, number in enumerate(value))
    if low > top and not circular:
        raise ConfigError(f"mask.{field}={list(value)}: the lowest is above the highest")
    return low, top
