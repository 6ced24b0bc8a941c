"""The images of a file that are levels of its slide, and the downsample of each.

A level's size is the slide's divided by its downsample, rounded to whole pixels and sometimes up to
whole native tiles. So the quotient of two sizes is not the downsample: decision record 0003.
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
        The pixels of each level that show the slide; what is stored beyond is padding.
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

    Level 0 shows the whole slide. Another image is a level if one downsample explains its width
    and its height: as the slide's divided by it and rounded down or up, or as one of these rounded
    up to whole native tiles. Of several whole numbers that do, one that the file states comes
    first, then one that makes the levels a series of equal steps, then of powers of two. A level
    of padded tiles that several numbers explain is not used. Where no whole number
    fits, the downsample is the ratio of the sizes.
    """
    base = images[0].size
    found = [fit_of(index, base, image) for index, image in enumerate(images[1:], start=1)]
    if any(not (fit.whole_tiles or fit.exact.is_empty) for fit in found):
        found = [replace(fit, loose=fit.exact) for fit in found]  # one level is not padded: none is
    left_out = [
        f"an image of {_text(fit.size)} pixels is no level of this slide of {_text(base)}: its"
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
    """The downsample of each level, largest first; None where several fit and nothing decides."""
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
    """A series of equal steps that explains every level without padding; empty if there is none."""
    series = (_series(fits, step) for step in fits[0].nearest)
    found = [s for s in series if all(n in fit.exact for n, fit in zip(s, fits, strict=True))]
    return next((s for s in found if _is_power_of_two(s[0])), found[0] if found else [])


def _doublings(fits: Sequence[Fit]) -> list[int]:
    """A series, without padding, of levels that are the one before reduced by a power of two."""
    series: list[int] = []
    for fit in fits:
        numbers = list(fit.exact.powers(series[-1] if series else 1))
        if not numbers:
            return []
        series.append(numbers[0])
    return series


def _equal_padded_steps(fits: Sequence[Fit]) -> list[int]:
    """Return the one series of equal steps that explains every level, padded or not; else none."""
    first = fits[0]
    series = (_series(fits, step) for step in first.nearest or first.loose.whole(first.ratio))
    found = [s for s in series if all(n in fit.loose for n, fit in zip(s, fits, strict=True))]
    return found[0] if len(found) == 1 else []


def _alone(fit: Fit, before: float) -> float | None:
    """The downsample of a level that is not part of a series; None where several fit."""
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
    """The pixels of a level that show the slide.

    The pixel in which the slide ends may be padding, too, if the level was rounded down before it
    was padded. So a level of whole tiles ends before that pixel.
    """
    lengths = []
    for whole, length in zip(base, fit.size, strict=True):
        quotient = Fraction(whole) / Fraction(downsample)
        end = math.floor(quotient) if fit.whole_tiles else math.ceil(quotient)
        lengths.append(length if length <= end else max(1, math.floor(quotient)))
    return Size(*lengths)


def _text(size: Size) -> str:
    return f"{size.width}x{size.height}"
