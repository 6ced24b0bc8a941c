"""CSV tables as text (RFC 4180) that any reader reads back, and that no terminal obeys."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""What terminals take for commands; tabs and line ends are none, and are quoted."""


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    r"""Format rows as a CSV table with a header; None and missing values are empty cells.

    Control characters in texts are written as ``\x1b``.
    """
    lines: list[str] = []
    # Lines end in \n; but only with \r\n as their end does Python before 3.13 quote a \r in a cell.
    lined = SimpleNamespace(write=lambda line: lines.append(_visible(line[:-2])))
    writer = csv.writer(lined, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([row.get(name) for name in columns] for row in rows)
    return "".join(f"{line}\n" for line in lines)


def _visible(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
