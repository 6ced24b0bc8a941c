"""A picture per slide that shows kept, gained and lost tiles over the slide."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

import tiler.readers
from tiler.checks.hints import fits
from tiler.compare.areas import Ints, corners_of, covered
from tiler.compare.changes import SlideChange, TileChange
from tiler.compare.rows import Tile
from tiler.compare.runs import Facts, Run
from tiler.compare.tiles import Tiles
from tiler.errors import ConfigError, SlideError
from tiler.exporters.tiles.encoders import make_encoder
from tiler.files import write_whole
from tiler.geometry import Box, Size
from tiler.protocols import Pixels
from tiler.runner.store.fingerprint import fingerprint
from tiler.slides import find_slides, read_table
from tiler.storage.destinations import check_writable, expanded, inside, make_folder
from tiler.storage.safe_text import shown

# Distinguishable with red-green colour blindness, and on pink tissue.
KEPT, GAINED, LOST = (0, 114, 178), (0, 158, 115), (213, 94, 0)

_MAX_SIDE = 1600
_SHADE = 0.45

_MARK = b"\xff\xfe\x00\x0ftiler-compare"
"""A JPEG comment, which follows the first two bytes of each picture."""


class Overlays:
    """Writes the pictures for one pair of runs.

    Parameters
    ----------
    folder
        Folder for ``<slide_id>.jpg``; created if it is missing.
    where
        File, folder or glob of the slides; None uses the paths of the runs.
    *runs
        The runs whose configurations contain these paths.

    Raises
    ------
    ConfigError
        If ``where`` matches no slide.
    """

    def __init__(self, folder: Path, where: str | None, *runs: Run) -> None:
        self._folder = make_folder(folder)
        if where is None:
            found = [path for run in runs for path in _slides_of(run.facts.get("config") or {})]
            self._candidates = list(dict.fromkeys(found))
            return
        try:
            self._candidates = [entry.path for entry in find_slides(where)]
        except ConfigError as error:
            raise ConfigError(f"--slides {where}: no slide found") from error

    def add(self, change: SlideChange) -> None:
        """Write a slide's picture if both runs have tiles; report a slide that is missing.

        Raises
        ------
        DestinationError
            If the picture cannot be written.
        """
        tiles = change.tiles
        if tiles is None or change.record is None:
            return
        try:
            area, picture = slide_picture(change.slide_id, change.record, self._candidates)
        except SlideError as error:
            print(shown(f"{error}; its picture has a white background"), file=sys.stderr)
            area, picture = _blank(tiles)
        groups = (
            (KEPT, _boxes(tiles.a, tiles.kept)),
            (LOST, _boxes(tiles.a, tiles.lost)),
            (GAINED, _boxes(tiles.b, tiles.gained)),
        )
        data = make_encoder("jpg", 90)(draw(picture, area, groups))
        path = inside(self._folder, f"{change.slide_id}.jpg")
        _refuse_foreign(path)
        write_whole(path, b"".join((data[:2], _MARK, data[2:])))


def _refuse_foreign(path: Path) -> None:
    """Refuse to replace a picture that is not of this command, such as the slide itself.

    Raises
    ------
    ConfigError, DestinationError
        If it is one, or no regular file.
    """
    check_writable(path)
    try:
        with path.open("rb") as file:
            begins = file.read(2 + len(_MARK))
    except OSError:  # there is none, or what writes it reports why
        return
    if begins and begins[2:] != _MARK:
        raise ConfigError(
            f"{path}: is a picture that tiler-compare did not write; name another folder"
        )


def draw(picture: Pixels, area: Box, groups: Iterable[tuple[tuple[int, int, int], Ints]]) -> Pixels:
    """Shade groups of boxes, (N, 4) in level-0 pixels, on a picture of ``area``."""
    drawn = picture.astype(np.float32)
    height, width, _ = picture.shape
    scale = np.array([width / area.width, height / area.height] * 2)
    for colour, boxes in groups:
        pixels = np.rint((corners_of(boxes) - [area.x, area.y] * 2) * scale).astype(np.int64)
        # A seam keeps neighbours apart, where tiles are large enough to have one.
        sides = pixels[:, 2:] - pixels[:, :2]
        pixels[:, 2:] -= (sides > 3).astype(np.int64)
        inside_any = covered(pixels, (height, width))
        drawn[inside_any] = drawn[inside_any] * (1 - _SHADE) + np.array(colour) * _SHADE
    return np.rint(drawn).astype(np.uint8)


def slide_picture(slide_id: str, record: Facts, candidates: Sequence[Path]) -> tuple[Box, Pixels]:
    """Find a slide among candidate files by its fingerprint and return its thumbnail.

    Returns
    -------
    tuple
        The slide's bounds in level-0 pixels, and their thumbnail.

    Raises
    ------
    SlideError
        If no candidate is the slide, or it cannot be read.
    """
    path = next(matching(record.get("source") or {}, candidates), None)
    if path is None:
        raise SlideError(slide_id, "the slide's file is missing; give its folder with --slides")
    with _open(path, slide_id, record["settings"].get("reader")) as slide:
        return slide.bounds, slide.thumbnail(_fitted(slide.bounds))


def _slides_of(config: Facts) -> list[Path]:
    """Return the files that a run's configuration names, relative to the current folder."""
    slides = config.get("slides")
    if not isinstance(slides, dict):
        return []
    paths, table, folder = (slides.get(key) for key in ("paths", "table", "folder"))
    try:
        if paths is not None and fits(paths, str | list[str]):
            return [entry.path for entry in find_slides(paths)]
        if isinstance(table, str):
            return [entry.path for entry in read_table(table)]
        if isinstance(folder, str):
            return sorted(Path(expanded(folder)).glob("*"))
    except (ConfigError, OSError, ValueError):  # moved since: each missing slide is reported
        pass
    return []


