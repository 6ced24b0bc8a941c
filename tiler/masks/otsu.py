"""Tissue by Otsu's threshold on saturation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tiler.errors import ConfigError
from tiler.masks.checks import odd, span
from tiler.masks.cleaning import clean, close
from tiler.masks.glass import on_neutral_glass
from tiler.masks.hsv import to_hsv
from tiler.masks.pen import pen_marks
from tiler.masks.thumbnail import ThumbnailMask
from tiler.protocols import Mask, Pixels, WSIReader

NEAR_BLACK = 40
"""Below this value (0 to 255) saturation is rounding and JPEG noise: it counts as 0."""


@dataclass(frozen=True, kw_only=True)
class OtsuMask(ThumbnailMask):
    """Tissue where a thumbnail is more saturated than a threshold that Otsu's method finds.

    For bright-field slides. A tint of the glass is removed first: see ``tiler.masks.glass``.
    Otsu's method always splits, also glass from glass and tissue from tissue, so its answer is
    kept within bounds: less saturated than the lower is never tissue (a blank slide stays blank),
    more than the upper always is (a slide full of tissue stays full, and vivid pen does not push
    pale tissue out). What lies between, such as fat or mucin, may fall either way. See
    ``ThumbnailMask`` for the other settings.

    Parameters
    ----------
    saturation
        The bounds (lowest, highest) of the threshold, 0 to 255 in OpenCV's HSV.
    median
        Width in pixels of the median filter on the saturation; odd, 1 for none.
    close
        Diameter in pixels of the disk that closes gaps in the tissue; odd, 1 for none.
    remove_pen
        Whether green, blue, red and black pen is left out. By rules made for H&E: blue-green
        stains would be taken for pen, and tissue under ink goes with it; so do dark folds.

    Raises
    ------
    ConfigError
        When a value is invalid, naming it.

    References
    ----------
    Otsu, N. (1979). A threshold selection method from gray-level histograms. IEEE Transactions
    on Systems, Man, and Cybernetics 9(1), 62-66.
    """

    saturation: tuple[int, int] = (15, 40)
    median: int = 5
    close: int = 5
    remove_pen: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "saturation", span("saturation", self.saturation, 255))
        object.__setattr__(self, "median", odd("median", self.median, 255))
        object.__setattr__(self, "close", odd("close", self.close, 255))
        if not isinstance(self.remove_pen, bool):
            raise ConfigError(f"mask.remove_pen={self.remove_pen!r}: must be true or false")

    def generate(self, source: WSIReader) -> Mask:
        """The tissue of a slide: bool (h, w), stretched over its bounded area.

        Raises
        ------
        LimitError
            When the thumbnail would be too large.
        """
        size = self.thumbnail_size(source)
        min_tissue, min_hole = self.least_areas(source, size)
        pixels = on_neutral_glass(self.thumbnail(source, size))
        saturation = colourfulness(pixels, self.median)
        pen = pen_marks(pixels, min_tissue) if self.remove_pen else np.zeros(saturation.shape, bool)
        lowest, highest = self.saturation
        threshold = min(max(otsu(saturation[~pen]), lowest), highest)
        tissue = close(saturation > threshold, self.close) & ~pen
        # Twice: pen must not become tissue again as a hole in it.
        return clean(tissue, min_tissue, min_hole) & ~pen

    def why_empty(self, source: WSIReader) -> str:
        """Explain why a slide has no tissue, where pen removal is the reason."""
        if not self.remove_pen:
            return ""
        share = replace(self, remove_pen=False).generate(source).mean()
        if not share:
            return ""
        return (
            f"mask.remove_pen=true took all tissue, {share:.1%} of the slide, for pen: its rules"
            " are for H&E on bright glass; set mask.remove_pen=false"
        )


def colourfulness(pixels: Pixels, median: int) -> npt.NDArray[np.uint8]:
    """The median-filtered saturation of RGB pixels, uint8 (h, w); 0 where they are nearly black."""
    import cv2

    hsv = to_hsv(pixels)
    saturation = np.where(hsv[..., 2] < NEAR_BLACK, np.uint8(0), hsv[..., 1])
    return np.asarray(cv2.medianBlur(saturation, median), dtype=np.uint8)


def otsu(values: npt.NDArray[np.uint8]) -> float:
    """Return the value, 0 to 255, that separates values into the two most distant classes."""
    import cv2

    if not values.size:
        return 0.0
    threshold, _ = cv2.threshold(values.reshape(-1, 1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return float(threshold)
