"""Tissue by fixed bounds on hue, saturation and value."""

from __future__ import annotations

from dataclasses import dataclass

from tiler.masks.checks import span
from tiler.masks.cleaning import clean
from tiler.masks.rim import near_rim, refined
from tiler.masks.thumbnail import ThumbnailMask
from tiler.pixels.colour import Colour, to_hsv, within
from tiler.protocols import Mask, Pixels, WSIReader


@dataclass(frozen=True, kw_only=True)
class HsvMask(ThumbnailMask):
    """Tissue where a thumbnail's colour lies within fixed bounds.

    Bounds are inclusive pairs (lowest, highest) in OpenCV's 8-bit HSV: hue 0 to 179 (degrees,
    halved), saturation and value 0 to 255. See ``ThumbnailMask`` for the other settings.

    Parameters
    ----------
    hue
        Bounds of the hue, which is circular: (125, 10) runs from violet over red to orange.
    saturation
        Bounds of the saturation; glass has a low one.
    value
        Bounds of the brightness. The saturation of nearly black pixels is noise, so the default
        excludes them.

    Raises
    ------
    ConfigError
        If a value is invalid; the error names it.
    """

    hue: tuple[int, int] = (0, 180)
    saturation: tuple[int, int] = (20, 255)
    value: tuple[int, int] = (40, 255)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "hue", span("hue", self.hue, 180, circular=True))
        object.__setattr__(self, "saturation", span("saturation", self.saturation, 255))
        object.__setattr__(self, "value", span("value", self.value, 255))

    def generate(self, source: WSIReader) -> Mask:
        """Return the tissue of a slide: bool (h, w), stretched over its bounded area.

        Raises
        ------
        LimitError
            If the thumbnail has too many pixels.
        """
        size = self.thumbnail_size(source)
        inside = self._inside(self.thumbnail(source, size))
        tissue = clean(inside, *self.least_areas(source, size))
        rim = near_rim(tissue, 1) & (inside == tissue)
        return refined(source, tissue, rim, self.divisions(size), self._inside)

    def _inside(self, pixels: Pixels) -> Mask:
        return within(to_hsv(pixels), Colour(self.hue, self.saturation, self.value))
