"""The downsamples that explain the size of a level: its size is a quotient that was rounded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from tiler.geometry import Size

_STATED_TOLERANCE = 0.02
"""How far a stated downsample may be from the whole number that fits the sizes: files give pixel
sizes with three digits, or derive them from the rounded sizes."""

_MOST_NUMBERS = 64  # a level of a few pixels fits thousands of downsamples


@dataclass(frozen=True)
class StoredLevel:
    """An image that may be a level.

    Attributes
    ----------
    size
        Its stored pixels.
    tile
        Its native tile; None where it has none.
    stated
        The downsample that the file states; None where it states none.
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
        """Return whether no downsample lies in it."""
        return self.high is not None and self.low >= self.high

    def powers(self, of: float = 1) -> Iterator[int]:
        """The first two of ``of`` times 2, 4, 8, …, that lie in the span."""
        power, found = 2 * int(of), 0
        while of == int(of) and found < 2 and (self.high is None or power < self.high):
            if power in self:
                found += 1
                yield power
            power *= 2

    def whole(self, near: Fraction) -> list[int]:
        """Whole numbers above 1 in the span: the smallest, that at ``near``, powers of two."""
        least = math.floor(self.low) + 1
        numbers = {*range(least, least + _MOST_NUMBERS), round(near), *self.powers()}
        return sorted(number for number in numbers if number > 1 and number in self)


@dataclass(frozen=True)
class Fit:
    """The downsamples that explain the size of an image.

    Attributes
    ----------
    index
        The image's place in the file.
    size
        Its stored pixels.
    exact
        Those for which the size is the slide's divided by them and rounded down or up.
    loose
        ``exact``, and those for which that was rounded up to whole native tiles.
    ratio
        The quotient of the sizes.
    stated
        The downsample that the file states, put on the whole number that fits, if one is near;
        None where it states none, or one that cannot be.
    whole_tiles
        Whether the image ends where its last native tiles end, so that it may be padded.
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
        """Whole numbers that explain the size without padding, the nearest to the ratio first."""
        return sorted(self.exact.whole(self.ratio), key=lambda number: abs(number - self.ratio))


def fit_of(index: int, base: Size, image: StoredLevel) -> Fit:
    """The downsamples that make a level of an image, if ``base`` is the size of level 0."""
    tile, stated = image.tile, image.stated
    whole_tiles = tile is not None and not any(
        length % step for length, step in zip(image.size, tile, strict=True)
    )
    exact = _span(base, image.size, Size(1, 1))
    loose = _span(base, image.size, tile) if tile is not None and whole_tiles else exact
    across, down = (Fraction(a, b) for a, b in zip(base, image.size, strict=True))
    ratio = max(across, down) if exact.is_empty else (across + down) / 2
    if stated is not None and stated < exact.low * Fraction(1 - _STATED_TOLERANCE):
        stated = None  # the level would not reach the slide's end: some files repeat one pixel size
    if stated is not None:
        near = round(stated)
        if near in loose and abs(stated - near) <= _STATED_TOLERANCE * near:
            stated = float(near)
        dust = Fraction(stated) / 10**9
        exact = loose = Span(Fraction(stated) - dust, Fraction(stated) + dust)
    return Fit(index, image.size, exact, loose, ratio, stated, whole_tiles)


def _span(base: Size, size: Size, added: Size) -> Span:
    """The downsamples that give a size, if up to ``added`` pixels may have been added.

    Rounding down or up stays within 1 of the quotient, and so does rounding at each of many steps:
    floor(floor(W / a) / b) is floor(W / ab), the same holds for ceil, and any other rounding lies
    between the two.
    """
    low, high = Fraction(0), None
    for whole, length, most in zip(base, size, added, strict=True):
        low = max(low, Fraction(whole, length + 1))
        if length > most:
            end = Fraction(whole, length - most)
            high = end if high is None else min(high, end)
    return Span(low, high)
