"""The downsamples that fit the size of a level, which is a rounded quotient."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from tiler.geometry import Size

_STATED_TOLERANCE = 0.02
"""Maximum relative distance of a stated downsample from the whole number that fits the sizes. Files
state pixel sizes with three digits, or derive them from the rounded sizes."""

_MOST_NUMBERS = 64  # thousands of downsamples fit a level of a few pixels


@dataclass(frozen=True)
class StoredLevel:
    """An image that may be a level.

    Attributes
    ----------
    size
        Its stored pixels.
    tile
        The size of its native tiles; None without native tiles.
    stated
        The downsample that the file states, or None.
    """

    size: Size
    tile: Size | None = None
    stated: float | None = None


@dataclass(frozen=True)
class Span:
    """Downsamples between two ends, both excluded; without ``high``, all above ``low``."""

    low: Fraction
    high: Fraction | None

    def __contains__(self, downsample: float | Fraction) -> bool:
        return self.low < downsample and (self.high is None or downsample < self.high)

    @property
    def is_empty(self) -> bool:
        """Return whether the span contains no downsample."""
        return self.high is not None and self.low >= self.high

    def powers(self, of: float = 1) -> Iterator[int]:
        """Return the first two of ``of`` times 2, 4, 8, … in the span."""
        power, found = 2 * int(of), 0
        while of == int(of) and found < 2 and (self.high is None or power < self.high):
            if power in self:
                found += 1
                yield power
            power *= 2

    def whole(self, near: Fraction) -> list[int]:
        """Return whole numbers > 1 in the span: the smallest, at ``near``, powers of two."""
        least = math.floor(self.low) + 1
        numbers = {*range(least, least + _MOST_NUMBERS), round(near), *self.powers()}
        return sorted(number for number in numbers if number > 1 and number in self)


@dataclass(frozen=True)
class Fit:
    """The downsamples that fit the size of an image.

    Attributes
    ----------
    index
        The image's place in the file.
    size
        Its stored pixels.
    exact
        Downsamples for which the slide's size divided by them, rounded down or up, fits.
    loose
        ``exact``, and those that fit after rounding up to whole native tiles.
    ratio
        The quotient of the sizes.
    stated
        The downsample that the file states, moved to a near whole number that fits; None if the
        file states none or an impossible one.
    whole_tiles
        Whether the image ends at the end of its last native tiles, so that it may be padded.
    """

    index: int
    size: Size
    exact: Span
    loose: Span
    ratio: Fraction
    stated: float | None
    whole_tiles: bool

    @property
    def nearest(self) -> list[int]:
        """Whole numbers that fit the size without padding, nearest to the ratio first."""
        return sorted(self.exact.whole(self.ratio), key=lambda number: abs(number - self.ratio))


def fit_of(index: int, base: Size, image: StoredLevel) -> Fit:
    """Return the downsamples of an image as a level, if ``base`` is the size of level 0."""
    tile, stated = image.tile, image.stated
    whole_tiles = tile is not None and not any(
        length % step for length, step in zip(image.size, tile, strict=True)
    )
    exact = _span(base, image.size, Size(1, 1))
    loose = _span(base, image.size, tile) if tile is not None and whole_tiles else exact
    across, down = (Fraction(a, b) for a, b in zip(base, image.size, strict=True))
    ratio = max(across, down) if exact.is_empty else (across + down) / 2
    if stated is not None and stated < exact.low * Fraction(1 - _STATED_TOLERANCE):
        stated = None  # the level would end before the slide: some files repeat one pixel size
    if stated is not None:
        near = round(stated)
        if near in loose and abs(stated - near) <= _STATED_TOLERANCE * near:
            stated = float(near)
        dust = Fraction(stated) / 10**9
        exact = loose = Span(Fraction(stated) - dust, Fraction(stated) + dust)
    return Fit(index, image.size, exact, loose, ratio, stated, whole_tiles)


def _span(base: Size, size: Size, added: Size) -> Span:
    """Return the downsamples that result in a size, if up to ``added`` pixels were added.

    Rounding down or up stays within 1 of the quotient, also if each of many steps rounds:
    floor(floor(W / a) / b) equals floor(W / ab), and likewise for ceil. Any other rounding is
    between these two.
    """
    low, high = Fraction(0), None
    for whole, length, most in zip(base, size, added, strict=True):
        low = max(low, Fraction(whole, length + 1))
        if length > most:
            end = Fraction(whole, length - most)
            high = end if high is None else min(high, end)
    return Span(low, high)
