"""Channels of a thumbnail in which tissue has high values: bright-field and fluorescence."""

from __future__ import annotations

from typing import Literal

import numpy as np

from tiler.pixels.colour import Bytes, haematoxylin, optical_density, to_grey, to_hsv
from tiler.protocols import Pixels

Channel = Literal["saturation", "optical_density", "hematoxylin", "grey", "red", "green", "blue"]

LIGHT = {"red": 0, "green": 1, "blue": 2}
"""The channels of fluorescence, where tissue is bright on a dark background."""

BOUNDS = {
    "optical_density": (4, 8),
    "hematoxylin": (5, 12),
    "grey": (10, 30),
    **dict.fromkeys(LIGHT, (8, 32)),
}
"""Bounds of the threshold that Otsu's method finds in each channel but saturation, 0 to 255."""

DENSITY = 100
"""Channel values per unit of optical density."""

NEAR_BLACK = 40
"""Minimum HSV value of tissue in bright field: the colours of darker pixels are noise."""

DARKEST_GLASS = 200
"""Minimum grey of empty glass: brighter slides are measured against their brightest pixels."""


def white_of(pixels: Pixels) -> float:
    """Return the grey of a slide's empty glass, ``DARKEST_GLASS`` to 255."""
    return max(float(DARKEST_GLASS), float(np.percentile(to_grey(pixels), 98)))


def channel_of(pixels: Pixels, channel: Channel, white: float = 255.0) -> Bytes:
    """Return a channel of RGB pixels, uint8 (h, w).

    Parameters
    ----------
    pixels
        uint8 RGB (h, w, 3).
    channel
        ``saturation`` as in OpenCV's HSV; ``optical_density``, the mean of the three, and
        ``hematoxylin`` by colour deconvolution, both in hundredths above those of the glass;
        ``grey``, the grey levels below the glass; or a colour as it is. Nearly black pixels are 0
        in all but the colours.
    white
        The grey of empty glass.
    """
    if channel in LIGHT:
        return np.ascontiguousarray(pixels[..., LIGHT[channel]])
    hsv = to_hsv(pixels)
    if channel == "saturation":
        values = hsv[..., 1]
    elif channel == "grey":
        values = np.clip(white - to_grey(pixels).astype(np.float64), 0, 255).astype(np.uint8)
    else:
        glass = np.full((1, 1, 3), round(white), np.uint8)
        density = haematoxylin if channel == "hematoxylin" else _mean_density
        above = DENSITY * (density(pixels) - density(glass))
        values = np.clip(np.rint(above), 0, 255).astype(np.uint8)
    return np.where(hsv[..., 2] < NEAR_BLACK, np.uint8(0), values)


def _mean_density(pixels: Pixels) -> np.ndarray:
    return np.asarray(optical_density(pixels).mean(axis=2))
