"""Prov-GigaPath's tree in a run's folder: a folder of tiles per slide, and ``dataset.csv``."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tiler.errors import ReadError
from tiler.exporters.damaged import unreadable
from tiler.protocols import FinishedSlide
from tiler.storage.csv_text import csv_text

TREE, DATASET = "gigapath", "dataset.csv"
_COLUMNS = ("slide_id", "tile_id", "image", "label", "tile_x", "tile_y", "occupancy")
_NAME = re.compile(r"(\d{5,})x_(\d{5,})y\.png")


def folder_links(slide: FinishedSlide, folder: str) -> Mapping[str, str]:
    """Return the link to a slide's folder of tiles, if it has tiles."""
    return {f"{TREE}/{slide.slide_id}": folder} if folder in slide.folders else {}


def dataset_csv(slides: Sequence[FinishedSlide], folder: str) -> Iterator[bytes]:
    """Yield the table of all tiles, in pieces.

    ``image`` counts from the folder of the table, ``tile_x`` and ``tile_y`` are those in the name.
    ``label`` and ``occupancy`` come from the slide's CSV, and are empty without one.
    """
    yield csv_text(_COLUMNS, ()).encode()
    for slide in slides:
        if folder not in slide.folders:
            continue
        known = dict(_known(slide))
        rows = (
            {
                "slide_id": slide.slide_id,
                "tile_id": f"{slide.slide_id}.{name.removesuffix('.png')}",
                "image": f"{slide.slide_id}/{name}",
                "label": known.get(place, ("", ""))[0],
                "tile_x": place[0],
                "tile_y": place[1],
                "occupancy": known.get(place, ("", ""))[1],
            }
            for place, name in _tiles(slide, slide.folder / folder)
        )
        text = csv_text(_COLUMNS, rows)
        yield text.partition("\n")[2].encode(errors="surrogateescape")


def _damaged(slide: FinishedSlide, name: str, error: Exception) -> ReadError:
    return unreadable(slide.slide_id, name, f"{TREE}/{DATASET}", error)


def _tiles(slide: FinishedSlide, folder: Path) -> list[tuple[tuple[int, int], str]]:
    """Return the position and the name of each tile, row by row."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  a Path per name would take ten times as long
    except OSError as error:
        raise _damaged(slide, folder.name, error) from error
    matches = filter(None, map(_NAME.fullmatch, names))
    found = [((int(match[1]), int(match[2])), match[0]) for match in matches]
    return sorted(found, key=lambda tile: tile[0][::-1])


def _known(slide: FinishedSlide) -> Iterator[tuple[tuple[int, int], tuple[str, str]]]:
    """Yield label and coverage of each tile by its position, from the slide's CSV if it has one."""
    name = f"{slide.slide_id}.csv"
    if name not in {file.name for file in slide.others}:
        return
    try:
        text = (slide.folder / name).read_bytes().decode(errors="surrogateescape")
        for row in csv.DictReader(io.StringIO(text, newline="")):
            yield (int(row["x"]), int(row["y"])), (row.get("label") or "", row["ratio"])
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise _damaged(slide, name, error) from error
