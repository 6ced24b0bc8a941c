"""Specks and holes: what is too small to mean anything."""

from __future__ import annotations

import cv2
import numpy as np

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
    """Keep the pieces of at least ``min_area`` pixels; pieces hold together by corners too."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_area
    keep[0] = False  # the background
    return keep[labels] if count > 1 else mask.copy()


def fill_holes(mask: Mask, min_area: float) -> Mask:
    """Fill background of fewer than ``min_area`` pixels that tissue surrounds.

    What touches the border is no hole, however small: a slide without tissue stays without.
    Holes hold together by edges only, the counterpart of tissue that holds together by corners.
    """
    background = ~mask
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        background.view(np.uint8), connectivity=4
    )
    if count == 1:
        return mask.copy()
    height, width = mask.shape
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    enclosed = (left > 0) & (top > 0) & (right < width) & (bottom < height)
    tissue = enclosed & (stats[:, cv2.CC_STAT_AREA] < min_area)
    tissue[0] = True  # the tissue itself
    return tissue[labels]


def disk(diameter: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """A round structuring element of odd ``diameter``, uint8, the same when transposed."""
    radius = diameter / 2
    axis = np.arange(diameter) - diameter // 2
    inside: Mask = axis[:, None] ** 2 + axis[None, :] ** 2 <= radius**2
    return inside.astype(np.uint8)
