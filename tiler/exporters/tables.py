"""Coordinates as CSV and JSON: one row or object per tile."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tiler.errors import ConfigError
from tiler.files import digest, inside, make_folder, write_whole
from tiler.protocols import Exported, Mask, WSIReader
from tiler.regions import RegionSpec, packed
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
"""x, y, width, height: absolute pixels of the target resolution; the others with 0: level 0."""

_Row = tuple[str, int, int, int, int, str, float, int, int, int, int]


def rows(slide: str, regions: Iterable[RegionSpec]) -> Iterator[_Row]:
    """One tuple per tile, in the order of ``COLUMNS``."""
    for part in packed(regions):
        width, height = part.shape
        token = part.resolution.token
        locations, boxes0 = part.locations.tolist(), part.boxes0().tolist()
        for (x, y), ratio, box0 in zip(locations, part.ratios.tolist(), boxes0, strict=True):
            yield (slide, x, y, width, height, token, ratio, *box0)


def csv_text(slide: str, regions: Iterable[RegionSpec]) -> str:
    """A slide's table; a ratio read back from it is the same float."""
    text = io.StringIO()
    # The csv module leaves a lone carriage return bare, and readers would end the row there.
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if "\r" in slide else csv.QUOTE_MINIMAL
    writer = csv.writer(text, lineterminator="\n", quoting=quoting)
    writer.writerow(COLUMNS)
    writer.writerows(rows(slide, regions))  # the csv module writes floats by repr
    return text.getvalue()


def json_text(slide: str, regions: Iterable[RegionSpec], indent: int | None) -> str:
    """A slide's tiles as an array of objects; ``indent`` 0 or None for the compact form."""
    objects = [dict(zip(COLUMNS, row, strict=True)) for row in rows(slide, regions)]
    separators = None if indent else (",", ":")
    text = json.dumps(objects, ensure_ascii=False, indent=indent or None, separators=separators)
    return text + "\n"


def csv_bytes(slide: str, regions: Iterable[RegionSpec]) -> bytes:
    """A slide's table as a file; a name that is no UTF-8 goes back to its own bytes."""
    return csv_text(slide, regions).encode(errors="surrogateescape")


def json_bytes(slide: str, regions: Iterable[RegionSpec], indent: int | None) -> bytes:
    """A slide's array as a file; a name that is no UTF-8 is written as JSON's own escapes."""
    return json_text(slide, regions, indent).encode(errors="backslashreplace")


def write_csv(folder: Path, slide: str, regions: Iterable[RegionSpec]) -> Path:
    """Write ``<folder>/<slide>.csv`` and return its path."""
    return _write(folder, f"{slide}.csv", csv_bytes(slide, regions))


def write_json(
    folder: Path, slide: str, regions: Iterable[RegionSpec], indent: int | None = 2
) -> Path:
    """Write ``<folder>/<slide>.json`` and return its path."""
    return _write(folder, f"{slide}.json", json_bytes(slide, regions, indent))


@dataclass(frozen=True)
class CsvExporter:
    """Writes ``<slide>.csv``."""

    @property
    def per_tile(self) -> bool:
        """False: a table is written in one piece."""
        return False

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write the table of ``regions``."""
        return _exported(folder, f"{source.name}.csv", csv_bytes(source.name, regions))


@dataclass(frozen=True)
class JsonExporter:
    """Writes ``<slide>.json``.

    Parameters
    ----------
    indent
        Spaces per level; 0 or None for the compact form.
    """

    indent: int | None = 2

    def __post_init__(self) -> None:
        if self.indent is not None and self.indent < 0:
            raise ConfigError(f"exporter.json.indent={self.indent}: must be 0 or more")

    @property
    def per_tile(self) -> bool:
        """False: a table is written in one piece."""
        return False

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write the array of ``regions``."""
        data = json_bytes(source.name, regions, self.indent)
        return _exported(folder, f"{source.name}.json", data)


def _write(folder: Path, name: str, data: bytes) -> Path:
    path = inside(make_folder(folder), name)
    write_whole(path, data)
    return path


def _exported(folder: Path, name: str, data: bytes) -> Exported:
    _write(folder, name, data)
    return Exported((WrittenFile(name, len(data), digest(data)),))
