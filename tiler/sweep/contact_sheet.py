"""``sweep.png``: kept tiles of the first slides in every job of a sweep, side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tiler.exporters.pictures.drawing import Line, draw_line, is_dark, outline, stretched
from tiler.exporters.pictures.legend import Entry, with_legend
from tiler.exporters.tiles.png import png_bytes
from tiler.files import write_whole
from tiler.geometry import Size
from tiler.grid import Cells, Floats
from tiler.protocols import Mask, Pixels
from tiler.runner.guard import MARK
from tiler.runner.store.arrays import load_or_recall
from tiler.runner.store.record import Record
from tiler.runner.store.record_file import read_record
from tiler.runner.work.cached import Grid, grid_of, mask_of
from tiler.storage.destinations import inside
from tiler.sweep.lettering import LINE, SIDE, letters, wrapped
from tiler.sweep.table import JobRecord

_MAX_SLIDES, _MAX_JOBS = 4, 16
_GAP = 12  # pixels
_FADED = 0.6  # share of white in pixels outside kept tiles; of a dark slide, of black
_MAX_CELLS = 1 << 16  # along an axis: more are far below a pixel and fill the memory

GLASS, TISSUE, KEPT, KEPT_GLASS = (255, 255, 255), (240, 205, 215), (105, 130, 225), (205, 220, 250)
"""Flat colours for slides without a picture."""

FRAME, RIM = Line((0, 70, 210), (120, 190, 255)), Line((215, 40, 120), (255, 120, 180))
"""Outlines of kept tiles and of the tissue mask on a picture of the slide."""

Thumbnail = Callable[[JobRecord, Mapping[str, str], Record, Size], Pixels | None]
"""Makes a picture of a slide's bounded area in a given size; None where the slide is not available.

The arguments are a job, the slide's row in it, the slide's record and the size."""

Decided = Callable[[JobRecord, Mapping[str, str]], Mask | None]
"""Returns the kept cells of a slide's grid in a job, bool (ny, nx); None if they are not known.

The arguments are a job and the slide's row in it."""


def write_contact_sheet(
    folder: Path,
    jobs: Sequence[JobRecord],
    thumbnail: Thumbnail | None = None,
    decided: Decided | None = None,
) -> Path | None:
    """Draw the sheet from the sweep's cache; None if the cache has none of the slides.

    Rows are the slides that a job could read, columns the jobs. Kept tiles are in full colour and
    outlined blue, the rest is faded, tissue is outlined pink. Without a picture from ``thumbnail``
    these are flat areas. The sheet has the first four slides and the first sixteen jobs.

    ``decided`` is called where another rule than the threshold drops cells. If the kept cells are
    not known, none is drawn, and the line above the picture says so.
    """
    shown = jobs[:_MAX_JOBS]
    read = (row["slide_id"] for job in shown for row in job.rows if row["status"] != "failed")
    slides = list(dict.fromkeys(read))[:_MAX_SLIDES]
    rows = [_row(folder, shown, slide, thumbnail, decided) for slide in slides]
    path = inside(folder, "sweep.png")
    if not any(picture is not None for row in rows for picture, _ in row):
        path.unlink(missing_ok=True)  # drawn by an earlier sweep
        return None
    keys = list(dict.fromkeys(key for job in shown for key in job.run["sweep"]["settings"]))
    heads = [_settings(job.run["sweep"]["settings"], keys) for job in shown]
    entries = [Entry(FRAME, "kept tiles, in full colour"), Entry(RIM, "tissue mask", "line")]
    sheet = with_legend(_sheet(heads, slides, rows), entries, None)
    write_whole(path, png_bytes(sheet, 1, MARK))
    return path


def _settings(settings: Mapping[str, str], keys: Sequence[str]) -> list[str]:
    named = [f"{key}={settings[key]}" for key in keys if key in settings]
    return [line for text in named for line in wrapped(text)]


def _row(
    folder: Path,
    jobs: Sequence[JobRecord],
    slide: str,
    thumbnail: Thumbnail | None,
    decided: Decided | None,
) -> list[tuple[Pixels | None, str]]:
    """Return a picture of a slide in each job, if the cache has it, and the line below it."""
    cells: list[tuple[Pixels | None, str]] = []
    beneath: Pixels | None = None
    for job in jobs:
        found = next((row for row in job.rows if row["slide_id"] == slide), None)
        if found is None or found["status"] == "failed":
            cells.append((None, "failed" if found else "not there"))
            continue
        picture, note = None, ""
        record = read_record(folder / job.name / "slides" / slide)
        if record is not None and (cached := _cached(folder, job, record)):
            mask, grid = cached
            again = partial(decided, job, found) if decided else None
            kept = _kept(grid, record, found, again)
            chosen = np.zeros(grid.ratios.shape, bool) if kept is None else kept
            shape = Size(max(0, grid.bounds.width), max(0, grid.bounds.height))
            drawn = drawing(mask, grid, chosen, shape)
            if beneath is None and thumbnail:
                beneath = thumbnail(job, found, record, drawn.size)
            picture, note = draw(drawn, beneath), "" if kept is not None else ", not drawn"
        cells.append((picture, f"{found['kept']} of {found['candidates']} tiles{note}"))
    return cells


