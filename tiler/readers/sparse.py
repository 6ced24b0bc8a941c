"""Native tiles that a file omits, and their number under tiles of a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiler.geometry import Size
from tiler.regions import Regions

_SNAP = 1e-6  # level pixels; rounding errors must not touch another native tile


@dataclass(frozen=True)
class SparseTiles:
    """The native tiles of a level without bytes in the file; they are background.

    Attributes
    ----------
    tile
        A native tile's size in pixels.
    columns, rows
        Native tiles across and down.
    packed
        A bit per native tile, row by row, 1 for an omitted one; empty if all are present.
    """

    tile: Size
    columns: int
    rows: int
    packed: bytes

    @classmethod
    def of(cls, tile: Size, columns: int, sparse: npt.NDArray[np.bool_]) -> SparseTiles:
        """Pack a list of native tiles, bool (tiles,), row by row."""
        packed = np.packbits(sparse).tobytes() if sparse.any() else b""
        return cls(tile, columns, len(sparse) // columns, packed)

    def under(self, regions: Regions, scale: float) -> int:
        """Count the omitted tiles under at least one region.

        Parameters
        ----------
        regions
            Tiles of the grid.
        scale
            Pixels of the level per pixel of the regions.
        """
        if not self.packed or not len(regions):
            return 0
        count = self.columns * self.rows
        sparse = np.unpackbits(np.frombuffer(self.packed, np.uint8), count=count)
        left, right = _spans(regions, 0, scale, self.tile.width, self.columns)
        top, bottom = _spans(regions, 1, scale, self.tile.height, self.rows)
        changes = np.zeros((self.rows + 1, self.columns + 1), np.int64)
        np.add.at(changes, (top, left), 1)
        np.add.at(changes, (top, right), -1)
        np.add.at(changes, (bottom, left), -1)
        np.add.at(changes, (bottom, right), 1)
        covered = changes.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0
        return int(np.count_nonzero(covered & sparse.reshape(covered.shape).astype(bool)))


def _spans(
    regions: Regions, axis: int, scale: float, length: int, count: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the first native tile under each region along an axis, and the one after the last."""
    starts = regions.locations[:, axis] * scale
    stops = starts + regions.shape[axis] * scale
    first = np.floor((starts + _SNAP) / length)
    after = np.ceil((stops - _SNAP) / length)
    return np.clip(first, 0, count).astype(np.intp), np.clip(after, 0, count).astype(np.intp)
