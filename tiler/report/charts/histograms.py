"""Histograms that are counted slide by slide, added up, and drawn over any range.

The bins are the same for all values of all slides, so counts of slides can be added without a
second look at their cells. Between two powers of two there are 128 bins, so a bin is at most 1 %
of its values wide: much less than a bar of a chart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_SHIFT = 16  # bits of a float32 that do not count: 7 of its 23 binary places are left
_BARS = 40


@dataclass(frozen=True, eq=False)
class Binned:
    """Counts of values in the bins that all slides share; empty bins are left out.

    Attributes
    ----------
    codes
        int32 (N,): the bins, in the order of their values.
    counts
        int64 (N,): the values in each.
    """

    codes: npt.NDArray[np.int32]
    counts: Counts

    @property
    def total(self) -> int:
        """The number of values."""
        return int(self.counts.sum())

    @property
    def low(self) -> Floats:
        """The lower edge of each bin."""
        return np.where(self.codes >= 0, _value(self.codes), -_value(1 - self.codes))

    @property
    def high(self) -> Floats:
        """The upper edge of each bin; the bin of zero has no width."""
        high = np.where(self.codes >= 0, _value(self.codes + 1), -_value(-self.codes))
        return np.where(self.codes == 0, 0.0, high)


def binned(values: npt.NDArray[np.floating]) -> Binned:
    """Count values; those that are not finite are left out."""
    flat = np.asarray(values, np.float64).ravel()
    flat = flat[np.isfinite(flat)]
    limit = float(np.finfo(np.float32).max)
    bits = np.clip(flat, -limit, limit).astype(np.float32).view(np.int32)
    size = (bits & 0x7FFFFFFF) >> _SHIFT
    codes, counts = np.unique(np.where(bits < 0, -size, size), return_counts=True)
    return Binned(codes.astype(np.int32), counts.astype(np.int64))


def added(parts: Iterable[Binned]) -> Binned:
    """Add the counts of slides."""
    known = list(parts)
    empty = np.zeros(0, np.int32)
    codes = np.concatenate([empty, *(part.codes for part in known)])
    counts = np.concatenate([empty.astype(np.int64), *(part.counts for part in known)])
    found, where = np.unique(codes, return_inverse=True)
    total = np.zeros(len(found), np.int64)
    np.add.at(total, where, counts)
    return Binned(found, total)


def bars(data: Binned, edges: Floats) -> Counts:
    """Return the number of values between edges, which contain all values; int64 (len - 1,).

    A bin with an edge inside is divided as if its values were spread evenly. The counts are whole
    numbers, and their sum is the number of values.
    """
    below = np.array([_below(data, edge) for edge in edges])
    below[0], below[-1] = 0, data.total
    return np.asarray(np.diff(np.rint(below)), np.int64)


def _below(data: Binned, edge: float) -> float:
    width = data.high - data.low
    share = np.where(width > 0, (edge - data.low) / np.where(width > 0, width, 1), edge > data.low)
    return float(np.clip(share, 0, 1) @ data.counts)


def bar_edges(data: Binned, limits: Sequence[float] = ()) -> tuple[Floats, bool]:
    """Return the edges of about 40 bars over all values, and whether they grow by a factor.

    They are round numbers. Limits lie on the axis as well, unless they are far from all values.
    """
    low, high = float(data.low[0]), float(data.high[-1])
    if data.codes[-1] == _ONE and low >= 0:
        high = 1.0  # shares end at 1, which has a bin of its own
    for limit in limits:
        if low - 2 * (high - low) <= limit <= high + 2 * (high - low):
            low, high = min(low, limit), max(high, limit)
    near = low + (high - low) / _BARS  # a limit in the first bar would not be seen
    hidden = any(low < limit < near for limit in limits)
    if low > 0 and high / low > 20 and (hidden or _is_skewed(data)):
        return np.geomspace(low, high, _BARS + 1), True
    if low >= 0 and 0.5 < high <= 1:
        low, high = 0.0, 1.0
    widest = float((data.high - data.low).max())  # narrower bars would show gaps in a bin
    step = _round_step(max((high - low or abs(high) or 1.0) / _BARS, widest))
    first, last = np.floor(low / step + 1e-6), np.ceil(high / step - 1e-6)
    return np.arange(first, max(last, first + 1) + 1) * step, False


def _is_skewed(data: Binned) -> bool:
    """Return whether the middle half of the values crowds near the lower end."""
    share = data.counts.cumsum() / data.total
    quarter = data.low[int(np.searchsorted(share, 0.75))]
    return bool(quarter < data.low[0] + 0.2 * (data.high[-1] - data.low[0]))


def _round_step(size: float) -> float:
    power = 10.0 ** np.floor(np.log10(size))
    return float(next(step for step in (1, 2, 2.5, 5, 10) if step * power >= size * 0.999) * power)


def _value(codes: npt.NDArray[np.int32]) -> Floats:
    """Return the lower edge of bins of values that are not negative."""
    bits = np.clip(codes, 0, 0x7F80).astype(np.int32) << _SHIFT
    finite = np.minimum(bits, 0x7F7FFFFF)
    return np.asarray(finite.view(np.float32), np.float64)


SHARES = np.arange(_BARS + 1) / _BARS
"""The edges of bars of values from 0 to 1."""

_ONE = int(np.array(1.0, np.float32).view(np.int32)) >> _SHIFT
