"""The strip below a picture of a slide: a legend of its lines, and a scale bar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from tiler.exporters.pictures.drawing import (
    Boxes,
    Line,
    crosses,
    draw_line,
    frames,
    hatched,
    union,
)
from tiler.geometry import Size
from tiler.protocols import Pixels

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

_BRIGHT, _DARK = (30, 255), (235, 20)
"""Greys of text and background: like the picture, so that lines keep their colours."""


@dataclass(frozen=True)
class Entry:
    """The meaning of a line style; ``form`` is ``frame``, ``crossed`` or ``line``.

    ``hatch`` is the pattern in its frame, and the distance of the pattern's lines.
    """

    line: Line
    text: str
    form: str = "frame"
    hatch: tuple[int, int] | None = None


def with_legend(
    picture: Pixels, entries: Sequence[Entry], mpp: float | None, *, dark: bool = False
) -> Pixels:
    """Add a legend, and a scale bar if the scale is known, below a picture.

    Nothing covers the picture, and no text is cut: the result is wider than a narrow picture.

    Parameters
    ----------
    picture
        uint8 RGB (h, w, 3).
    entries
        The meaning of its lines.
    mpp
        Microns per pixel of the picture.
    dark
        Whether most of the picture is dark.
    """
    ink, paper = _DARK if dark else _BRIGHT
    height, width = picture.shape[:2]
    text = max(12, min(24, max(height, width) // 80))
    bar = None if mpp is None else scale_bar(max(6 * text, width // 6), mpp)
    swatch = 2 * text
    widths = [swatch + text // 2 + _length(entry.text, text) for entry in entries]
    if bar:
        widths.append(max(bar[0], _length(bar[1], text)))
    across = max(width, max(widths) + 2 * text)
    rows = list(_rows(widths, across, text))
    line = 2 * text
    strip = np.full((line * len(rows) + text, across, 3), paper, np.uint8)
    for number, row in enumerate(rows):
        for index, x in row:
            y = number * line + text // 2
            if index < len(entries):
                _swatch(strip, x, y, entries[index], text, dark)
                _write(strip, x + swatch + text // 2, y, entries[index].text, text, ink)
            elif bar:
                _bar(strip, x, y, *bar, text, ink)
    canvas = np.full((height, across, 3), paper, np.uint8)
    canvas[:, :width] = picture
    return np.concatenate([canvas, strip])


def scale_bar(longest: int, mpp: float) -> tuple[int, str]:
    """Return the longest round distance that fits: its length in pixels, and its label.

    Parameters
    ----------
    longest
        Maximum length in pixels.
    mpp
        Microns per pixel.
    """
    limit = longest * mpp
    power = 10.0 ** np.floor(np.log10(limit))
    microns = max(step * power for step in (1, 2, 5) if step * power <= limit)
    unit, per = ("mm", 1000) if microns >= 100 else ("um", 1)  # Pillow's font has no µ
    return round(microns / mpp), f"{microns / per:g} {unit}"


def _rows(widths: Sequence[int], across: int, gap: int) -> Iterator[list[tuple[int, int]]]:
    """Arrange items of given widths in rows: for each row, (index of the item, x)."""
    row: list[tuple[int, int]] = []
    x = gap
    for number, width in enumerate(widths):
        if row and x + width + gap > across:
            yield row
            row, x = [], gap
        row.append((number, x))
        x += width + 2 * gap
    yield row


def _swatch(strip: Pixels, x: int, y: int, entry: Entry, text: int, dark: bool) -> None:
    """Draw a sample of an entry's line."""
    size = Size(2 * text, text + text // 4)
    where = np.zeros((size.height, size.width), bool)
    box: Boxes = np.array([[1, 1, size.width - 3, size.height - 3]], np.int64)
    if entry.form == "line":
        where[size.height // 2] = True
    else:
        where = frames(box, size)
    where = entry.line.drawn(where)
    if entry.form == "crossed":
        where |= crosses(box, size, entry.line.width)
    if entry.hatch:
        where |= hatched(size, *entry.hatch) & union(box, size)
    part = strip[y : y + size.height, x : x + size.width]
    draw_line(part, where, entry.line, np.full_like(where, dark))


def _bar(strip: Pixels, x: int, y: int, length: int, name: str, text: int, ink: int) -> None:
    """Draw a scale bar with ticks at its ends and its length above it."""
    foot = y + text + text // 4
    strip[foot : foot + 2, x : x + length] = ink
    for end in (x, x + length - 2):
        strip[foot - text // 4 : foot + 2, end : end + 2] = ink
    _write(strip, x + max(0, (length - _length(name, text)) // 2), y, name, text, ink)


def _write(strip: Pixels, x: int, y: int, words: str, size: int, ink: int) -> None:
    letters = _letters(words, size)
    height, width = letters.shape
    part = strip[y : y + height, x : x + width]
    shade = letters[: part.shape[0], : part.shape[1], np.newaxis] / 255
    part[:] = np.rint(part * (1 - shade) + ink * shade).astype(np.uint8)


def _letters(words: str, size: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Return text as grey values, 255 = ink."""
    from PIL import Image, ImageDraw

    picture = Image.new("L", (_length(words, size), size + size // 2))
    ImageDraw.Draw(picture).text((0, 0), words, fill=255, font=_font(size))
    return np.asarray(picture)


def _length(words: str, size: int) -> int:
    return int(np.ceil(_font(size).getlength(words))) + 1


@cache
def _font(size: int) -> FreeTypeFont | ImageFont:
    """Return Pillow's built-in font."""
    from PIL.ImageFont import load_default

    return load_default(size)
