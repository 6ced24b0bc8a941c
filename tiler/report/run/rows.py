"""The rows of ``slides.csv`` with numbers as numbers."""

from __future__ import annotations

from collections.abc import Mapping

from tiler.runner.reporting.tables import kind_of, slide_rows

Row = Mapping[str, str | int | float | None]


def typed_rows(table: bytes) -> list[Row]:
    """Return the rows of ``slides.csv``; an empty cell of a number is None.

    Raises
    ------
    StoredError
        If the table is damaged.
    """
    return [{name: _value(name, text) for name, text in row.items()} for row in slide_rows(table)]


def _value(name: str, text: str | None) -> str | int | float | None:
    kind = kind_of(name)
    if kind is str:
        return text
    return kind(text) if text else None


def count_of(row: Row, name: str) -> int:
    """Return a count of a row; 0 if it has none."""
    value = row.get(name)
    return value if isinstance(value, int) else 0


def text_of(row: Row, name: str) -> str:
    """Return a text of a row; empty if it has none."""
    value = row.get(name)
    return value if isinstance(value, str) else ""
