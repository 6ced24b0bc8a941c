"""Pen marks on H&E slides, distinguished from tissue by colour.

The bounds are measured on real thumbnails. In OpenCV's HSV, H&E tissue has hues from 125
(haematoxylin) over 170 (eosin) to about 5 (blood). No tissue is green or blue. In a thumbnail,
hardly any tissue is as saturated as red ink or as dark as black ink.

Each ink has a *core*, colours that tissue does not have, and a *fringe*, colours that thin ink
shares with tissue. A patch of fringe counts as pen only if enough of it is core. So pale red ink
far from a solid stroke stays, because it looks like eosin. A dark fold of tissue is removed,
because it looks like black ink.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import numpy as np

from tiler.masks.cleaning import dilate, remove_specks
from tiler.masks.thumbnail import ThumbnailMask
from tiler.pixels.colour import Colour, to_hsv, within
from tiler.protocols import Mask, Pixels, WSIReader


class Ink(NamedTuple):
    """The colours of one ink: those that only it has, and those that it shares with tissue."""

    core: Colour
    fringe: Colour


INKS = (
    # Green and blue: the hue decides, because thin ink over tissue is dark and dull.
    Ink(Colour((35, 118), saturation=(20, 255)), Colour(saturation=(0, 75), value=(0, 140))),
    # Red: more saturated than eosin and blood.
    Ink(
        Colour((172, 8), saturation=(165, 255), value=(120, 255)),
        Colour((170, 8), saturation=(40, 255), value=(80, 255)),
    ),
    # Black: darker than haematoxylin averaged to a thumbnail's pixels.
    Ink(Colour(value=(0, 80)), Colour(value=(0, 115))),
)

CORE_SHARE = 0.2
"""Minimum share of core in a patch that counts as pen."""

HALO = 7
"""Diameter of the disk by which pen is widened, in thumbnail pixels: ink tints its neighbours."""


@dataclass(frozen=True, kw_only=True)
class PenMask(ThumbnailMask):
    """Pen on H&E slides, for combinations that leave it out. See ``ThumbnailMask``."""

    thresholds: ClassVar[bool] = False

    def for_tiles(self, source: WSIReader, side: float) -> Self:
        """Return this mask: pen is wide, and is removed with its halo."""
        return self

    def generate(self, source: WSIReader) -> Mask:
        """Return the pen of a slide: bool (h, w), stretched over its bounded area.

        Raises
        ------
        LimitError
            If the thumbnail has too many pixels.
        """
        size = self.thumbnail_size(source)
        min_area, _ = self.least_areas(source, size)
        return pen_marks(self.thumbnail(source, size), min_area)


def pen_marks(pixels: Pixels, min_area: float) -> Mask:
    """Find green, blue, red and black pen.

    Parameters
    ----------
    pixels
        A thumbnail, uint8 RGB (h, w, 3).
    min_area
        Marks of fewer pixels are ignored.

    Returns
    -------
    numpy.ndarray
        bool (h, w), True = pen.
    """
    hsv = to_hsv(pixels)
    marks = np.zeros(hsv.shape[:2], dtype=bool)
    for ink in INKS:
        core = within(hsv, ink.core)
        marks |= _grown(core, core | within(hsv, ink.fringe), min_area)
    return dilate(marks, HALO)


def _grown(core: Mask, patches: Mask, min_area: float) -> Mask:
    """Return the core, and each whole patch with enough core."""
    import cv2

    core = remove_specks(core, min_area)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        patches.view(np.uint8), connectivity=8
    )
    cores = np.bincount(labels[core], minlength=count)
    pen = cores >= CORE_SHARE * stats[:, cv2.CC_STAT_AREA]
    pen[0] = False
    return np.asarray(core | pen[labels])