def _cached(folder: Path, job: JobRecord, record: Record) -> tuple[Mask, Grid] | None:
    """Return mask and grid of a record; None if the job's cache does not contain them."""
    cache = (job.run.get("cache") or {}).get("folder")
    if not isinstance(cache, str):
        return None
    kept_in = Path(os.path.normpath(folder / job.name / cache))
    try:
        mask, grid = (load_or_recall(kept_in, key) for key in (record.mask.key, record.mask.grid))
        if mask is None or grid is None:
            return None
        found = grid_of(grid)
        return None if max(found.ratios.shape) > _MAX_CELLS else (mask_of(mask), found)
    except ValueError:
        return None


def _kept(
    grid: Grid, record: Record, row: Mapping[str, str], decided: Callable[[], Mask | None] | None
) -> Mask | None:
    """Return the kept cells of a slide; None if they are not known.

    Tiles that could not be read are among them. If the threshold alone leaves as many cells as
    the row has tiles, they are the same: no rule adds one.
    """
    threshold = record.settings.get("threshold")
    try:
        count = int(row["kept"]) + int(row.get("dropped") or 0)
    except ValueError:
        return None
    if isinstance(threshold, int | float):
        reached: Mask = grid.ratios >= threshold
        if int(reached.sum()) == count:
            return reached
    kept = decided() if decided else None
    same = kept is not None and kept.shape == grid.ratios.shape and int(kept.sum()) == count
    return kept if same else None


@dataclass(frozen=True)
class Drawing:
    """A slide's tissue and kept tiles in a job: bool (h, w)."""

    tissue: Mask
    kept: Mask

    @property
    def size(self) -> Size:
        """Size of the picture."""
        height, width = self.tissue.shape
        return Size(width, height)


def drawing(mask: Mask, cells: Grid | Cells, chosen: Mask, shape: Size) -> Drawing:
    """Scale a mask and chosen cells, (ny, nx), to at most 220 pixels a side.

    ``shape`` is that of the slide's bounded area in any unit; the mask is stretched over it.
    """
    scale = SIDE / max(*shape, 1)
    size = max(1, round(shape.height * scale)), max(1, round(shape.width * scale))
    down, across = (n / m for n, m in zip(size, mask.shape, strict=True))
    kept = _union(cells.rows * down, cells.columns * across, chosen, size)
    return Drawing(stretched(mask, Size(size[1], size[0])), kept)


def draw(drawn: Drawing, beneath: Pixels | None) -> Pixels:
    """Draw tissue and kept tiles on a picture of the slide; in flat colours without one."""
    tissue, kept = drawn.tissue, drawn.kept
    if beneath is None:
        colours = np.array([GLASS, TISSUE, KEPT_GLASS, KEPT], np.uint8)
        return np.asarray(colours[tissue.view(np.uint8) + 2 * kept.view(np.uint8)])
    picture, dark = beneath.copy(), is_dark(beneath)
    night = bool(dark.mean() > 0.5)
    faded = (0 if night else 255) * _FADED + picture[~kept] * np.float32(1 - _FADED)
    picture[~kept] = np.rint(faded).astype(np.uint8)
    if not night:
        dark &= kept  # faded pixels are light
    draw_line(picture, outline(tissue), RIM, dark)
    draw_line(picture, outline(kept, closed=True), FRAME, dark)
    return picture


def _union(
    rows: Floats, columns: Floats, chosen: npt.NDArray[np.bool_], size: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Return the pixels under chosen cells: a matrix product counts the cells on each pixel."""
    down, across = (_on(axis, n) for axis, n in zip((rows, columns), size, strict=True))
    return (down @ chosen.astype(np.float32) @ across.T) > 0


def _on(cells: Floats, pixels: int) -> npt.NDArray[np.float32]:
    """Return 1 for each pixel of an axis that is in a cell, else 0: (pixels, cells).

    Every cell has at least one pixel.
    """
    start, end = np.rint(cells).T
    start = np.minimum(start, pixels - 1)
    end = np.maximum(end, start + 1)
    at = np.arange(pixels)[:, np.newaxis]
    return np.asarray((start <= at) & (at < end), np.float32)


def _sheet(
    heads: Sequence[Sequence[str]],
    slides: Sequence[str],
    rows: Sequence[Sequence[tuple[Pixels | None, str]]],
) -> Pixels:
    top = _GAP + LINE * max(map(len, heads))
    step = SIDE + 2 * LINE + _GAP
    size = top + len(rows) * step + _GAP, _GAP + len(heads) * (SIDE + _GAP)
    sheet = np.full((*size, 3), GLASS, np.uint8)
    for column, head in enumerate(heads):
        x = _GAP + column * (SIDE + _GAP)
        for line, text in enumerate(head):
            _put(sheet, x, _GAP // 2 + line * LINE, letters(text))
        for number, row in enumerate(rows):
            y = top + number * step
            picture, below = row[column]
            for line, text in enumerate((slides[number], below)):
                _put(sheet, x, y + line * LINE, letters(text))
            if picture is not None:
                _put(sheet, x, y + 2 * LINE, picture)
    return sheet


def _put(sheet: Pixels, x: int, y: int, picture: Pixels) -> None:
    height, width = picture.shape[:2]
    sheet[y : y + height, x : x + width] = picture
