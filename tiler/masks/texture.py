"""Tissue by its texture, for tissue without colour: pale, fatty, IHC or fluorescent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from tiler.errors import ConfigError
from tiler.masks.checks import amount, odd
from tiler.masks.cleaning import clean, close
from tiler.masks.thumbnail import ThumbnailMask
from tiler.pixels.colour import Bytes, Plane, to_grey
from tiler.protocols import Mask, WSIReader

Measure = Literal["std", "entropy"]

Doubles = npt.NDArray[np.float64]

_BINS = 32


@dataclass(frozen=True, kw_only=True)
class TextureMask(ThumbnailMask):
    """Tissue where the grey values of a thumbnail vary within a window.

    See ``ThumbnailMask`` for the other settings.

    Parameters
    ----------
    measure
        ``std``: the standard deviation, in grey values, 0 to 127.5. ``entropy``: Shannon's entropy
        of 32 equal bins of grey values, in bits, 0 to 5.
    window
        Side of the window in pixels of the thumbnail; odd.
    threshold
        Tissue exceeds it; None for 4 grey values, or 1.5 bits.
    close
        Diameter in pixels of the disk that closes gaps; odd, 1 for none.

    Raises
    ------
    ConfigError
        If a value is invalid; the error names it.
    """

    measure: Measure = "std"
    window: int = 9
    threshold: float | None = None
    close: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.measure not in get_args(Measure):
            raise ConfigError(f"mask.measure={self.measure!r} is invalid; use std or entropy")
        odd("window", self.window, 255)
        odd("close", self.close, 255)
        amount("threshold", self.threshold, 127.5)

    def for_tiles(self, source: WSIReader, side: float) -> Self:
        """Return this mask: a window is no finer for smaller tiles."""
        return self

    def generate(self, source: WSIReader) -> Mask:
        """Return the tissue of a slide: bool (h, w), stretched over its bounded area.

        Raises
        ------
        LimitError
            If the thumbnail has too many pixels.
        """
        size = self.thumbnail_size(source)
        min_tissue, min_hole = self.least_areas(source, size)
        grey = to_grey(self.thumbnail(source, size))
        measured = _MEASURES[self.measure](grey, self.window)
        threshold = _THRESHOLDS[self.measure] if self.threshold is None else self.threshold
        varied = _shrunk(close(measured > threshold, self.close), self.window)
        return clean(varied, min_tissue, min_hole)


def local_std(grey: Bytes, window: int) -> Plane:
    """Return the standard deviation of grey values in a window around each pixel: float32 (h, w).

    The picture is mirrored at its edges.
    """
    mean, square = (_box_mean(grey.astype(np.float64) ** power, window) for power in (1, 2))
    return np.asarray(np.sqrt(np.maximum(square - mean**2, 0.0)), np.float32)


def local_entropy(grey: Bytes, window: int) -> Plane:
    """Return Shannon's entropy of grey values in a window around each pixel, in bits."""
    bins, total = grey // (256 // _BINS), np.zeros(grey.shape)
    for number in np.unique(bins):
        share = _box_mean((bins == number).astype(np.float64), window)
        total -= share * np.log2(share, out=np.zeros_like(share), where=share > 1e-12)
    return np.maximum(total, 0.0).astype(np.float32)


def _shrunk(varied: Mask, window: int) -> Mask:
    """Return a mask without the rim of glass whose windows contain tissue.

    Half of the width that a window reaches beyond its centre is removed: a few pixels of tissue
    do not exceed the threshold. The picture's own edge does not count as a rim.
    """
    import cv2

    square = np.ones((window // 2 | 1, window // 2 | 1), np.uint8)
    inner = cv2.erode(varied.view(np.uint8), square, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(inner, bool)


def _box_mean(values: Doubles, window: int) -> Doubles:
    import cv2

    return np.asarray(cv2.blur(values, (window, window), borderType=cv2.BORDER_REFLECT_101))


_MEASURES = {"std": local_std, "entropy": local_entropy}
_THRESHOLDS = {"std": 4.0, "entropy": 1.5}
