"""The sampler of the highest values of a column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiler.protocols import Tiles
from tiler.protocols.sampler import ColumnError
from tiler.samplers.base import Amount


@dataclass(frozen=True, kw_only=True)
class Top(Amount):
    """Keep the tiles with the highest values of a column; the grid's order decides between equals.

    Parameters
    ----------
    by
        The column, such as ``ratio`` or ``score_blur``.
    """

    by: str = "ratio"

    def choose(self, tiles: Tiles) -> npt.NDArray[np.bool_]:
        """Return which tiles are kept, bool (N,)."""
        chosen = np.zeros(len(tiles), bool)
        chosen[self.order(tiles)[: self.of(len(tiles))]] = True
        return chosen

    def order(self, tiles: Tiles) -> npt.NDArray[np.intp]:
        """Return the indices of the tiles in the order in which they are chosen, (N,)."""
        values = tiles.column(self.by)
        if values.dtype.kind not in "iuf":
            raise ColumnError(
                f"sampler.by={self.by} is not a column of numbers; use ratio or score_…"
            )
        return np.argsort(-values.astype(float), kind="stable")
