"""A sweep's table as Parquet, with the extra ``tiler[parquet]``."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tiler.files import write_whole
from tiler.runner.guard import MARK
from tiler.runner.reporting.tables import COLUMNS, OWN
from tiler.storage.stored import MAX_TABLE, read_regular

if TYPE_CHECKING:
    import pyarrow

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]+)?", re.IGNORECASE)
_TRUTHS = {"true": True, "false": False}
_KINDS = {"str": str, "int": int, "int | None": int, "float": float, "float | None": float}
"""Types of the columns of ``slides.csv``, by their type hints."""


def write_parquet(table: Path) -> Path | None:
    """Write ``sweep.csv`` as Parquet beside itself; None without pyarrow.

    Text stays text, such as a slide id 007 or NA; empty cells are null. The column of a swept key
    is numeric or boolean if all its values are so in Hydra's grammar, where a text of digits has
    quotes.
    """
    path = table.with_suffix(".parquet")
    if find_spec("pyarrow") is None:
        path.unlink(missing_ok=True)  # of an earlier sweep
        return None
    import pyarrow
    from pyarrow import parquet

    text = read_regular(table, MAX_TABLE).decode(errors="surrogateescape")
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    kinds = {"job": str, **{field.name: _KINDS[str(field.type)] for field in COLUMNS}}
    made = {
        name: _array(cells, str if name.startswith(OWN) else kinds.get(name) or _kind(cells))
        for name, cells in zip(header, map(list, columns), strict=True)
    }
    data = io.BytesIO()
    key, value = MARK.split(b"\0")
    parquet.write_table(pyarrow.table(made, metadata={key: value}), data)
    write_whole(path, data.getvalue())
    return path


def _kind(cells: Sequence[str]) -> type:
    """Return the type of the values of a swept key."""
    values = {cell for cell in cells if cell not in ("", "null")}
    if values and all(map(_WHOLE.fullmatch, values)):
        return int
    if values and all(map(_NUMBER.fullmatch, values)):
        return float
    return bool if values and values <= _TRUTHS.keys() else str


def _array(cells: Sequence[str], kind: type) -> pyarrow.Array:
    import pyarrow

    if kind is str:
        # Bytes of a path that are no UTF-8 are written as escapes.
        shown = (cell.encode(errors="surrogateescape") for cell in cells)
        texts = [cell.decode(errors="backslashreplace") or None for cell in shown]
        return pyarrow.array(texts, pyarrow.string())
    types = {int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    read = _TRUTHS.__getitem__ if kind is bool else kind
    values = [None if cell in ("", "null") else read(cell) for cell in cells]
    return pyarrow.array(values, types[kind])
