"""Batches of items: dicts of arrays, which are filled while tiles are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from tiler.dataset.late import Late, until_error
from tiler.dataset.tiles import Item
from tiler.errors import ConfigError


def batches(items: Iterable[Item], size: int) -> Iterator[dict[str, Any]]:
    """Yield batches of some items: arrays and numbers as arrays, everything else as lists.

    The last batch may be shorter, and also the one before an error of the items.

    Raises
    ------
    ConfigError
        If items of a batch have different keys, shapes or types of pixels.
    """
    rest = until_error(items)
    for first in rest:
        if isinstance(first, Late):
            raise first.error
        late: list[Late] = []
        yield _batch(first, _items(first, islice(rest, size - 1), late), size)
        if late:
            raise late[0].error


def _items(first: Item, others: Iterable[Item | Late], late: list[Late]) -> Iterator[Item]:
    """Yield the items of a batch; add an error that ends them to ``late``."""
    yield first
    for item in others:
        if isinstance(item, Late):
            late.append(item)
        else:
            yield item


def _batch(first: Item, items: Iterable[Item], size: int) -> dict[str, Any]:
    """Return at most ``size`` items as one.

    Images are copied one by one, because each is still in the processor's cache: a stream of 256
    pixels takes 5 % less time than with ``np.stack`` at the end.
    """
    arrays = {
        key: np.empty((size, *value.shape), value.dtype)
        for key, value in first.items()
        if isinstance(value, np.ndarray)
    }
    values: dict[str, list[Any]] = {key: [] for key in first if key not in arrays}
    count = 0
    for item in items:
        if item.keys() != first.keys():
            what = "tiles of a batch have different columns"
            raise ConfigError(f"{what}; choose some with columns=[…]")
        for key, array in arrays.items():
            array[count] = _alike(key, item[key], first[key])
        for key, some in values.items():
            some.append(item[key])
        count += 1
    return {key: arrays[key][:count] if key in arrays else _column(values[key]) for key in first}


def _alike(key: str, value: Any, first: Any) -> Any:
    """Return an array of the shape and the type of the first one of its batch."""
    for name in ("shape", "dtype"):
        ours, other = getattr(first, name), getattr(value, name, None)
        if ours != other:
            what = f"{key} has several {name}s in a batch ({ours}, {other})"
            raise ConfigError(f"{what}; use batch=None")
    return value


def _column(values: list[Any]) -> Any:
    """Return numbers as an array, and a list of anything else as it is."""
    numbers = all(isinstance(value, np.generic | int | float) for value in values)
    return np.array(values) if numbers else values
