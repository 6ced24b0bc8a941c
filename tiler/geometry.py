"""Named pairs and boxes, which functions exchange instead of bare tuples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

from tiler.errors import ConfigError


class Size(NamedTuple):
    """A width and a height in whole pixels; equals sizes and plain pairs, but no ``Point``."""

    width: int
    height: int

    def __eq__(self, other: object) -> bool:
        return not isinstance(other, Point) and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return isinstance(other, Point) or tuple.__ne__(self, other)

    def __hash__(self) -> int:
        return tuple.__hash__(self)


class Point(NamedTuple):
    """A position in pixels of a frame that the context names.

    It equals points and plain pairs, but no ``Size`` and no ``Extent``. ``point + size`` is the
    opposite corner of a box.
    """

    x: int
    y: int

    def __add__(self, other: tuple[Any, ...], /) -> Any:
        if isinstance(other, Size):
            return Point(self.x + other.width, self.y + other.height)
        return tuple.__add__(self, other)

    def __eq__(self, other: object) -> bool:
        return not isinstance(other, Size | Extent) and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return isinstance(other, Size | Extent) or tuple.__ne__(self, other)

    def __hash__(self) -> int:
        return tuple.__hash__(self)


class Extent(NamedTuple):
    """A width and a height that may be fractional: pixels or microns."""

    width: float
    height: float

    def __eq__(self, other: object) -> bool:
        return not isinstance(other, Point) and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return isinstance(other, Point) or tuple.__ne__(self, other)

    def __hash__(self) -> int:
        return tuple.__hash__(self)


class Box(NamedTuple):
    """A rectangle: its top-left corner and its size, in whole pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column to the right of the box."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row below the box."""
        return self.y + self.height


_DUST = 1e-6  # pixels; a box of exactly n pixels must not lose one to float arithmetic


def whole_box(box: Box, downsample: float, *, inside: bool) -> Box:
    """Return the whole pixels of a coarser frame inside a box, or the pixels that cover it.

    Parameters
    ----------
    box
        A box in pixels of level 0.
    downsample
        Level-0 pixels per pixel of the result.
    inside
        True for the pixels wholly inside, False for all that the box touches.
    """
    sign = 1 if inside else -1
    low, high = (math.ceil, math.floor) if inside else (math.floor, math.ceil)
    x, y = (low(v / downsample - sign * _DUST) for v in (box.x, box.y))
    right = high(box.right / downsample + sign * _DUST)
    bottom = high(box.bottom / downsample + sign * _DUST)
    return Box(x, y, max(0, right - x), max(0, bottom - y))


def is_number(value: object) -> bool:
    """Return whether ``value`` is a real number, also one of NumPy; booleans are not."""
    kind = type(value)
    if kind is int or kind is float:  # the usual case, much faster than isinstance with Real
        return True
    return isinstance(value, Real) and kind is not bool


def positive_extent(value: object, field: str, *, whole: bool) -> Extent:
    """Read a number or a (width, height) pair of positive, finite numbers.

    Parameters
    ----------
    value
        One number for a square, or a pair.
    field
        The name to use in the error.
    whole
        Whether fractions are refused, as for pixels.

    Raises
    ------
    ConfigError
        If the value is anything else; the error names the field and the value.
    """
    pair = (value, value) if is_number(value) else value
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise ConfigError(f"{field}={value!r} is invalid; use one number or a (width, height) pair")
    for number in pair:
        if not is_number(number) or not math.isfinite(number) or number <= 0:
            raise ConfigError(f"{field}={value!r} is invalid; use positive numbers")
        if whole and number != int(number):
            raise ConfigError(f"{field}={value!r} is invalid; use whole numbers of pixels")
    width, height = pair
    return Extent(int(width), int(height)) if whole else Extent(float(width), float(height))


def finite_pair(value: object, field: str) -> tuple[float, float]:
    """Read a pair of finite numbers; whole ones become ints, whatever their type was."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise ConfigError(f"{field}={value!r} is invalid; use a pair of numbers")
    first, second = value
    if type(first) is int and type(second) is int:
        return first, second
    for number in value:
        if not is_number(number) or not math.isfinite(number):
            raise ConfigError(f"{field}={value!r} is invalid; use finite numbers")
    first, second = (int(n) if n == int(n) else float(n) for n in value)
    return first, second


def whole_pair(value: object, field: str) -> tuple[int, int]:
    """Read a pair of whole numbers, as from NumPy or YAML, into plain ints."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise ConfigError(f"{field}={value!r} is invalid; use a pair of whole numbers")
    first, second = value
    if type(first) is int and type(second) is int:
        return first, second
    for number in value:
        if not is_number(number) or not math.isfinite(number) or number != int(number):
            raise ConfigError(f"{field}={value!r} is invalid; use whole numbers")
    return int(first), int(second)
