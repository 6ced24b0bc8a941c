"""Coordinates as CSV and JSON: one row or object per tile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np

from tiler.errors import ConfigError
from tiler.exporters.names import file_names
from tiler.files import write_chunks
from tiler.protocols import Exported, Mask, NamesTiles, WSIReader
from tiler.regions import Regions, RegionSpec, batches, packed
from tiler.storage.csv_text import csv_field, csv_fields
from tiler.storage.destinations import inside, make_folder
from tiler.storage.safe_text import visible, visible_json
from tiler.written import WrittenFile

COLUMNS = (
    "slide",
    "x",
    "y",
    "width",
    "height",
    "resolution",
    "ratio",
    "x0",
    "y0",
    "width0",
    "height0",
)
"""The first columns: x, y, width, height in absolute target pixels; those with 0 in level-0 pixels.
Those of ``Regions.columns`` follow."""

FILE = "file"
"""The last column: the path of each tile's image, relative to the slide's folder."""


def csv_parts(
    slide: str, regions: Iterable[RegionSpec], tiles: NamesTiles | None = None
) -> Iterator[str]:
    """Yield a slide's table in pieces; ratios read back from it are the same floats.

    ``tiles`` names the tiles' files, for the column ``file``.
    """
    return parts_csv(slide, packed(regions), tiles)


def parts_csv(
    slide: str, parts: Sequence[Regions], tiles: NamesTiles | None = None
) -> Iterator[str]:
    """Yield one table of several regions: see ``csv_parts``."""
    name = csv_field(visible(slide)).replace("%", "%%")
    names = column_names(parts)
    header = (*COLUMNS, *names, *(() if tiles is None else (FILE,)))
    yield ",".join(map(csv_field, map(visible, header))) + "\n"
    for some in (batch for part in parts for batch in batches(part)):
        # Takes a third of the csv module's time: only the name may need quotes.
        same = f"{some.shape.width},{some.shape.height},{some.resolution.token}"
        boxes0 = some.boxes0()
        row = f"{name},%s,%s,{same},%s,%s,%s,%s,%s"
        if (
            boxes0[:, 2:] == boxes0[0, 2:]
        ).all():  # all boxes have one size if the downsample is whole
            row = f"{name},%s,%s,{same},%s,%s,%s,{boxes0[0, 2]},{boxes0[0, 3]}"
            boxes0 = boxes0[:, :2]
        columns = [*some.locations.T.tolist(), some.ratios.tolist(), *boxes0.T.tolist()]
        columns += [_fields(some, column) for column in names]
        if tiles is not None:
            columns.append(csv_fields(file_names(tiles, slide, some)))
        row += ",%s" * (len(names) + (tiles is not None)) + "\n"
        values: list[object] = [None] * (len(columns) * len(some))
        for number, column in enumerate(columns):
            values[number :: len(columns)] = column
        yield row * len(some) % tuple(values)


def column_names(parts: Sequence[Regions]) -> list[str]:
    """Return the names of all columns that regions have beside ``COLUMNS``, in order."""
    return list(dict.fromkeys(name for part in parts for name in part.columns))


def _fields(some: Regions, name: str) -> list[object]:
    """Return a column of regions as fields of a CSV table; empty where there is no value."""
    if name not in some.columns:
        return [""] * len(some)
    column = some.columns[name]
    values: list[object] = column.tolist()
    if column.dtype.kind in "OU":
        return [*csv_fields([visible(str(value)) for value in values])]
    if column.dtype.kind == "f" and np.isnan(column).any():
        return ["" if value != value else value for value in values]
    return values


def json_parts(
    slide: str,
    regions: Iterable[RegionSpec],
    indent: int | None,
    tiles: NamesTiles | None = None,
) -> Iterator[str]:
    """Yield a slide's tiles as an array of objects; ``indent`` 0 or None for the compact form.

    ``tiles`` names the tiles' files, for the key ``file``.
    """
    separators = None if indent else (",", ":")
    before, end = "[", "]"
    for some in batches(regions):
        shape, token = some.shape, some.resolution.token
        names = (*COLUMNS, *some.columns)
        objects = [
            dict(zip(names, (slide, *corner, *shape, token, ratio, *box0, *more), strict=True))
            for corner, ratio, box0, more in _rows(some)
        ]
        if tiles is not None:
            for item, name in zip(objects, file_names(tiles, slide, some), strict=True):
                item[FILE] = name
        text = visible_json(
            json.dumps(objects, ensure_ascii=False, indent=indent or None, separators=separators)
        )
        end = "\n]" if indent else "]"
        yield before + text[1 : -len(end)]
        before = ","
    yield (before if before == "[" else "") + end + "\n"


def _rows(some: Regions) -> Iterator[tuple[list[int], float, list[int], tuple[object, ...]]]:
    """Yield corner, ratio, level-0 box and further columns of each region."""
    columns = some.locations.tolist(), some.ratios.tolist(), some.boxes0().tolist()
    more = [column.tolist() for column in some.columns.values()]
    return zip(*columns, zip(*more, strict=True) if more else repeat(()), strict=bool(more))


def write_csv(folder: Path, slide: str, regions: Iterable[RegionSpec]) -> Path:
    """Write ``<folder>/<slide>.csv`` and return its path."""
    return folder / _write_csv(folder, slide, regions).name


def write_json(
    folder: Path, slide: str, regions: Iterable[RegionSpec], indent: int | None = 2
) -> Path:
    """Write ``<folder>/<slide>.json`` and return its path."""
    return folder / _write_json(folder, slide, regions, indent).name


@dataclass(frozen=True)
class CsvExporter:
    """Writes ``<slide>.csv``.

    Parameters
    ----------
    file
        Whether the table has a column ``file`` with the path of each tile's image, relative to the
        slide's folder; None for a column if images are exported.
    tiles
        The exporter that names the images; tiler sets it for such a column.
    """

    file: bool | None = None
    tiles: NamesTiles | None = None

    @property
    def per_tile(self) -> bool:
        """False: a table is written in one piece."""
        return False

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write the table of ``regions``."""
        return Exported((_write_csv(folder, source.name, regions, self.tiles),))


