"""Lines of text on ``sweep.png``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from tiler.protocols import Pixels

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

SIDE, LINE = 220, 16
"""Width and height of a line of text, in pixels; a picture has the same width."""

_SIZE = 12
_MAX_LINES = 3


@cache
def letters(text: str) -> Pixels:
    """Draw a line of text, shortened to its width; most lines repeat."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (SIDE, LINE), "white")
    ImageDraw.Draw(picture).text((0, 0), _fitting(_plain(text)), fill="black", font=_font())
    return np.asarray(picture)


def wrapped(text: str) -> list[str]:
    """Break a text into at most three lines; the last one is shortened when it is drawn."""
    rest, lines = _plain(text), list[str]()
    while not _fits(rest) and len(lines) < _MAX_LINES - 1:
        end = next(end for end in range(len(rest), 0, -1) if end == 1 or _fits(rest[:end]))
        lines.append(rest[:end])
        rest = f"  {rest[end:]}"
    return [*lines, rest]


def _fitting(plain: str) -> str:
    """Return a text without its middle, if it is too long."""
    if _fits(plain):
        return plain
    half = next(n for n in range(len(plain) // 2, -1, -1) if _fits(_cut(plain, n)))
    return _cut(plain, half)


def _cut(plain: str, half: int) -> str:
    return f"{plain[:half]}...{plain[len(plain) - half :]}"


def _plain(text: str) -> str:
    """Return a text in letters that Pillow's own font has."""
    return text.encode("ascii", "backslashreplace").decode()


def _fits(plain: str) -> bool:
    return len(plain) < 4 * SIDE and _font().getlength(plain) <= SIDE


@cache
def _font() -> FreeTypeFont | ImageFont:
    """Load Pillow's own font, which takes as long as drawing a line."""
    from PIL.ImageFont import load_default

    return load_default(_SIZE)
