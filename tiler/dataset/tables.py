"""Tables of tiles as columns, from CSV and Parquet files that tiler or a user wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.dataset.columns import SHARES, of_arrow, of_cells
from tiler.errors import ConfigError
from tiler.exporters.tables.csv_json import COLUMNS, FILE
from tiler.exporters.tables.parquet import require_pyarrow
from tiler.geometry import Size
from tiler.regions import Regions
from tiler.resolution import Level, Resolution
from tiler.storage.csv_text import csv_rows
from tiler.storage.safe_text import plain_text
from tiler.storage.stored import MAX_TABLE, StoredError, opened, read_regular

Columns = Mapping[str, npt.NDArray[Any]]

PLACE = ("x", "y", "x0", "y0", "ratio")
"""Columns that every item has."""

UNASKED = frozenset({*COLUMNS, FILE})
"""Columns that an item has only if the user names them, ``PLACE`` apart."""

_TEXT_BYTES = 100
"""An estimate for a text and its object."""


@dataclass(frozen=True, eq=False)
class Table:
    """Tiles of one slide.

    Attributes
    ----------
    shape, token
        The size of all tiles, and the token of their resolution.
    columns
        All columns but those that are equal for all tiles, (N,) each.
    """

    shape: Size
    token: str
    columns: Columns

    def __len__(self) -> int:
        return len(self.columns["x"])

    @property
    def nbytes(self) -> int:
        """The memory that the columns take."""
        return sum(
            len(column) * (_TEXT_BYTES if column.dtype == object else column.itemsize)
            for column in self.columns.values()
        )

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column; shares and scores that this slide lacks are NaN, its labels empty.

        Raises
        ------
        KeyError
            If there is no such column.
        """
        if name in self.columns:
            return self.columns[name]
        same: dict[str, Any] = {"width": self.shape.width, "height": self.shape.height}
        same["resolution"] = self.token
        if name.startswith(SHARES):
            same[name] = np.nan
        elif name == "label":
            same[name] = ""
        value = same[name]
        kind = object if isinstance(value, str) else np.dtype(type(value))
        return np.broadcast_to(np.array(value, kind), len(self))  # takes no memory

    def regions(
        self,
        rows: npt.NDArray[np.int64],
        resolution: Resolution | None = None,
        downsample: float | None = None,
    ) -> Regions:
        """Return some tiles; the column ``at`` is 0, 1, 2, …. Places alone need no resolution."""
        locations = np.stack([self.columns["x"][rows], self.columns["y"][rows]], axis=1)
        at = {"at": np.arange(len(rows))}
        ratios = self.columns["ratio"][rows]
        return Regions(locations, ratios, self.shape, resolution or Level(0), downsample, at)


def read_columns(path: Path, names: Sequence[str] | None = None) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of a table; those of ``names`` alone, if they are given and there.

    Raises
    ------
    ConfigError
        If it is missing or damaged, or lacks a column of tiler's tables.
    """
    try:
        if path.suffix == ".parquet":
            columns = _parquet_columns(path, names)
        else:
            columns = dict(_csv_columns(path, names))
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing; check the path") from None
    except StoredError as error:
        raise ConfigError(f"{path} {error}; write it again") from error
    except (ValueError, OverflowError, OSError, KeyError) as error:
        why = " ".join(str(error).split())
        raise ConfigError(f"{path} is damaged: {why}; write it again") from error
    return columns


def column_names(path: Path) -> list[str]:
    """Return the names of a table's columns; the errors are those of ``read_columns``."""
    return list(read_columns(path, ()))


def tables_by_slide(columns: Columns, path: Path) -> Iterator[tuple[str, Table, Any]]:
    """Yield the tiles of each slide in a table, with their rows; slides in order of appearance.

    Raises
    ------
    ConfigError
        As ``table_of``.
    """
    check_complete(columns, path)
    names, first, codes = np.unique(
        columns["slide"].astype(str), return_index=True, return_inverse=True
    )
    rank = np.argsort(np.argsort(first))[codes]
    order = np.argsort(rank, kind="stable")
    ends = np.cumsum(np.bincount(rank, minlength=len(names)))
    for number, name in enumerate(names[np.argsort(first)].tolist()):
        rows = order[ends[number - 1] if number else 0 : ends[number]]
        some = {key: column[rows] for key, column in columns.items()}
        yield name, table_of(some, path), rows


def check_complete(columns: Columns, path: Path) -> None:
    """Refuse a table without all of ``COLUMNS``."""
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise ConfigError(f"{path} has no column {missing[0]!r}; use a table that tiler wrote")


def table_of(columns: Columns, path: Path) -> Table:
    """Return the tiles of one slide.

    Raises
    ------
    ConfigError
        If tiles have different sizes or resolutions, or a value is out of range.
    """
    check_complete(columns, path)
    same: dict[str, Any] = {}
    for name in ("width", "height", "resolution"):
        values = np.unique(columns[name].astype(str) if name == "resolution" else columns[name])
        if len(values) != 1:
            what = f"{path}: tiles of slide {columns['slide'][0]} have several values of {name}"
            raise ConfigError(f"{what} ({', '.join(map(str, values[:3]))}); give a table for each")
        same[name] = values[0].item()
    ratio = columns["ratio"]
    if not ((ratio >= 0) & (ratio <= 1)).all() or min(same["width"], same["height"]) < 1:
        raise ConfigError(f"{path} is damaged: a ratio or a size is out of range; write it again")
    rest = {name: column for name, column in columns.items() if name not in {*same, "slide"}}
    return Table(Size(same["width"], same["height"]), same["resolution"], rest)


def is_of(columns: Columns, slide: str) -> bool:
    """Return whether all rows of a table are of a slide."""
    return {*columns["slide"].tolist()} <= {slide, plain_text(slide)}


def _csv_columns(path: Path, names: Sequence[str] | None) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    if names == ():
        with opened(path, MAX_TABLE) as (file, _):
            data = file.readline(1 << 20)
    else:
        data = read_regular(path, MAX_TABLE)
    header, *rows = csv_rows(data)
    cells = list(zip(*rows, strict=True)) or [()] * len(header)
    for name, column in zip(header, cells, strict=True):
        if not names or name in names:
            yield name, of_cells(name, column)


def _parquet_columns(path: Path, names: Sequence[str] | None) -> dict[str, npt.NDArray[Any]]:
    require_pyarrow(f"to read {path.name}, TileDataset")
    import pyarrow
    from pyarrow import parquet

    with opened(path, 1 << 40) as (file, _):
        try:
            with parquet.ParquetFile(file) as table:
                there = table.schema_arrow.names
                if names == ():
                    return {name: np.empty(0) for name in there}
                chosen = [name for name in there if names is None or name in names]
                read = table.read(columns=chosen, use_threads=False)
        except pyarrow.ArrowException as error:
            raise ValueError(str(error)) from error
        return {name: of_arrow(name, read.column(name)) for name in chosen}
