"""CSV tables as text (RFC 4180), safe to parse and safe to show in a terminal."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace

from tiler.storage.safe_text import visible

_QUOTED = (",", '"', "\r", "\n")
"""Characters that make quotes necessary."""


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    r"""Format rows as a CSV table with a header; None and missing values are empty cells.

    Control characters in texts are written as ``\x1b``; tabs and line ends are quoted.
    """
    lines: list[str] = []
    # Python before 3.13 quotes a \r in a cell only if lines end in \r\n; the output has \n.
    lined = SimpleNamespace(write=lambda line: lines.append(visible(line[:-2])))
    writer = csv.writer(lined, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([row.get(name) for name in columns] for row in rows)
    return "".join(f"{line}\n" for line in lines)


def csv_field(text: str) -> str:
    """Return a text as a field of a CSV table."""
    return '"' + text.replace('"', '""') + '"' if _needs_quotes(text) else text


def csv_fields(texts: list[str]) -> list[str]:
    """Return texts as fields; it is quick to see that none of them needs quotes."""
    return [csv_field(text) for text in texts] if _needs_quotes("".join(texts)) else texts


def _needs_quotes(text: str) -> bool:
    return any(mark in text for mark in _QUOTED)
