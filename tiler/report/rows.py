"""The rows of ``slides.csv`` with numbers as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from tiler.runner.reporting.tables import OWN, table_rows
from tiler.runner.work.job import DROPPED

Row = Mapping[str, str | int | float | None]

_COUNTS = frozenset(
    (
        *("candidates", "kept", "below_threshold", "not_sampled", "dropped"),
        *("blank_native_tiles", "blank_tiles", "bytes"),
    )
)
_NUMBERS = frozenset(
    (
        *("coverage", "mask_fraction", "tissue_mm2", "downsample", "effective_mpp", "mpp"),
        *("magnification", "seconds"),
    )
)


def typed_rows(table: bytes) -> list[Row]:
    """Return the rows of ``slides.csv``; an empty cell of a number is None.

    Raises
    ------
    StoredError
        When the table is damaged.
    """
    rows = table_rows(table, ("slide_id", "status", "candidates", "kept"))
    return [{name: _value(name, text) for name, text in row.items()} for row in rows]


def _value(name: str, text: str) -> str | int | float | None:
    """Return a cell's value; text that is not a number where one belongs stays text."""
    if name.startswith(OWN) or not (name in _NUMBERS or name in _COUNTS or _is_count(name)):
        return text
    if not text:
        return None
    with suppress(ValueError):
        return float(text) if name in _NUMBERS else int(text)
    return text


def _is_count(name: str) -> bool:
    return name.startswith(DROPPED)


def count_of(row: Row, name: str) -> int:
    """Return a count of a row; 0 if it has none."""
    value = row.get(name)
    return value if isinstance(value, int) else 0


def text_of(row: Row, name: str) -> str:
    """Return a text of a row; empty if it has none."""
    value = row.get(name)
    return value if isinstance(value, str) else ""
