"""The sampler of tiles that lie far apart."""

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
    one pass over the tiles for each that is kept: about 2 s for 5000 of 200,000 tiles.

    References
    ----------
    Gonzalez, T. F. (1985). Clustering to minimize the maximum intercluster distance. Theoretical
    Computer Science 38, 293-306.
    """

    def choose(self, tiles: Tiles) -> npt.NDArray[np.bool_]:
        """Return which tiles are kept, bool (N,)."""
        chosen = np.zeros(len(tiles), bool)
        count = self.of(len(tiles))
        if count == len(tiles):
            return ~chosen
        x, y = np.ascontiguousarray(tiles.locations.T, float)
        nearest = ((x - x.mean()) ** 2 + (y - y.mean()) ** 2).argmin() if count else 0
        distance, across, down = np.full(len(tiles), np.inf), np.empty_like(x), np.empty_like(y)
        for _ in range(count):
            chosen[nearest] = True
            for places, out in ((x, across), (y, down)):  # in place: 17 times as fast
                np.subtract(places, places[nearest], out=out)
                np.multiply(out, out, out=out)
            across += down
            np.minimum(distance, across, out=distance)
            distance[nearest] = -1.0
            nearest = distance.argmax()
        return chosen
