"""The tables of a run: ``slides.csv`` and ``run.json``."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import tiler
from tiler.errors import STOPPED
from tiler.files import digest, write_whole
from tiler.runner.store.versions import versions
from tiler.runner.work.job import DROPPED, STATUSES, SlideRow
from tiler.storage.csv_text import csv_rows, csv_text
from tiler.storage.destinations import inside
from tiler.storage.safe_text import json_text, visible
from tiler.storage.stored import MAX_TABLE, StoredError, read_regular

RUNNING = "running"
"""The ``status`` in ``run.json`` of a run that is active or died."""

REFUSED = "refused.json"
"""File with the reason why a job stopped before its slides; a ``run.json`` beside it is older."""

OWN = "_"
"""Prefix of columns that are copied from the user's table of slides."""


COLUMNS = tuple(field for field in fields(SlideRow) if field.name not in ("code", "filtered"))
"""The columns of ``slides.csv`` that every run has."""


_KINDS: Mapping[str, type[int] | type[float]] = {
    column.name: int if column.type.startswith("int") else float
    for column in COLUMNS
    if isinstance(column.type, str) and column.type.startswith(("int", "float"))
}
_COUNT = re.compile(r"[0-9]{1,18}")
_MAX_DIGITS = 40


def column_names(filtered: Iterable[str]) -> list[str]:
    """Return the columns of a table of rows, in order.

    Parameters
    ----------
    filtered
        The names in ``SlideRow.filtered`` of any row; their columns come before ``not_sampled``.
    """
    names = [column.name for column in COLUMNS]
    at = names.index("not_sampled")
    return [*names[:at], *dict.fromkeys(DROPPED + name for name in filtered), *names[at:]]


def slides_table(rows: Sequence[SlideRow], own: Sequence[Mapping[str, str]]) -> bytes:
    """Return ``slides.csv``: one row per slide, in the order of the configuration.

    Parameters
    ----------
    rows
        One per slide.
    own
        Columns of each slide from the user's table; their names begin with ``OWN``.
    """
    columns = column_names(name for row in rows for name in row.filtered)
    columns += dict.fromkeys(name for some in own for name in some)
    text = csv_text(columns, ({**row.cells(), **some} for row, some in zip(rows, own, strict=True)))
    return text.encode(errors="surrogateescape")


def read_slides(out: Path) -> list[dict[str, str]]:
    """Read the rows of a run's ``slides.csv`` as text; none if there is no table.

    Raises
    ------
    StoredError
        If the table is damaged.
    """
    try:
        data = read_regular(out / "slides.csv", MAX_TABLE)
    except FileNotFoundError:
        return []
    return slide_rows(data)


def slide_rows(data: bytes) -> list[dict[str, str]]:
    """Read the rows of ``slides.csv`` as text, whose numbers are numbers.

    Raises
    ------
    StoredError
        If the table is damaged.
    """
    rows = table_rows(data, ("slide_id", "status", "candidates", "kept"))
    kinds = {name: kind_of(name) for name in (rows[0] if rows else ())}
    for row in rows:
        for name, kind in kinds.items():
            if (text := row[name]) and not _fits(text, kind):
                slide, shown = visible(row["slide_id"]), visible(text[:40])
                raise StoredError(f"is damaged: slide {slide} has {name}={shown!r}")
    return rows


def kind_of(name: str) -> type[str] | type[int] | type[float]:
    """Return the type of a column of ``slides.csv``."""
    if name.startswith(OWN):
        return str
    return int if name.startswith(DROPPED) else _KINDS.get(name, str)


def _fits(text: str, kind: type) -> bool:
    if kind is int:
        return bool(_COUNT.fullmatch(text))
    if kind is str:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return len(text) <= _MAX_DIGITS


def table_rows(data: bytes, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read the rows of a CSV table as text; none if it is empty.

    Raises
    ------
    StoredError
        If it lacks one of ``columns``, or is truncated or damaged.
    """
    if not data:
        return []
    try:
        header, *rows = csv_rows(data)
    except ValueError as error:
        raise StoredError(f"is damaged: {error}") from error
    if (missing := [name for name in columns if name not in header]) and rows:
        raise StoredError(f"is damaged: it has no column {missing[0]!r}")
    return [dict(zip(header, row, strict=True)) for row in rows]


def table_key(data: bytes) -> str:
    """Return a digest of ``slides.csv`` without the seconds, which another run may change.

    Raises
    ------
    StoredError
        If the table is damaged.
    """
    rows = table_rows(data, ())
    for row in rows:
        row.pop("seconds", None)
    return digest(json.dumps(rows).encode())


def write_run(
    out: Path, facts: Mapping[str, Any], rows: Sequence[SlideRow], code: int | None
) -> dict[str, Any]:
    """Write ``run.json``: status, versions, configuration, counts and exit code; return these.

    ``code`` is the exit code; None for a run that has just begun.
    """
    counts = Counter(row.status for row in rows)
    record = {
        "tiler": tiler.__version__,
        "status": _status(code),
        "versions": versions(),
        **facts,
        "counts": {
            "slides": len(rows),
            **{status: counts[status] for status in STATUSES},
            "candidates": sum(row.candidates for row in rows),
            "kept": sum(row.kept for row in rows),
            "dropped": sum(row.dropped for row in rows),
        },
        "exit_code": code,
    }
    text = json_text(record, indent=2)
    write_whole(inside(out, "run.json"), text.encode(errors="surrogateescape") + b"\n")
    (out / REFUSED).unlink(missing_ok=True)
    return record


def _status(code: int | None) -> str:
    """Return the status of a run. A run with status ``running`` and a free lock has died."""
    if code is None:
        return RUNNING
    return "done" if code == 0 else "interrupted" if code in STOPPED else "failed"
