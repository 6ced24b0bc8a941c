"""The variety of grey values in a cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tiler.grid import Floats
from tiler.pixels.colour import to_grey
from tiler.protocols import Mask, Pixels
from tiler.scores.limits import Limits

_BINS = 32


@dataclass(frozen=True, kw_only=True)
class Entropy(Limits):
    """Shannon's entropy of the grey values in a cell, in bits: 0 for one value, at most 5.

    Grey values are counted in 32 equal bins.
    """

    min: float | None = 1.8
    mpp: float | None = 1.0

    def maps(self, pixels: Pixels) -> Iterator[Mask]:
        """Yield where grey values lie in each bin."""
        bins = to_grey(pixels) // (256 // _BINS)
        for number in range(_BINS):
            yield bins == number

    def value(self, means: Floats) -> Floats:
        """Return the entropy from each bin's share, (32, n)."""
        total = np.zeros(means.shape[1:])
        for share in means:  # np.sum adds in an order that depends on the number of cells
            total -= share * np.log2(share, out=np.zeros_like(share), where=share > 0)
        return total