@dataclass(frozen=True)
class JsonExporter:
    """Writes ``<slide>.json``.

    Parameters
    ----------
    indent
        Spaces per level; 0 or None for the compact form.
    file, tiles
        See ``CsvExporter``; for a key ``file``.
    """

    indent: int | None = 2
    file: bool | None = None
    tiles: NamesTiles | None = None

    def __post_init__(self) -> None:
        if self.indent is not None and self.indent < 0:
            raise ConfigError(f"exporter.json.indent={self.indent} is invalid; use 0 or more")

    @property
    def per_tile(self) -> bool:
        """False: a table is written in one piece."""
        return False

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write the array of ``regions``."""
        written = _write_json(folder, source.name, regions, self.indent, self.tiles)
        return Exported((written,))


def _write_csv(
    folder: Path, slide: str, regions: Iterable[RegionSpec], tiles: NamesTiles | None = None
) -> WrittenFile:
    return write_csv_table(folder, f"{slide}.csv", slide, regions, tiles)


def write_csv_table(
    folder: Path,
    name: str,
    slide: str,
    regions: Iterable[RegionSpec],
    tiles: NamesTiles | None = None,
) -> WrittenFile:
    """Write a table of regions as CSV: see ``csv_parts``."""
    # A slide's name that is not UTF-8 is written as its original bytes.
    return _write(folder, name, csv_parts(slide, regions, tiles), "surrogateescape")


def write_csv_parts(folder: Path, name: str, slide: str, parts: Sequence[Regions]) -> WrittenFile:
    """Write one table of several regions as CSV."""
    return _write(folder, name, parts_csv(slide, parts), "surrogateescape")


def _write_json(
    folder: Path,
    slide: str,
    regions: Iterable[RegionSpec],
    indent: int | None,
    tiles: NamesTiles | None = None,
) -> WrittenFile:
    # A name that is not UTF-8 is written with JSON escapes.
    parts = json_parts(slide, regions, indent, tiles)
    return _write(folder, f"{slide}.json", parts, "backslashreplace")


def _write(folder: Path, name: str, parts: Iterable[str], errors: str) -> WrittenFile:
    path = inside(make_folder(folder), name)
    return WrittenFile(name, *write_chunks(path, (part.encode(errors=errors) for part in parts)))
