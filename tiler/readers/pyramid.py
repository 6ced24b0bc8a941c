"""The images of a file that are levels of its slide, and the downsample of each.

The size of a level is the slide's size divided by the downsample, rounded to whole pixels, and
sometimes up to whole native tiles. So the quotient of two sizes is not the downsample: see decision
record 0003.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from tiler.geometry import Size
from tiler.readers.level_fit import Fit, StoredLevel, fit_of


@dataclass(frozen=True)
class Pyramid:
    """The levels of a slide, finest first.

    Attributes
    ----------
    indices
        Each level's place among the images given to ``pyramid``.
    sizes
        The pixels of each level that show the slide; further stored pixels are padding.
    downsamples
        Level-0 pixels per pixel of each level.
    left_out
        A sentence for each image that is not used as a level.
    """

    indices: tuple[int, ...]
    sizes: tuple[Size, ...]
    downsamples: tuple[float, ...]
    left_out: tuple[str, ...]

    @property
    def notes(self) -> dict[str, str]:
        """Return the note about unused images for a slide's provenance."""
        return {"levels": "; ".join(self.left_out)} if self.left_out else {}


def pyramid(images: Sequence[StoredLevel]) -> Pyramid:
    """Sort the images of a file, the first of which is level 0, into a pyramid.

    Level 0 shows the whole slide. Another image is a level if one downsample fits its width and its
    height. A downsample fits if the slide's size divided by it, rounded down or up, is the image's
    size, with or without rounding up to whole native tiles.

    If several whole numbers fit, the order of preference is: the number that the file states, a
    series of equal steps, a series of powers of two. A level of padded tiles that several numbers
    fit is not used. If no whole number fits, the downsample is the ratio of the sizes.
    """
    base = images[0].size
    found = [fit_of(index, base, image) for index, image in enumerate(images[1:], start=1)]
    if any(not (fit.whole_tiles or fit.exact.is_empty) for fit in found):
        # One level without padding: no level is padded.
        found = [replace(fit, loose=fit.exact) for fit in found]
    left_out = [
        f"an image of {_text(fit.size)} pixels is not a level of this slide of {_text(base)}: its"
        " aspect ratio differs"
        for fit in found
        if fit.loose.is_empty
    ]
    fits = [fit for fit in found if not fit.loose.is_empty]
    fits.sort(key=lambda fit: (-fit.size.width, -fit.size.height))
    levels = [(0, base, 1.0)]
    for fit, downsample in zip(fits, _downsamples(fits), strict=True):
        if downsample is None:
            left_out.append(
                f"the level of {_text(fit.size)} pixels is not used: it is padded to whole tiles,"
                " and several downsamples fit its size"
            )
        elif downsample < 1:
            left_out.append(f"an image of {_text(fit.size)} pixels is larger than level 0")
        else:
            levels.append((fit.index, _shown(base, fit, downsample), downsample))
    levels.sort(key=lambda level: level[2])
    indices, sizes, downsamples = zip(*levels, strict=True)
    return Pyramid(indices, sizes, downsamples, tuple(left_out))


def _downsamples(fits: Sequence[Fit]) -> list[float | None]:
    """Return the downsample of each level, largest first; None for an undecided level."""
    if not fits:
        return []
    series = _equal_steps(fits) or _doublings(fits) or _equal_padded_steps(fits)
    if series:
        return [float(number) for number in series]
    found: list[float | None] = []
    before = 1.0
    for fit in fits:
        found.append(_alone(fit, before))
        before = found[-1] or before
    return found


def _equal_steps(fits: Sequence[Fit]) -> list[int]:
    """Return a series of equal steps that fits every level without padding; empty if none does."""
    series = (_series(fits, step) for step in fits[0].nearest)
    found = [s for s in series if all(n in fit.exact for n, fit in zip(s, fits, strict=True))]
    return next((s for s in found if _is_power_of_two(s[0])), found[0] if found else [])


def _doublings(fits: Sequence[Fit]) -> list[int]:
    """Return a series in which powers of two reduce each level to the next; no padding."""
    series: list[int] = []
    for fit in fits:
        numbers = list(fit.exact.powers(series[-1] if series else 1))
        if not numbers:
            return []
        series.append(numbers[0])
    return series


def _equal_padded_steps(fits: Sequence[Fit]) -> list[int]:
    """Return the only series of equal steps that fits every level, padded or not; else none."""
    first = fits[0]
    series = (_series(fits, step) for step in first.nearest or first.loose.whole(first.ratio))
    found = [s for s in series if all(n in fit.loose for n, fit in zip(s, fits, strict=True))]
    return found[0] if len(found) == 1 else []


def _alone(fit: Fit, before: float) -> float | None:
    """Return the downsample of a level that is not part of a series; None if several fit."""
    if fit.stated is not None:
        return fit.stated
    if fit.loose != fit.exact:  # it may be padded, so an exact fit does not decide
        choices = [fit.loose.whole(fit.ratio)]
    else:
        choices = [list(fit.exact.powers(before))[:1], fit.nearest[:1]]
    for numbers in choices:
        if numbers:
            return float(numbers[0]) if len(numbers) == 1 else None
    span = fit.loose if fit.exact.is_empty else fit.exact
    if fit.ratio in span or span.high is None:
        return float(fit.ratio)
    return float((span.low + span.high) / 2)  # a level of a few pixels: its ratio is inexact


def _series(fits: Sequence[Fit], step: int) -> list[int]:
    return [step**power for power, _ in enumerate(fits, start=1)]


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


def _shown(base: Size, fit: Fit, downsample: float) -> Size:
    """Return the pixels of a level that show the slide.

    The pixel at the slide's end may be padding, too, if the level was rounded down before padding.
    So the result for a level of whole tiles ends before that pixel.
    """
    lengths = []
    for whole, length in zip(base, fit.size, strict=True):
        quotient = Fraction(whole) / Fraction(downsample)
        end = math.floor(quotient) if fit.whole_tiles else math.ceil(quotient)
        lengths.append(length if length <= end else max(1, math.floor(quotient)))
    return Size(*lengths)


def _text(size: Size) -> str:
    return f"{size.width}x{size.height}"
