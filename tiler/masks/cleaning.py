"""Removal of small pieces of tissue and of small holes in tissue."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tiler.protocols import Mask


def clean(mask: Mask, min_tissue: float, min_hole: float) -> Mask:
    """Remove small pieces of tissue, then fill small holes in tissue.

    A second call changes nothing.

    Parameters
    ----------
    mask
        bool (h, w), True = tissue.
    min_tissue
        Smaller pieces of tissue, in pixels, are removed; 0 keeps all.
    min_hole
        Smaller holes, in pixels, are filled; 0 fills none.

    Returns
    -------
    numpy.ndarray
        bool (h, w), a new array.
    """
    return fill_holes(remove_specks(mask, min_tissue), min_hole)


def remove_specks(mask: Mask, min_area: float) -> Mask:
    """Keep pieces of at least ``min_area`` pixels; pixels that share a corner are one piece."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_area
    keep[0] = False  # the background
    return np.asarray(keep[labels])


def fill_holes(mask: Mask, min_area: float) -> Mask:
    """Fill background of fewer than ``min_area`` pixels that tissue surrounds.

    Background that touches the border is never a hole, so a slide without tissue stays empty.
    Pixels of one hole share an edge; for tissue a shared corner is enough.
    """
    import cv2

    outside = (~mask).view(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(outside, connectivity=4)
    height, width = mask.shape
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    enclosed = (left > 0) & (top > 0) & (right < width) & (bottom < height)
    tissue = enclosed & (stats[:, cv2.CC_STAT_AREA] < min_area)
    tissue[0] = True  # the tissue itself
    return np.asarray(tissue[labels])


def close(mask: Mask, diameter: int) -> Mask:
    """Close gaps that are too narrow for a disk of ``diameter`` pixels."""
    import cv2

    closed = cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_CLOSE, _disk(diameter))
    return np.asarray(closed, dtype=bool)


def dilate(mask: Mask, diameter: int) -> Mask:
    """Widen tissue by half of ``diameter`` pixels on every side."""
    import cv2

    return np.asarray(cv2.dilate(mask.view(np.uint8), _disk(diameter)), dtype=bool)


def _disk(diameter: int) -> npt.NDArray[np.uint8]:
    """Return a round structuring element; OpenCV's ellipse is not symmetric under transposition."""
    axis = np.arange(diameter) - diameter // 2
    inside: Mask = axis[:, None] ** 2 + axis[None, :] ** 2 <= (diameter / 2) ** 2
    return inside.astype(np.uint8)
