"""Slides from a CSV table, with settings for each slide."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

from tiler.errors import ConfigError
from tiler.protocols import SlideEntry
from tiler.slides.files import refuse_missing
from tiler.storage.destinations import expanded
from tiler.storage.named import opened_by_name

_OWN = ("path", "slide_id", "expected_sha256")
"""Columns that are not configuration keys."""

_PATHS = re.compile(r"(mask|label)\.(.+\.)?path")
"""Keys of paths relative to the table's folder, those of masks in combinations included."""

_MAX_BYTES = 256 << 20
_LONGEST_CELL = 4096
_LONGEST_NAME = 60
_MOST = 50
"""Maximum number of columns or mistakes in an error."""


def read_table(table: str, strict: bool = False) -> list[SlideEntry]:
    """Read slides from a CSV file with a header.

    Parameters
    ----------
    table
        The file: UTF-8, with or without a byte-order mark. It has these columns:

        - ``path``: the slide's file, relative to the table's folder.
        - ``slide_id`` (optional): the slide's name in outputs.
        - ``expected_sha256`` (optional): compared with the file's hash before the file is read.
        - A name that begins with ``_``: copied into ``slides.csv``.
        - Any other name: a configuration key, which a non-empty cell overrides for its slide.
          ``mask.path``, ``label.path`` and paths of masks in a combination, such as
          ``mask.all.annotation.path``, are relative to the table's folder, too.
    strict
        Refuse slides that are missing or unreadable. Otherwise each becomes a failed slide.

    Raises
    ------
    ConfigError
        If the table is invalid, with the number of each invalid line; or if ``strict`` refuses
        a slide.
    """
    source = Path(expanded(table))
    try:
        with opened_by_name(source, _MAX_BYTES) as file:
            text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"slides.table={table}: byte {error.start} is not UTF-8; save it as CSV in UTF-8"
        ) from error
    except OSError as error:
        raise ConfigError(f"slides.table={table}: {_unreadable(error)}") from error
    rows = _numbered_rows(text, table)
    columns = [name.strip() for name in rows[0][1]] if rows else []
    if "path" not in columns:
        names = ", ".join(name[:_LONGEST_NAME] for name in columns[:_MOST])
        raise ConfigError(
            f"slides.table={table}: the header has no column 'path' (it has: {names}); rename"
            " the column of slide files to 'path'"
        )
    if len(set(columns)) < len(columns):
        raise ConfigError(f"slides.table={table}: the header contains a column twice; remove one")
    entries: list[SlideEntry] = []
    problems: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    base = _base(table)
    for line, row in rows[1:]:
        cells = dict(zip(columns, (cell.strip() for cell in row), strict=False))
        key = (cells.get("path", ""), cells.get("slide_id", ""))
        if problem := _problem(line, row, columns, key[0]):
            problems.append(problem)
        elif key in seen:
            problems.append(f"line {line} names the same slide as line {seen[key]}")
        else:
            seen[key] = line
            entries.append(_entry(source.parent, cells, line, base))
    if problems:
        more = [f"{len(problems) - _MOST} more mistakes"] if len(problems) > _MOST else []
        raise ConfigError(f"slides.table={table}: " + "; ".join([*problems[:_MOST], *more]))
    if not entries:
        raise ConfigError(f"slides.table={table}: there is no slide; add a line for each")
    if strict:
        refuse_missing(f"slides.table={table}", entries)
    return entries


def _problem(line: int, row: Sequence[str], columns: Sequence[str], path: str) -> str:
    """Return the mistake in a line by itself; empty if there is none."""
    if len(row) != len(columns):
        return f"line {line} has {len(row)} cells, the header {len(columns)}"
    if (longest := max(map(len, row))) > _LONGEST_CELL:
        return f"line {line} has a cell of {longest:,} characters (at most {_LONGEST_CELL:,})"
    if not path:
        return f"line {line} has no path"
    if "\0" in path:
        return f"line {line}: path {path[:_LONGEST_NAME]!r} contains NUL"
    return ""


def _base(table: str) -> str:
    """Return the folder of a table, as the user wrote it."""
    return _kept_here(str(Path(table).parent), table)


def _from_folder(path: str, base: str) -> str:
    """Return the path of a cell, relative to the table's folder, as a value of YAML."""
    if "://" in path:
        return path
    if not path.startswith("~"):  # otherwise it is relative to a home folder
        path = _kept_here(str(Path(base, path)), base)
    return json.dumps(path)  # folder names may look like YAML


def _kept_here(path: str, given: str) -> str:
    """Return a path that keeps a leading ``./~``, which Path would shorten to ``~``."""
    return f"./{path}" if path.startswith("~") and not given.startswith("~") else path


def _numbered_rows(text: str, table: str) -> list[tuple[int, list[str]]]:
    """Return the rows that are not blank, each with the number of its last line."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ConfigError(f"slides.table={table}: line {reader.line_num}: {error}") from error


def _entry(folder: Path, cells: dict[str, str], line: int, base: str) -> SlideEntry:
    overrides = {
        name: value
        for name, value in cells.items()
        if value and name not in _OWN and not name.startswith("_")
    }
    for name in filter(_PATHS.fullmatch, overrides):
        overrides[name] = _from_folder(overrides[name], base)
    path = folder / expanded(cells["path"])
    return SlideEntry(
        path,
        cells.get("slide_id") or None,
        cells.get("expected_sha256") or None,
        overrides,
        line,
        given=cells["path"],
        base=base,
        columns={name: cell for name, cell in cells.items() if name.startswith("_")},
    )


def _unreadable(error: OSError) -> str:
    """Return the reason why a table cannot be read, and the fix."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file; check the path"
    if isinstance(error, IsADirectoryError):
        return "this is a folder; give a CSV file, or use slides=files for the slides in it"
    if isinstance(error, PermissionError):
        return "permission denied; make the file readable"
    return f"cannot be read ({error.strerror}); check the path"
