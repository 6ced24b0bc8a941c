"""Colours of pixels: HSV, grey, optical density, haematoxylin, and bounds in HSV."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tiler.protocols import Mask, Pixels

Bytes = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
"""float32 (h, w)."""

_HED_FROM_OD = np.linalg.inv(
    [[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]],
)
"""From optical density to haematoxylin, eosin and DAB. The rows of the inverted matrix are the
stains' densities in red, green and blue. Ruifrok, A. C., Johnston, D. A. (2001). Quantification of
histochemical staining by color deconvolution. Analytical and Quantitative Cytology and Histology
23(4), 291-299."""

_DENSITY = -np.log10((np.arange(256) + 1) / 256).astype(np.float32)
"""Optical density by 8-bit value, from 2.41 to 0; one is added so that 0 has a density."""

_HAEMATOXYLIN = (_HED_FROM_OD[:, :1] * _DENSITY).astype(np.float32)
"""The share of each channel in haematoxylin's optical density, by 8-bit value."""


def to_hsv(pixels: Pixels) -> Bytes:
    """Return RGB in OpenCV's HSV: hue 0 to 179 (degrees, halved), the others 0 to 255."""
    import cv2

    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV), np.uint8)


def to_grey(pixels: Pixels) -> Bytes:
    """Return the luma of RGB pixels (ITU-R BT.601), uint8 (h, w)."""
    import cv2

    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def optical_density(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return -log10((value + 1) / 256) of each channel: float32, 0 to 2.41."""
    return _DENSITY[pixels]


def haematoxylin(pixels: Pixels) -> Plane:
    """Return the optical density of haematoxylin in H&E or H-DAB, float32 (h, w)."""
    # Not a product of matrices: its last bits depend on the machine and on the picture's shape.
    red, green, blue = (table[pixels[..., channel]] for channel, table in enumerate(_HAEMATOXYLIN))
    return np.asarray(red + green + blue)


Range = tuple[int, int]


class Colour(NamedTuple):
    """Inclusive bounds in OpenCV's HSV; hues may wrap: (172, 8) runs over 179 to 8."""

    hue: Range = (0, 180)
    saturation: Range = (0, 255)
    value: Range = (0, 255)


def within(hsv: Bytes, colour: Colour) -> Mask:
    """Return where HSV pixels lie within the bounds of a colour, bool (h, w)."""
    import cv2

    hue, *others = colour
    inside = np.zeros(hsv.shape[:2], bool)
    for hues in [hue] if hue[0] <= hue[1] else [(hue[0], 180), (0, hue[1])]:
        lowest, highest = np.array([hues, *others]).T
        inside |= cv2.inRange(hsv, lowest, highest) != 0
    return inside
