"""Tissue by Otsu's threshold on saturation, or on another channel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import numpy.typing as npt

from tiler.errors import ConfigError
from tiler.masks.channels import BOUNDS, LIGHT, Channel, channel_of, white_of
from tiler.masks.checks import odd, span
from tiler.masks.cleaning import clean, close
from tiler.masks.glass import glass_colour, without_tint
from tiler.masks.rim import near_rim, refined
from tiler.masks.thumbnail import ThumbnailMask
from tiler.pixels.colour import Bytes
from tiler.protocols import Mask, Pixels, WSIReader


@dataclass(frozen=True, kw_only=True)
class OtsuMask(ThumbnailMask):
    """Tissue where a thumbnail exceeds a threshold that Otsu's method finds.

    In bright field, a tint of the glass is removed first: see ``tiler.masks.glass``.
    Otsu's method always finds two classes, even on a slide of glass alone or of tissue alone.
    So two bounds limit its threshold. Pixels below the lower bound are never tissue: a blank
    slide stays blank. Pixels above the upper bound are always tissue: a slide full of tissue
    stays full, and vivid pen does not exclude pale tissue. Saturations between the bounds, such
    as those of fat or mucin, may fall into either class. See ``ThumbnailMask`` for the other
    settings.

    Parameters
    ----------
    channel
        ``saturation``, ``optical_density``, ``hematoxylin`` or ``grey`` for bright field, ``red``,
        ``green`` or ``blue`` for fluorescence: see ``tiler.masks.channels``.
    saturation
        The bounds (lowest, highest) of the threshold on saturation, 0 to 255 in OpenCV's HSV. Other
        channels have their own: ``tiler.masks.channels.BOUNDS``.
    median
        Width in pixels of the median filter on the channel; odd, 1 for none.
    close
        Diameter in pixels of the disk that closes gaps in the tissue; odd, 1 for none.
    remove_pen
        Whether green, blue, red and black pen is excluded. The rules are for H&E: they take
        blue-green stains for pen. They also exclude tissue under ink, and dark folds.

    Raises
    ------
    ConfigError
        If a value is invalid; the error names it.

    References
    ----------
    Otsu, N. (1979). A threshold selection method from gray-level histograms. IEEE Transactions
    on Systems, Man, and Cybernetics 9(1), 62-66.
    """

    channel: Channel = "saturation"
    saturation: tuple[int, int] = (15, 40)
    median: int = 5
    close: int = 5
    remove_pen: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channel not in get_args(Channel):
            options = ", ".join(get_args(Channel))
            raise ConfigError(f"mask.channel={self.channel!r} is invalid; use one of {options}")
        object.__setattr__(self, "saturation", span("saturation", self.saturation, 255))
        object.__setattr__(self, "median", odd("median", self.median, 255))
        object.__setattr__(self, "close", odd("close", self.close, 255))
        if not isinstance(self.remove_pen, bool):
            raise ConfigError(f"mask.remove_pen={self.remove_pen!r} is invalid; use true or false")

    def generate(self, source: WSIReader) -> Mask:
        """Return the tissue of a slide: bool (h, w), stretched over its bounded area.

        Raises
        ------
        LimitError
            If the thumbnail has too many pixels.
        """
        size = self.thumbnail_size(source)
        min_tissue, min_hole = self.least_areas(source, size)
        thumbnail = self.thumbnail(source, size)
        glass = None if self.channel in LIGHT else glass_colour(thumbnail)
        pixels = without_tint(thumbnail, glass)
        white = white_of(pixels)
        values = filtered(channel_of(pixels, self.channel, white), self.median)
        pen = np.zeros(values.shape, bool)
        if self.remove_pen:
            from tiler.masks.pen import pen_marks

            pen = pen_marks(pixels, min_tissue)
        lowest, highest = BOUNDS.get(self.channel, self.saturation)
        threshold = min(max(otsu(values[~pen]), lowest), highest)
        above = values > threshold
        tissue = close(above, self.close) & ~pen
        # Removed again: pen inside tissue is a hole, which cleaning fills.
        tissue = clean(tissue, min_tissue, min_hole) & ~pen
        # The median filter moves a rim. What closing and cleaning changed stays as it is.
        rim = near_rim(tissue, 1 + self.median // 2) & (above == tissue) & ~pen

        def decide(finer: Pixels) -> Mask:
            return channel_of(without_tint(finer, glass), self.channel, white) > threshold

        return refined(source, tissue, rim, self.divisions(size), decide)

    def why_empty(self, source: WSIReader) -> str:
        """Explain an empty mask if pen removal is the reason."""
        if not self.remove_pen:
            return ""
        share = replace(self, remove_pen=False).generate(source).mean()
        if not share:
            return ""
        return (
            f"mask.remove_pen=true removed all tissue ({share:.1%} of the slide) as pen; its rules"
            " are for H&E on bright glass; set mask.remove_pen=false"
        )


def filtered(values: Bytes, median: int) -> Bytes:
    """Return the median filter of a channel, uint8 (h, w)."""
    import cv2

    return np.asarray(cv2.medianBlur(values, median), dtype=np.uint8)


def otsu(values: npt.NDArray[np.uint8]) -> float:
    """Return the threshold, 0 to 255, with the largest variance between the two classes."""
    import cv2

    if not values.size:
        return 0.0
    threshold, _ = cv2.threshold(values.reshape(-1, 1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return float(threshold)
