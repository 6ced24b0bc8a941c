"""Tiles that lie far apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiler.protocols import Tiles
from tiler.samplers.base import Amount


@dataclass(frozen=True, kw_only=True)
class Spread(Amount):
    """Keep tiles far apart: the one nearest to the centre, then always the one farthest from all.

    The result depends on the tiles' places alone. The grid's order decides between equals. It costs
    one pass over the tiles for each that is kept.

    References
    ----------
    Gonzalez, T. F. (1985). Clustering to minimize the maximum intercluster distance. Theoretical
    Computer Science 38, 293-306.
    """

    def choose(self, tiles: Tiles) -> npt.NDArray[np.bool_]:
        """Return which tiles are kept, bool (N,)."""
        chosen = np.zeros(len(tiles), bool)
        count = self.of(len(tiles))
        if not count:
            return chosen
        places = tiles.locations.astype(float)
        nearest = ((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin()
        distance = np.full(len(tiles), np.inf)
        for _ in range(count):
            chosen[nearest] = True
            distance = np.minimum(distance, ((places - places[nearest]) ** 2).sum(axis=1))
            distance[nearest] = -1.0
            nearest = distance.argmax()
        return chosen
