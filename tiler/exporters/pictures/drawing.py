"""Lines on pictures of slides: frames of tiles, outlines, and their colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiler.geometry import Size
from tiler.protocols import Mask, Pixels

Boxes = npt.NDArray[np.int64]
"""(N, 4): x, y, width, height, in pixels of a picture."""

Colour = tuple[int, int, int]

_DASH = 5  # pixels
_DARK = 90  # mean grey of a neighbourhood, 0 to 255, below which lines are light
_SMALLEST = 8  # pixels: for smaller tiles, the common outline replaces the frames
_NEIGHBOURHOOD = 24  # pixels: a single nucleus does not change a line's colour


@dataclass(frozen=True)
class Line:
    """A style of line: its colours on bright and on dark pixels, its odd width, and its form."""

    bright: Colour
    dark: Colour
    width: int = 1
    dashed: bool = False

    def drawn(self, where: Mask) -> Mask:
        """Widen lines of one pixel, and cut them into dashes."""
        lines = _widened(where, self.width)
        if not self.dashed:
            return lines
        y, x = np.ogrid[: where.shape[0], : where.shape[1]]
        return np.asarray(lines & ((x + y) // _DASH % 2 == 0))


KEPT = Line((0, 90, 200), (120, 190, 255), width=3)
BELOW = Line((190, 75, 0), (255, 175, 80), dashed=True)
DROPPED = Line((110, 50, 160), (205, 150, 255), dashed=True)
UNREADABLE = Line((170, 0, 60), (255, 120, 170), width=3, dashed=True)
MASK = Line((0, 130, 80), (110, 235, 160))


def draw_line(picture: Pixels, where: Mask, line: Line, dark: Mask) -> None:
    """Draw pixels of a line into a picture, in place; ``dark`` marks where the picture is dark."""
    picture[where & ~dark] = line.bright
    picture[where & dark] = line.dark


def is_dark(picture: Pixels) -> Mask:
    """Mark pixels with a dark neighbourhood, on which lines are light."""
    from PIL import Image

    height, width = picture.shape[:2]
    grey = Image.fromarray(picture).convert("L")
    small = -(-width // _NEIGHBOURHOOD), -(-height // _NEIGHBOURHOOD)
    mean = grey.resize(small, Image.Resampling.BOX)
    return np.asarray(mean.resize((width, height), Image.Resampling.NEAREST)) < _DARK


def frames(boxes: Boxes, size: Size) -> Mask:
    """Mark the edges of boxes: bool (h, w). Edges outside are drawn along the picture's edge."""
    x0, y0, x1, y1 = _corners(boxes, size)
    lying = np.zeros((size.height, size.width + 1), np.int32)
    standing = np.zeros((size.height + 1, size.width), np.int32)
    for y in (y0, y1):
        np.add.at(lying, (y, x0), 1)
        np.add.at(lying, (y, x1 + 1), -1)
    for x in (x0, x1):
        np.add.at(standing, (y0, x), 1)
        np.add.at(standing, (y1 + 1, x), -1)
    rows, columns = lying.cumsum(axis=1)[:, :-1], standing.cumsum(axis=0)[:-1]
    return np.asarray((rows > 0) | (columns > 0))


def union(boxes: Boxes, size: Size) -> Mask:
    """Mark the area of boxes: bool (h, w)."""
    x0, y0, x1, y1 = _corners(boxes, size)
    changes = np.zeros((size.height + 1, size.width + 1), np.int32)
    for y, x, sign in ((y0, x0, 1), (y0, x1 + 1, -1), (y1 + 1, x0, -1), (y1 + 1, x1 + 1, 1)):
        np.add.at(changes, (y, x), sign)
    return np.asarray(changes.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0)


def box_lines(boxes: Boxes, size: Size) -> Mask:
    """Mark the frames of boxes; for small boxes, their common outline."""
    return outline(union(boxes, size), closed=True) if are_small(boxes) else frames(boxes, size)


def are_small(boxes: Boxes) -> bool:
    """Return whether some boxes are too small for frames of their own."""
    return bool(len(boxes) and boxes[:, 2:].min() < _SMALLEST)


HATCHES = 6
"""The number of patterns of ``hatched``."""


def hatched(size: Size, pattern: int, period: int) -> Mask:
    """Mark the lines of a pattern: bool (h, w).

    Parameters
    ----------
    size
        The size of the picture.
    pattern
        0 to 5: rising, falling, lying and standing lines, dots, and crossed lines.
    period
        The distance of lines in pixels.
    """
    y, x = np.ogrid[: size.height, : size.width]
    rising, falling = (x + y) % period == 0, (x - y) % period == 0
    everywhere = np.ones((size.height, size.width), bool)
    patterns = (
        rising,
        falling,
        (y % period == 0) & everywhere,
        (x % period == 0) & everywhere,
        (x % period < 2) & (y % period < 2),
        rising | falling,
    )
    return np.asarray(patterns[pattern])


def crosses(boxes: Boxes, size: Size, line: int) -> Mask:
    """Mark the diagonals of boxes, as wide as a line: bool (h, w)."""
    from PIL import Image, ImageDraw

    picture = Image.new("1", (size.width, size.height))
    draw = ImageDraw.Draw(picture)
    for x, y, width, height in boxes.tolist():
        right, bottom = x + width, y + height
        draw.line((x, y, right, bottom), fill=1, width=line)
        draw.line((x, bottom, right, y), fill=1, width=line)
    return np.asarray(picture)


def outline(mask: Mask, *, closed: bool = False) -> Mask:
    """Mark the rim of a mask: bool (h, w); where ``closed``, along the picture's edge as well."""
    padded = np.pad(mask, 1) if closed else np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(mask & ~inner)


def stretched(mask: Mask, size: Size) -> Mask:
    """Resize a mask by nearest pixel."""
    height, width = mask.shape
    rows = np.arange(size.height) * height // size.height
    columns = np.arange(size.width) * width // size.width
    return mask[np.ix_(rows, columns)]


def _corners(boxes: Boxes, size: Size) -> tuple[npt.NDArray[np.int64], ...]:
    """Return the first and last pixels of boxes, moved into the picture: x0, y0, x1, y1."""
    x, y, width, height = boxes.T
    x0, x1 = (np.clip(v, 0, size.width - 1) for v in (x, x + width))
    y0, y1 = (np.clip(v, 0, size.height - 1) for v in (y, y + height))
    return x0, y0, x1, y1


def _widened(lines: Mask, width: int) -> Mask:
    if width == 1:
        return lines
    from PIL import Image, ImageFilter

    return np.asarray(Image.fromarray(lines).convert("L").filter(ImageFilter.MaxFilter(width))) > 0
