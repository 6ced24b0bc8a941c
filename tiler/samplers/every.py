"""The sampler that keeps all tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiler.protocols import Tiles


@dataclass(frozen=True)
class All:
    """Keep all tiles."""

    def choose(self, tiles: Tiles) -> npt.NDArray[np.bool_]:
        """Return True for every tile, bool (N,)."""
        return np.ones(len(tiles), bool)
