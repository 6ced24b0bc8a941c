"""Read the tiles of a slide from its CSV, its JSON, or the names of its images."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tiler.compare.areas import Ints
from tiler.compare.runs import Facts, read_text
from tiler.errors import ConfigError
from tiler.exporters.tables.csv_json import COLUMNS
from tiler.exporters.tiles.images import FOLDER
from tiler.files import digest
from tiler.geometry import Point, Size
from tiler.regions import RegionSpec
from tiler.resolution import Level
from tiler.storage.stored import StoredError, parse_json

_DIGITS = 15
"""Maximum digits of an integer: more than any slide needs, and exact as a float."""


class Tile(NamedTuple):
    """The identity of a tile: its resolution, and its box in pixels of that resolution."""

    resolution: str
    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"x{self.x}_y{self.y}_w{self.width}_h{self.height}_{self.resolution}"


@dataclass(frozen=True)
class Tiles:
    """The tiles that a run kept of a slide.

    Attributes
    ----------
    ratios
        The ratio of each tile, in the order of the table.
    boxes0
        int64 (N, 4) in the same order: x, y, width, height in level-0 pixels.
    rounded
        Whether the ratios have only two decimals, as in the names of images.
    notes
        Remarks about the files that the tiles were read from.
    """

    ratios: Mapping[Tile, float]
    boxes0: Ints
    rounded: bool = False
    notes: tuple[str, ...] = ()


_Row = tuple[Tile, float, Sequence[int]]


def read_tiles(folder: Path, slide_id: str, record: Facts) -> Tiles:
    """Return the tiles of a slide from its CSV, else its JSON, else the names of its images.

    Parameters
    ----------
    folder
        The slide's folder.
    slide_id
        The slide's id.
    record
        The folder's record.

    Raises
    ------
    ConfigError
        If all of them are missing, or one is damaged.
    """
    try:
        written = {str(file["name"]): file["sha256"] for file in record["files"]}
    except (TypeError, KeyError) as error:
        raise ConfigError(
            f"{folder}: the list of files in its record is invalid; run tiler again"
        ) from error
    notes: list[str] = []
    for name, parse in ((f"{slide_id}.csv", _csv_rows), (f"{slide_id}.json", _json_rows)):
        path = folder / name
        if not path.is_file():
            notes += [f"{name} is missing"] if name in written else []
            continue
        text = read_text(path)
        if written.get(name) != digest(text.encode(errors="surrogateescape")):
            notes.append(f"{name} was changed: its sha256 differs from the record")
        return _tiles(parse(path, text), path, False, notes)
    names = [name for name in written if name.startswith(f"{FOLDER}/")]
    if not names and record["counts"].get("written") != 0:
        raise ConfigError(
            f"{folder} contains no table ({slide_id}.csv, {slide_id}.json) and no tile images; run"
            " tiler again with exporter=[csv]"
        )
    notes += ["tiles read from the names of images; ratios have two decimals"] if names else []
    return _tiles(_named_rows(folder, slide_id, names, record), folder, True, notes)


def _tiles(rows: Iterable[_Row], path: Path, rounded: bool, notes: Sequence[str]) -> Tiles:
    ratios: dict[Tile, float] = {}
    boxes: list[Sequence[int]] = []
    for tile, ratio, box in rows:
        if tile in ratios:
            raise ConfigError(f"{path} is damaged: tile {tile} occurs twice")
        if min(tile.width, tile.height) <= 0 or min(box[2:]) < 0 or not 0 <= ratio <= 1:
            raise ConfigError(f"{path} is damaged: tile {tile} with ratio {ratio}, box {(*box,)}")
        ratios[tile] = ratio
        boxes.append(box)
    return Tiles(ratios, np.array(boxes, np.int64).reshape(-1, 4), rounded, tuple(notes))


def _csv_rows(path: Path, text: str) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if tuple(header[: len(COLUMNS)]) != COLUMNS:
            raise ValueError(f"its header is not {','.join(COLUMNS)}")
        if not text.endswith("\n"):
            raise ValueError("its last line is incomplete")
        for cells in reader:
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells, not {len(header)}")
            yield _row(cells)
    except (csv.Error, ValueError) as error:
        raise ConfigError(f"{path} is damaged: line {reader.line_num}: {error}") from error


def _json_rows(path: Path, text: str) -> Iterator[_Row]:
    try:
        items = parse_json(text.encode(errors="surrogateescape"))
    except StoredError as error:
        raise ConfigError(f"{path} {error}") from error
    if not isinstance(items, list):
        raise ConfigError(f"{path} is damaged: it contains no array")
    for number, item in enumerate(items, 1):
        try:
            yield _row([item[name] for name in COLUMNS])
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"{path} is damaged: object {number}: {error}") from error


def _row(cells: Sequence[Any]) -> _Row:
    _, x, y, width, height, resolution, ratio, *box = cells[: len(COLUMNS)]
    x, y, width, height, *box = (_pixels(str(n)) for n in (x, y, width, height, *box))
    return Tile(str(resolution), x, y, width, height), float(ratio), box


def _pixels(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _named_rows(folder: Path, slide_id: str, names: Iterable[str], record: Facts) -> Iterator[_Row]:
    whole = rf"\d{{1,{_DIGITS}}}"
    pattern = re.compile(
        re.escape(slide_id)
        + rf"_x(-?{whole})_y(-?{whole})_w({whole})_h({whole})_(.+)_r([01]\.\d\d)(_c.+)?\.\w+"
    )
    for name in names:
        found = pattern.fullmatch(name.rpartition("/")[2])
        if found is None:
            raise ConfigError(f"{folder}: {name} is not the name of a tile of {slide_id}")
        if found[7]:  # a context tile
            continue
        x, y, width, height = map(int, found.groups()[:4])
        resolution, ratio = found[5], float(found[6])
        # The level-0 box depends on the downsample alone; the level is unused.
        downsample = record["row"].get("downsample")
        region = RegionSpec(Point(x, y), Size(width, height), Level(0), ratio, downsample)
        yield Tile(resolution, x, y, width, height), ratio, region.box0
