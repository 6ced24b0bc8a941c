"""Read the tiles of a slide from the best file that lists them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiler.compare.areas import Ints
from tiler.compare.formats import DAMAGED, FORMATS, Format
from tiler.compare.rows import DIGITS, SAID, Precision, Row, Tile
from tiler.compare.runs import Facts, read_bytes
from tiler.errors import ConfigError
from tiler.exporters.tiles.images import FOLDER
from tiler.files import digest
from tiler.geometry import Point, Size
from tiler.regions import RegionSpec
from tiler.resolution import Level
from tiler.storage.stored import StoredError


@dataclass(frozen=True)
class Tiles:
    """The tiles that a run kept of a slide.

    Attributes
    ----------
    ratios
        The ratio of each tile, in the order of the table.
    boxes0
        int64 (N, 4) in the same order: x, y, width, height in level-0 pixels.
    precision
        The precision of the ratios.
    notes
        Remarks about the files that the tiles were read from.
    """

    ratios: Mapping[Tile, float]
    boxes0: Ints
    precision: Precision = Precision.EXACT
    notes: tuple[str, ...] = ()


def read_tiles(folder: Path, slide_id: str, record: Facts) -> Tiles:
    """Return the tiles of a slide from the first file in ``FORMATS``, else the names of its images.

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
    for one in FORMATS:
        name = one.name.format(slide_id)
        path = folder / name
        if not path.is_file():
            notes += [f"{name} is missing"] if name in written else []
            continue
        data = read_bytes(path)
        if written.get(name) != digest(data):
            notes.append(f"{name} was changed: its sha256 differs from the record")
        if (found := _of_format(one, path, data, record, notes)) is not None:
            return found
    names = [name for name in written if name.startswith(f"{FOLDER}/")]
    if not names and record["counts"].get("written") != 0:
        raise ConfigError(
            f"{folder} contains no table ({slide_id}.csv, {slide_id}.json) and no tile images; run"
            " tiler again with exporter=[csv]"
        )
    precision = Precision.NONE if any(map(_GIGAPATH.search, names)) else Precision.TWO_DECIMALS
    said = SAID[precision].replace("it has", "they have")
    notes += [f"tiles read from the names of images; {said}"] if names else []
    return _tiles(_named_rows(folder, slide_id, names, record), folder, precision, notes)


def _of_format(
    one: Format, path: Path, data: bytes, record: Facts, notes: Sequence[str]
) -> Tiles | None:
    """Return the tiles of a file; None if it lists none.

    Raises
    ------
    ConfigError
        If the file is damaged.
    """
    try:
        rows = one.rows(path, data, record)
        if rows is None:
            return None
        said = [f"tiles read from {path.name}; {SAID[one.precision]}"] if one.precision else []
        return _tiles(rows, path, one.precision, [*notes, *said])
    except ConfigError:
        raise
    except StoredError as error:
        raise ConfigError(f"{path} {error}") from error
    except DAMAGED as error:
        why = " ".join(str(error).split()) or repr(error)
        raise ConfigError(f"{path} is damaged: {why}") from error


def _tiles(rows: Iterable[Row], path: Path, precision: Precision, notes: Sequence[str]) -> Tiles:
    ratios: dict[Tile, float] = {}
    boxes: list[Sequence[int]] = []
    for tile, ratio, box in rows:
        if tile in ratios:
            raise ConfigError(f"{path} is damaged: tile {tile} occurs twice")
        if min(tile.width, tile.height) <= 0 or min(box[2:]) < 0 or not 0 <= ratio <= 1:
            raise ConfigError(f"{path} is damaged: tile {tile} with ratio {ratio}, box {(*box,)}")
        ratios[tile] = ratio
        boxes.append(box)
    return Tiles(ratios, np.array(boxes, np.int64).reshape(-1, 4), precision, tuple(notes))


_GIGAPATH = re.compile(r"(?:^|/)(\d{5,15})x_(\d{5,15})y\.png$")


def _named_rows(folder: Path, slide_id: str, names: Iterable[str], record: Facts) -> Iterator[Row]:
    whole = rf"\d{{1,{DIGITS}}}"
    pattern = re.compile(
        re.escape(slide_id)
        + rf"_x(-?{whole})_y(-?{whole})_w({whole})_h({whole})_(.+)_r([01]\.\d\d)(_c.+)?\.\w+"
    )
    # The level-0 box depends on the downsample alone; the level is unused.
    downsample = record["row"].get("downsample")
    for name in names:
        if place := _GIGAPATH.search(name):
            size = _size_of(folder, record)
            resolution, ratio = str(record["row"].get("requested", "")), 0.0
            x, y = int(place[1]), int(place[2])
        elif found := pattern.fullmatch(name.rpartition("/")[2]):
            if found[7]:  # a context tile
                continue
            x, y, *size = map(int, found.groups()[:4])
            resolution, ratio = found[5], float(found[6])
        else:
            raise ConfigError(f"{folder}: {name} is not the name of a tile of {slide_id}")
        region = RegionSpec(Point(x, y), Size(*size), Level(0), ratio, downsample)
        yield Tile(resolution, x, y, *size), ratio, region.box0


def _size_of(folder: Path, record: Facts) -> list[int]:
    """Return width and height of tiles, from the settings in a record.

    Raises
    ------
    ConfigError
        If they are not there.
    """
    try:
        tile, row = record["settings"]["tile"], record["row"]
        sides = tile["size"] if isinstance(tile["size"], list) else [tile["size"]] * 2
        factor = 1 / row["effective_mpp"] if tile["unit"] == "um" else 1
        return [max(1, round(side * factor)) for side in sides]
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise ConfigError(
            f"{folder}: its record has no size of tiles, and the names of images neither; run"
            " tiler again with exporter=[csv]"
        ) from error
