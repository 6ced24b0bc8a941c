"""Scores from the colour of each pixel: a share of the cell's area, or a mean over it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.grid import Floats
from tiler.pixels.colour import Bytes, Colour, Plane, haematoxylin, to_hsv, within
from tiler.protocols import Mask, Pixels
from tiler.scores.limits import Limits

_INKS = (
    Colour((35, 118), saturation=(60, 255), value=(30, 255)),  # green and blue: no stain has them
    Colour((172, 8), saturation=(165, 255), value=(120, 255)),  # red, beyond eosin and blood
    Colour(value=(0, 40)),  # black
)


@dataclass(frozen=True, kw_only=True)
class White(Limits):
    """The share of a cell that is white, as glass is: every channel reaches ``level``."""

    max: float | None = 0.9
    mpp: float | None = 4.0
    level: int = 220

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_level(self.level)

    def maps(self, pixels: Pixels) -> tuple[Mask]:
        """Return where pixels are white."""
        return (_between(pixels, self.level, 255),)


@dataclass(frozen=True, kw_only=True)
class Black(Limits):
    """The share of a cell that is black, as the border of a scan: no channel exceeds ``level``."""

    max: float | None = 0.5
    mpp: float | None = 4.0
    level: int = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_level(self.level)

    def maps(self, pixels: Pixels) -> tuple[Mask]:
        """Return where pixels are black."""
        return (_between(pixels, 0, self.level),)


@dataclass(frozen=True, kw_only=True)
class Grey(Limits):
    """The share of a cell without colour: its channels differ by at most ``level``."""

    max: float | None = 0.9
    mpp: float | None = 4.0
    level: int = 12

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_level(self.level)

    def maps(self, pixels: Pixels) -> tuple[Mask]:
        """Return where pixels are grey, from black to white."""
        import cv2

        red, green, blue = cv2.split(pixels)
        highest, lowest = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
        return (np.asarray(cv2.subtract(highest, lowest) <= self.level),)


@dataclass(frozen=True, kw_only=True)
class Pen(Limits):
    """The share of a cell in the colours of green, blue, red or black pen, on H&E."""

    max: float | None = 0.1
    mpp: float | None = 4.0

    def maps(self, pixels: Pixels) -> tuple[Mask]:
        """Return where pixels have a colour of ink."""
        hsv = to_hsv(pixels)
        found = np.zeros(hsv.shape[:2], bool)
        for ink in _INKS:
            found |= within(hsv, ink)
        return (found,)


@dataclass(frozen=True, kw_only=True)
class Saturation(Limits):
    """The mean saturation of a cell, 0 to 1 (HSV)."""

    min: float | None = 0.05
    mpp: float | None = 4.0

    def maps(self, pixels: Pixels) -> tuple[Bytes]:
        """Return the saturation of each pixel, 0 to 255."""
        return (np.ascontiguousarray(to_hsv(pixels)[..., 1]),)

    def value(self, means: Floats) -> Floats:
        """Return the saturation from its mean in 8 bits, (1, n)."""
        return np.asarray(means[0] / 255)


@dataclass(frozen=True, kw_only=True)
class Stain(Limits):
    """The mean optical density of haematoxylin in a cell: see ``colour.haematoxylin``."""

    min: float | None = 0.03
    mpp: float | None = 4.0

    def maps(self, pixels: Pixels) -> tuple[Plane]:
        """Return the optical density of haematoxylin of each pixel."""
        return (haematoxylin(pixels),)


def _between(pixels: Pixels, low: int, high: int) -> Mask:
    """Return where all channels are from ``low`` to ``high``."""
    import cv2

    return np.asarray(cv2.inRange(pixels, (low,) * 3, (high,) * 3) != 0)
