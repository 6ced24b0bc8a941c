"""Plain values from the cells of a table."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import yaml

_LONGEST = 4096
_LONGEST_LINE = 200
_NOT_PLAIN = "is not a text, a number or a list of these; quote it if it is text"


@lru_cache(maxsize=1 << 12)
def cell_value(text: str) -> Any:
    """Parse a cell as YAML: text, a number, true, false, null, or a list of them.

    Raises
    ------
    ValueError
        If the cell contains anything else, or is too long.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"has {len(text)} characters; a cell has at most {_LONGEST}")
    try:
        _check_events(yaml.parse(text, Loader=yaml.SafeLoader))
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    items = value if isinstance(value, list) else [value]
    if not all(item is None or isinstance(item, str | int | float) for item in items):
        raise ValueError(_NOT_PLAIN)
    return value


def _check_events(events: Iterator[yaml.Event]) -> None:
    """Refuse YAML at its first node that no plain value has; 2000 brackets took 2.5 s to parse."""
    lists = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError("has a YAML anchor or alias (& or *); quote it if it is text")
        lists += isinstance(event, yaml.SequenceStartEvent)
        if lists > 1 or isinstance(event, yaml.MappingStartEvent):
            raise ValueError(_NOT_PLAIN)


def cut(line: str) -> str:
    """Return a line of bounded length."""
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"
