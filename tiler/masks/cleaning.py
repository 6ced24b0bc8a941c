"""Removal of specks of tissue and of holes in it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tiler.protocols import Mask


def clean(mask: Mask, min_tissue: float, min_hole: float) -> Mask:
    """Remove specks of tissue, then fill holes in it.

    Cleaning twice changes nothing more.

    Parameters
    ----------
    mask
        bool (h, w), True = tissue.
    min_tissue
        The least area in pixels of a piece of tissue that stays; 0 keeps all.
    min_hole
        The least area in pixels of a hole that stays open; 0 fills none.

    Returns
    -------
    numpy.ndarray
        bool (h, w), a new array.
    """
    return fill_holes(remove_specks(mask, min_tissue), min_hole)


def remove_specks(mask: Mask, min_area: float) -> Mask:
    """Keep pieces of at least ``min_area`` pixels; pixels that touch by corners are one piece."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_area
    keep[0] = False  # the background
    return np.asarray(keep[labels])


def fill_holes(mask: Mask, min_area: float) -> Mask:
    """Fill background of fewer than ``min_area`` pixels that tissue surrounds.

    What touches the border is no hole, however small: a slide without tissue stays without.
    Pixels of a hole must touch by edges, the counterpart of tissue, where corners are enough.
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
    """Close gaps that a disk of ``diameter`` pixels does not fit into."""
    import cv2

    closed = cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_CLOSE, _disk(diameter))
    return np.asarray(closed, dtype=bool)


def dilate(mask: Mask, diameter: int) -> Mask:
    """Widen by half of ``diameter`` pixels on every side."""
    import cv2

    return np.asarray(cv2.dilate(mask.view(np.uint8), _disk(diameter)), dtype=bool)


def _disk(diameter: int) -> npt.NDArray[np.uint8]:
    """A round structuring element; OpenCV's own ellipse is not the same when transposed."""
    axis = np.arange(diameter) - diameter // 2
    inside: Mask = axis[:, None] ** 2 + axis[None, :] ** 2 <= (diameter / 2) ** 2
    return inside.astype(np.uint8)
