"""Correction of tinted glass: find the colour of the empty glass and remove its tint.

Old or thick mounting media and some scanners tint the glass. Its saturation then overlaps that of
tissue. Division by the light that passes the empty glass removes the tint, as the measurement of
optical density does (Ruifrok and Johnston 2001, Quantification of histochemical staining by color
deconvolution, Analytical and Quantitative Cytology and Histology 23(4), 291-299).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tiler.protocols import Pixels

GREEN = 180
"""Minimum green of glass; haematoxylin and eosin absorb green most. In thumbnails of real tissue
without glass, the colours that cover a tenth of the area reach 179; pale pink glass has 190."""

YELLOW = 128
"""Minimum green of glass with more green than blue. Yellow and brown tints have more green than
blue; haematoxylin and eosin do not."""

TINTED = (15, 128)
"""Saturation range of tinted glass, 0 to 255: below it glass is neutral; above it is not glass."""

LEAST_SHARE = 0.1
"""Minimum share of the slide with the glass's colour. A smaller area changes the mask little."""

BRIGHTEST = 20
"""Maximum difference in brightness between glass and the brightest 1 % of the slide. Tissue can be
as pale as glass, but only on slides with brighter glass."""

SAME = 8
"""Maximum difference in each channel between pixels that count as one colour."""


ENOUGH = 1_000_000
"""Approximate number of pixels that are examined; more do not change the result."""


def without_tint(pixels: Pixels, glass: npt.NDArray[np.float64] | None) -> Pixels:
    """Remove the tint of the glass; return the pixels unchanged if no glass is tinted.

    Parameters
    ----------
    pixels
        uint8 RGB (h, w, 3).
    glass
        The glass's colour, as of ``glass_colour``.
    """
    if glass is None:
        return pixels
    levels = np.arange(256)[:, np.newaxis] * (glass.max() / glass)
    table = np.rint(np.minimum(levels, 255)).astype(np.uint8)  # (256, 3)
    return np.stack([table[:, channel][pixels[..., channel]] for channel in range(3)], axis=2)


def glass_colour(pixels: Pixels) -> npt.NDArray[np.float64] | None:
    """Return the colour of tinted glass, RGB (3,); None if no glass is tinted.

    It is the most frequent of the brightest colours. Pure white is ignored: padding is white.
    """
    step = max(1, math.isqrt(pixels.size // (3 * ENOUGH)))
    colours = pixels[::step, ::step].reshape(-1, 3)
    shown = colours[(colours < 255).any(axis=1)]
    if not len(shown):
        return None
    green, blue = shown[:, 1], shown[:, 2]
    clear = (green >= GREEN) | ((green >= YELLOW) & (green >= blue))
    candidates = shown[clear & (green >= np.percentile(green, 98) - BRIGHTEST)]
    if len(candidates) < LEAST_SHARE * len(shown):
        return None
    bins = candidates // (2 * SAME) @ np.array([1, 16, 256])
    commonest = candidates[bins == np.bincount(bins).argmax()]
    glass = np.median(commonest, axis=0)
    glass = np.median(candidates[_near(candidates, glass)], axis=0)  # the bin may cut the peak
    lowest, highest = TINTED
    saturation = 255 * (1 - glass.min() / glass.max())
    common = np.count_nonzero(_near(candidates, glass)) >= LEAST_SHARE * len(shown)
    return glass if common and lowest < saturation <= highest else None


def _near(colours: Pixels, colour: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(colours - colour).max(axis=1) <= SAME)
