"""CSV tables as text (RFC 4180), safe to parse and safe to show in a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def csv_rows(data: bytes) -> Iterator[list[str]]:
    """Yield the header of a CSV table and its rows, without blank lines and a byte-order mark.

    Raises
    ------
    ValueError
        If the table is empty, cut off or damaged; the text names the line.
    """
    text = data.decode(errors="surrogateescape").removeprefix("\ufeff")  # that Excel writes
    if not text.endswith("\n"):
        raise ValueError("its last line is incomplete" if text else "it is empty")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    width = None
    try:
        for cells in filter(None, reader):
            width = len(cells) if width is None else width
            if len(cells) != width:
                raise ValueError(f"{len(cells)} cells, not {width}")
            yield cells
    except (csv.Error, ValueError) as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error


def csv_field(text: str) -> str:
    """Return a text as a field of a CSV table."""
    return '"' + text.replace('"', '""') + '"' if _needs_quotes(text) else text


def csv_fields(texts: list[str]) -> list[str]:
    """Return texts as fields; it is quick to see that none of them needs quotes."""
    return [csv_field(text) for text in texts] if _needs_quotes("".join(texts)) else texts


def _needs_quotes(text: str) -> bool:
    return any(mark in text for mark in _QUOTED)
