"""The outline of a slide's tissue, for a page."""

from __future__ import annotations

import numpy as np

from tiler.cover.outlines import Outline, outlines, simplified
from tiler.exporters.pictures.drawing import stretched
from tiler.geometry import Box, Size
from tiler.protocols import Mask

_MAX_EDGES = 100_000
"""A mask with more edges between pixels is noise: a coarser mask is outlined."""


def outline0(mask: Mask, bounds: Box, view: Size) -> list[list[int]]:
    """Return the rings of a mask's tissue in level-0 pixels: x, y, x, y, ….

    Holes are rings, too: fill them by the even-odd rule. A ring differs from the mask by about one
    pixel of the view; smaller pieces are left out. The outline of noise is coarser.

    Parameters
    ----------
    mask
        bool (h, w), stretched over the bounds.
    bounds
        The bounded area in level-0 pixels.
    view
        The size of the picture that rings are drawn on.
    """
    height, width = mask.shape
    if width > view.width or height > view.height:
        mask = stretched(mask, Size(min(width, view.width), min(height, view.height)))
    while _edges(mask) > _MAX_EDGES:
        height, width = mask.shape
        mask = stretched(mask, Size(-(-width // 2), -(-height // 2)))
    height, width = mask.shape
    tolerance = min(width / view.width, height / view.height)
    per_pixel = np.array([bounds.width / width, bounds.height / height])
    corner = np.array([bounds.x, bounds.y])
    found: list[list[int]] = []
    for ring in (ring for piece in outlines(mask) for ring in _rings(piece)):
        points = simplified(ring, tolerance)
        if len(points) > 3:
            found.append(np.rint(points[:-1] * per_pixel + corner).astype(int).ravel().tolist())
    return found


def _rings(piece: Outline) -> list[np.ndarray]:
    return [piece.exterior, *piece.holes]


def _edges(mask: Mask) -> int:
    pairs = (mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])
    return sum(int(np.count_nonzero(one != other)) for one, other in pairs)
