"""Columns of tables as arrays, each of the type that its name or its values need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.exporters.tables.csv_json import FILE

Column = npt.NDArray[Any]

_WHOLE = ("x", "y", "width", "height", "x0", "y0", "width0", "height0")
_TEXTS = ("slide", "resolution", "label", "decision", FILE)

_BOOLS = ({"true"}, {"false"}, {"true", "false"})
"""Cells of a column of truth values, in small letters: DuckDB writes these, Python ``True``."""

SHARES = ("score_", "label_")
"""Numbers of tiler's own that a slide may lack: they are NaN there, as in ``tiles.parquet``."""

_MAX_WHOLE = 2**53
"""Floats are exact up to here, and places in slides are far below it."""


def of_cells(name: str, cells: Sequence[str]) -> Column:
    """Return a column of a CSV table; its type depends on its name, else on its cells.

    Raises
    ------
    ValueError, OverflowError
        If a value does not fit the name.
    """
    if name in _TEXTS:
        return np.array(cells, object)
    kinds = {*cells}
    if name not in _WHOLE and {cell.lower() for cell in kinds - {""}} in _BOOLS:
        values = {cell: np.nan if cell == "" else cell.lower() == "true" for cell in kinds}
        kind = np.float64 if "" in kinds else bool  # as in a Parquet table
        return _checked(name, np.array([values[cell] for cell in cells], kind))
    if not name.startswith(SHARES) and name != "ratio":
        try:
            return _checked(name, np.array([int(cell) for cell in cells], np.int64))
        except (ValueError, OverflowError):
            pass
    try:
        return _checked(name, np.array([float(cell or "nan") for cell in cells], np.float64))
    except ValueError:
        if name in _WHOLE or name == "ratio" or name.startswith("score_"):
            raise
    return np.array(cells, object)


def of_arrow(name: str, column: Any) -> Column:
    """Return a column of a Parquet table; missing numbers are NaN, and missing texts empty.

    Raises
    ------
    ValueError
        If a value does not fit the name.
    """
    import pyarrow

    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    boolean, integer = pyarrow.types.is_boolean(kind), pyarrow.types.is_integer(kind)
    if pyarrow.types.is_decimal(kind) or (boolean and column.null_count):
        values = [np.nan if value is None else float(value) for value in column.to_pylist()]
        return _checked(name, np.array(values, np.float64))
    if boolean:
        return _checked(name, np.asarray(column.to_numpy(), bool))
    if integer and not column.null_count and not pyarrow.types.is_uint64(kind):
        return _checked(name, np.asarray(column.to_numpy(), np.int64))
    if integer and not column.null_count:
        whole = np.asarray(column.to_numpy())
        fits = (whole <= np.iinfo(np.int64).max).all()
        return _checked(name, whole.astype(np.int64) if fits else whole)
    if integer or pyarrow.types.is_floating(kind):
        return _checked(name, np.asarray(column.to_numpy(), np.float64))
    texts = ["" if value is None else str(value) for value in column.to_pylist()]
    return _checked(name, np.array(texts, object))


def _checked(name: str, values: Column) -> Column:
    """Return places and sizes as whole numbers, and refuse texts for numbers.

    Programs that join tables write whole numbers as floats.
    """
    if name not in _WHOLE and name != "ratio":
        return values
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{name} has values that are no numbers")
    if name == "ratio":
        return values
    bad = ~(np.abs(values.astype(np.float64)) < _MAX_WHOLE) | (values != np.rint(values))
    if bad.any():
        raise ValueError(f"{name}={values[bad][0]} is no whole number of pixels")
    return values.astype(np.int64)
