"""``sweep.png``: what every job of a sweep kept of its first slides, side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tiler.exporters.png import png_bytes
from tiler.files import inside, write_whole
from tiler.geometry import Size
from tiler.grid import Floats
from tiler.protocols import Mask
from tiler.runner.cache import load_or_recall
from tiler.runner.record import Record, read_record
from tiler.runner.shared import grid_of, mask_of
from tiler.runner.sweep import JobRecord
from tiler.stages import Cells

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

_Picture = npt.NDArray[np.uint8]
"""Indices of colours, (h, w): flat colours and letters are small and sharp as such a PNG."""

_MAX_SLIDES, _MAX_JOBS = 4, 16
_SIDE, _GAP, _LINE = 220, 12, 14  # pixels
_LETTERS = 36  # of a line as wide as a picture
_TISSUE, _KEPT = 1, 2

COLOURS = np.arange(256, dtype=np.uint8)[::-1].repeat(3).reshape(256, 3)
"""What the numbers of a picture mean: 0 is glass, and what is left of the first is letters."""
COLOURS[[_TISSUE, _KEPT, _TISSUE + _KEPT]] = (240, 205, 215), (205, 220, 250), (105, 130, 225)


def write_contact_sheet(folder: Path, jobs: Sequence[JobRecord]) -> Path | None:
    """Draw the sheet from the sweep's cache; None where that knows none of the slides.

    A row per slide that some job could read, and a column per job: tissue pink, kept tiles blue.
    Slides beyond the fourth and jobs beyond the sixteenth are in ``sweep.csv`` alone.
    """
    shown = jobs[:_MAX_JOBS]
    read = (row["slide_id"] for job in shown for row in job.rows if row["status"] != "failed")
    slides = list(dict.fromkeys(read))
    rows = [[_cell(folder, job, slide) for job in shown] for slide in slides[:_MAX_SLIDES]]
    path = inside(folder, "sweep.png")
    if not any(picture is not None for row in rows for picture, _ in row):
        path.unlink(missing_ok=True)  # of an earlier sweep
        return None
    keys = list(dict.fromkeys(key for job in shown for key in job.run["sweep"]["settings"]))
    heads = [_settings(job.run["sweep"]["settings"], keys) for job in shown]
    write_whole(path, png_bytes(_sheet(heads, slides, rows), 1, COLOURS))
    return path


def _settings(settings: Mapping[str, str], keys: Sequence[str]) -> list[str]:
    return [f"{key}={settings[key]}" for key in keys if key in settings]


def _cell(folder: Path, job: JobRecord, slide: str) -> tuple[_Picture | None, str]:
    """A slide as a job saw it, as far as the cache knows, and a line to write below."""
    found = next((row for row in job.rows if row["slide_id"] == slide), None)
    if found is None or found["status"] == "failed":
        return None, "failed" if found else "not there"
    record = read_record(folder / job.name / "slides" / slide)
    cache = (job.run.get("cache") or {}).get("folder")
    kept_in = os.path.normpath(folder / job.name / cache) if isinstance(cache, str) else ""
    picture = _drawn(Path(kept_in), record) if kept_in else None
    return picture, f"{found['kept']} of {found['candidates']} tiles"


def _drawn(kept_in: Path, record: Record | None) -> _Picture | None:
    """Mask and kept tiles of a record; None where the cache has lost them."""
    if record is None:
        return None
    try:
        mask, grid = (load_or_recall(kept_in, key) for key in (record.mask.key, record.mask.grid))
        if mask is None or grid is None:
            return None
        known, cells = grid_of(grid)
        bounds = known.facts.bounds
        shape = Size(bounds.width, bounds.height)
        return draw(mask_of(mask), cells, record.settings["threshold"], shape)
    except ValueError:
        return None


def draw(mask: Mask, cells: Cells, threshold: float, shape: Size) -> _Picture:
    """A mask and the cells that reach a threshold, at most 220 pixels a side: of ``COLOURS``.

    ``shape`` is that of the slide's bounded area, in any unit: a mask may be stretched.
    """
    scale = _SIDE / max(*shape, 1)
    size = max(1, round(shape.height * scale)), max(1, round(shape.width * scale))
    y, x = (np.arange(n) * m // n for n, m in zip(size, mask.shape, strict=True))
    down, across = (n / m for n, m in zip(size, mask.shape, strict=True))
    kept = _union(cells.rows * down, cells.columns * across, cells.ratios >= threshold, size)
    seen: _Picture = _TISSUE * mask[y][:, x].view(np.uint8) + _KEPT * kept.view(np.uint8)
    return seen


def _union(
    rows: Floats, columns: Floats, chosen: npt.NDArray[np.bool_], size: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Where any of the chosen cells of a grid lies: how many lie on a pixel is a product."""
    down, across = (_on(axis, n) for axis, n in zip((rows, columns), size, strict=True))
    return (down @ chosen.astype(np.float32) @ across.T) > 0


def _on(cells: Floats, pixels: int) -> npt.NDArray[np.float32]:
    """Of one axis, whether (1) a pixel is in a cell or not (0): (pixels, cells).

    A cell has a pixel at least, however small it is.
    """
    start, end = np.rint(cells).T
    start = np.minimum(start, pixels - 1)
    end = np.maximum(end, start + 1)
    at = np.arange(pixels)[:, np.newaxis]
    return np.asarray((start <= at) & (at < end), np.float32)


def _sheet(
    heads: Sequence[Sequence[str]],
    slides: Sequence[str],
    rows: Sequence[Sequence[tuple[_Picture | None, str]]],
) -> _Picture:
    top = _GAP + _LINE * max(map(len, heads))
    step = _SIDE + 2 * _LINE + _GAP
    size = top + len(rows) * step + _GAP, _GAP + len(heads) * (_SIDE + _GAP)
    sheet = np.zeros(size, np.uint8)
    for column, head in enumerate(heads):
        x = _GAP + column * (_SIDE + _GAP)
        for line, text in enumerate(head):
            _put(sheet, x, _GAP // 2 + line * _LINE, _letters(text))
        for number, row in enumerate(rows):
            y = top + number * step
            picture, below = row[column]
            for line, text in enumerate((slides[number], below)):
                _put(sheet, x, y + line * _LINE, _letters(text))
            if picture is not None:
                _put(sheet, x, y + 2 * _LINE, picture)
    return sheet


def _put(sheet: _Picture, x: int, y: int, picture: _Picture) -> None:
    height, width = picture.shape
    sheet[y : y + height, x : x + width] = picture


@cache
def _letters(text: str) -> _Picture:
    """A line of text: most are there many times."""
    from PIL import Image, ImageDraw

    picture = Image.new("L", (_SIDE, _LINE))
    ImageDraw.Draw(picture).text((0, 0), _fitting(text), fill="white", font=_font())
    return np.asarray(picture) & np.uint8(0xFC)  # leaves the numbers of the marks to them


@cache
def _font() -> FreeTypeFont | ImageFont:
    """Pillow's own, which takes as long to load as a line to draw."""
    from PIL.ImageFont import load_default

    return load_default()


def _fitting(text: str) -> str:
    """Text that Pillow's own font has letters for and that fits the width of a picture."""
    plain = text.encode("ascii", "backslashreplace").decode()
    return plain if len(plain) <= _LETTERS else f"{plain[: _LETTERS - 3]}..."
