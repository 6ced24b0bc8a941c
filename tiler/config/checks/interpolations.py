"""Interpolations that repeat others until the text fills the memory: refused before resolving."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tiler.errors import ConfigError

MAX_GROWTH = 5_000_000
"""Characters that interpolations may add to a configuration."""

_INNERMOST = re.compile(r"\$\{([^${}]*)\}")
_SEPARATORS = re.compile(r"[.\[\]]+")
_RESOLVER = re.compile(r"\s*([\w.]+)\s*:(.*)", re.DOTALL)
_TAKES_KEY = re.compile(r"oc\.(select|dict\.\w+|deprecated)").fullmatch
"""Matches the resolvers whose first argument is a key; others add little to their arguments."""
_ANY = "\0"
"""Stands for a key that another interpolation yields."""

_Place = tuple[str, ...]


def check_interpolations(config: DictConfig) -> None:
    """Refuse a configuration whose interpolations stand for too much text.

    Parameters
    ----------
    config
        The configuration as Hydra composed it: nothing is resolved.

    Raises
    ------
    ConfigError
        If they do; the error names the key with the longest text.
    """
    check_values(OmegaConf.to_container(config))


def check_values(*plains: object) -> None:
    """Refuse plain containers as ``check_interpolations`` does; several count as one."""
    leaves, below = _read(plains)
    try:
        sizes = _Sizes(leaves, below).of_all()
    except RecursionError:  # OmegaConf would fail too
        raise ConfigError("too many interpolations lead to each other; write values out") from None
    if sizes[()] - sum(map(len, leaves.values())) > MAX_GROWTH:
        largest = max(leaves, key=lambda place: sizes[place])
        raise ConfigError(
            f"{'.'.join(largest)}: interpolations (${{…}}) stand for more than {MAX_GROWTH:,}"
            " characters; write a shorter value"
        )


def _read(plains: Iterable[object]) -> tuple[dict[_Place, str], dict[_Place, dict[_Place, None]]]:
    """Return the texts of configurations, and the places directly below each container."""
    leaves: dict[_Place, str] = {}
    below: dict[_Place, dict[_Place, None]] = {}
    waiting: list[tuple[_Place, Any]] = [((), plain) for plain in plains]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, Mapping | list):
            pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
            inner = [((*place, str(key)), item) for key, item in pairs]
            known = below.setdefault(place, {})
            known.update((inside, None) for inside, _ in inner)
            waiting += inner
        else:
            leaves[place] = "\n".join(filter(None, (leaves.get(place), str(value))))
    return leaves, below


class _Sizes:
    """Find upper bounds of the sizes of values once they are resolved.

    A circle of keys whose names are known only later (``${${a}}``) may be none. It counts as
    unlimited if one of its texts leads into it twice. (Tarjan's strongly connected components.)
    """

    def __init__(self, leaves: dict[_Place, str], below: dict[_Place, dict[_Place, None]]) -> None:
        self._leaves, self._below = leaves, below
        self._sizes: dict[_Place, float] = {}
        self._numbers: dict[_Place, int] = {}
        self._stack: list[_Place] = []
        self._links: dict[_Place, list[list[_Place]]] = {}

    def of_all(self) -> dict[_Place, float]:
        """Return the bound of each place; that of the whole configuration is at ``()``."""
        self._visit(())
        return self._sizes

    def _visit(self, place: _Place) -> int:
        lowest = number = self._numbers[place] = len(self._numbers)
        start = len(self._stack)
        self._stack.append(place)
        self._links[place] = list(self._links_of(place))
        for other in (other for link in self._links[place] for other in link):
            if other not in self._numbers:
                lowest = min(lowest, self._visit(other))
            elif other not in self._sizes:
                lowest = min(lowest, self._numbers[other])
        if lowest == number:
            self._close(set(self._stack[start:]))
            del self._stack[start:]
        return lowest

    def _links_of(self, place: _Place) -> Iterator[list[_Place]]:
        """Return what each interpolation may stand for; of a container, each value."""
        for below in self._below.get(place, ()):
            yield [below]
        yield from map(self._places, _keys(self._leaves.get(place, ""), place))

    def _places(self, key: _Place) -> list[_Place]:
        if _ANY not in key:
            if key in self._below:
                return [key]
            # A text may stand for a container with the rest of the key.
            parts = (key[:length] for length in range(len(key), 0, -1))
            return list(islice((part for part in parts if part in self._leaves), 1))
        pattern = re.compile(".*".join(map(re.escape, ".".join(key).split(_ANY))), re.DOTALL)
        return [place for place in self._leaves if pattern.fullmatch(".".join(place))]

    def _close(self, circle: set[_Place]) -> None:
        """Set the sizes of places that lead to each other; mostly it is one place."""
        size = 0.0
        for place in circle:
            twice = 0
            size += len(self._leaves.get(place, ""))
            for link in self._links[place]:
                twice += bool(circle.intersection(link))
                size += max((self._sizes.get(other, 0) for other in link), default=0)
            if twice > 1 and place in self._leaves:
                size = math.inf
        self._sizes |= dict.fromkeys(circle, size)


def _keys(text: str, place: _Place) -> Iterator[_Place]:
    """Yield the key of each interpolation in a text at a place, inner ones first."""
    while found := _INNERMOST.search(text):
        key: str | None = found[1]
        if resolver := _RESOLVER.fullmatch(found[1]):
            name, arguments = resolver.groups()
            first = arguments.split(",")[0].strip()
            key = f"hydra.{first}" if name == "hydra" else first if _TAKES_KEY(name) else None
        if key is not None:
            dots = len(key) - len(key.lstrip("."))
            names = tuple(name for name in _SEPARATORS.split(key) if name)
            yield (*place[: len(place) - dots], *names) if dots else names
        text = f"{text[: found.start()]}{_ANY}{text[found.end() :]}"
