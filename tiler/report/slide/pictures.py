"""Pictures of a slide for the report: the plain view, and the card with tissue and tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tiler.errors import SlideError
from tiler.exporters.pictures.drawing import (
    BELOW,
    DROPPED,
    KEPT,
    MASK,
    UNREADABLE,
    Boxes,
    box_lines,
    draw_line,
    is_dark,
    outline,
    stretched,
    union,
)
from tiler.exporters.tiles.encoders import make_encoder
from tiler.geometry import Box, Size
from tiler.grid import Cells
from tiler.protocols import Mask, Pixels, WSIReader
from tiler.regions import spans0
from tiler.selection import BELOW_THRESHOLD
from tiler.selection import UNREADABLE as CANNOT_BE_READ

VIEW_SIDE = 1600
CARD_SIDE = 320
"""Maximum pixels of the longer side of a view, and of a card."""

_TINT = np.float32(0.18)
"""The share of colour in the pixels of kept tiles; the frames of small tiles are too thin."""

encode_view = make_encoder("jpg", 85)
encode_card = make_encoder("jpg", 70, "444")  # thin lines stay coloured; 60 cards stay below 3 MB


def view_size(bounds: Box, side: int = VIEW_SIDE) -> tuple[Size, float]:
    """Return the size of a picture of the bounded area, and its pixels per level-0 pixel.

    It is not enlarged.
    """
    scale = min(1.0, side / max(bounds.width, bounds.height, 1))
    width, height = (max(1, round(length * scale)) for length in (bounds.width, bounds.height))
    return Size(width, height), scale


def read_view(source: WSIReader) -> tuple[Pixels | None, str]:
    """Return the plain picture of a slide's bounded area; or None, and why there is none."""
    if not (source.bounds.width and source.bounds.height):
        return None, "nothing was scanned"
    size, _ = view_size(source.bounds)
    try:
        return source.thumbnail(size), ""
    except SlideError as error:
        return None, error.what


def draw_card(
    view: Pixels,
    mask: Mask,
    bounds: Box,
    cells: Cells,
    reasons: Sequence[str],
    codes: npt.NDArray[np.uint8],
) -> Pixels:
    """Draw the card of a slide: the tissue's outline, and frames of kept and of dropped tiles.

    Cells without tissue that the threshold drops are left out.

    Parameters
    ----------
    view
        A picture of the bounded area.
    mask
        bool (h, w): the tissue.
    bounds
        The bounded area in level-0 pixels.
    cells, reasons, codes
        The grid, and the decision about each cell.
    """
    size, scale = view_size(bounds, CARD_SIDE)
    picture = _reduced(view, size)
    dark = is_dark(picture)
    kept = _boxes(cells, codes == 0, bounds, scale)
    area, colour = union(kept, size), KEPT.dark if dark.mean() > 0.5 else KEPT.bright
    mixed = picture[area] * (1 - _TINT) + np.array(colour, np.float32) * _TINT
    picture[area] = np.rint(mixed).astype(np.uint8)
    lines = {BELOW: np.zeros_like(area), DROPPED: np.zeros_like(area), UNREADABLE: area & False}
    for code, reason in enumerate(reasons[1:], 1):
        line = {BELOW_THRESHOLD: BELOW, CANNOT_BE_READ: UNREADABLE}.get(reason, DROPPED)
        chosen = (codes == code) & (cells.ratios > 0)
        if chosen.any():
            lines[line] |= box_lines(_boxes(cells, chosen, bounds, scale), size)
    frames = box_lines(kept, size)
    for line, where in lines.items():
        draw_line(picture, replace(line, width=1).drawn(where) & ~frames, line, dark)
    draw_line(picture, frames, KEPT, dark)
    draw_line(picture, outline(stretched(mask, size)), MASK, dark)
    return picture


def _reduced(view: Pixels, size: Size) -> Pixels:
    """Return a copy of a picture, area-averaged to a smaller size."""
    from PIL import Image

    small = Image.fromarray(view).resize(size, Image.Resampling.BOX)
    return np.array(small)


def _boxes(cells: Cells, chosen: Mask, bounds: Box, scale: float) -> Boxes:
    """Return some cells as boxes in a picture of the bounded area."""
    rows, columns = np.nonzero(chosen)
    ends = []
    for places, length, corner, numbers in (
        (cells.x, cells.size.width, bounds.x, columns),
        (cells.y, cells.size.height, bounds.y, rows),
    ):
        first, lengths = spans0(places, length, cells.downsample)
        begin, end = (np.rint((at - corner) * scale) for at in (first, first + lengths))
        ends.append((begin[numbers], (end - begin)[numbers]))
    (x, width), (y, height) = ends
    return np.stack([x, y, width, height], axis=1).astype(np.int64)
