"""Plain values from the cells of a table."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import yaml

_LONGEST = 4096
_LONGEST_LINE = 200


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
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise ValueError("has a YAML anchor or alias (& or *); quote it if it is text")
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    items = value if isinstance(value, list) else [value]
    if not all(item is None or isinstance(item, str | int | float) for item in items):
        raise ValueError("is not a text, a number or a list of these; quote it if it is text")
    return value


def cut(line: str) -> str:
    """Return a line of bounded length."""
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"