def matching(source: Facts, candidates: Sequence[Path]) -> Iterator[Path]:
    """Yield the candidates with a slide's content, from its fingerprint in a record."""
    for path in candidates:
        try:
            same_size = path.stat().st_size == source.get("size")
            if same_size and fingerprint(path).content == source.get("content"):
                yield path
        except OSError:  # an unreadable file is no match
            continue


def _open(path: Path, slide_id: str, reader: object) -> Any:
    """Open a slide with the reader that tiled it if tiler has it, else with ``open_slide``."""
    settings = reader if isinstance(reader, dict) else {}
    home, _, name = str(settings.get("_target_")).rpartition(".")
    if home != "tiler.readers" or name not in tiler.readers.__all__:
        return tiler.readers.open_slide(path, name=slide_id)
    make = getattr(tiler.readers, name)
    options = {key: value for key, value in settings.items() if not key.startswith("_")}
    taken = signature(make, eval_str=True).parameters
    try:
        for key, value in options.items():
            if key in taken and not fits(value, taken[key].annotation):
                raise ConfigError(f"reader.{key}={value!r}"[:200])
        return make(path, name=slide_id, **options)
    except (TypeError, ConfigError) as error:
        raise SlideError(
            slide_id, f"its reader settings are invalid in this version: {error}"
        ) from error


def _blank(tiles: TileChange) -> tuple[Box, Pixels]:
    """Return a white picture from the slide's corner to the end of the last tile."""
    boxes = np.concatenate([tiles.a.boxes0, tiles.b.boxes0])
    width, height = (boxes[:, :2] + boxes[:, 2:]).max(axis=0, initial=1).tolist()
    area = Box(0, 0, width, height)
    size = _fitted(area)
    return area, np.full((size.height, size.width, 3), 255, np.uint8)


def _fitted(area: Box) -> Size:
    scale = min(1.0, _MAX_SIDE / max(area.width, area.height, 1))
    return Size(max(1, round(area.width * scale)), max(1, round(area.height * scale)))


def _boxes(tiles: Tiles, chosen: Sequence[Tile]) -> Ints:
    names = set(chosen)
    boxes: Ints = tiles.boxes0[[tile in names for tile in tiles.ratios]]
    return boxes
