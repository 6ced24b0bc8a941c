"""A slide's mask: its picture, and its exact area where that is more than the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.cover.rasters import Bools
from tiler.cover.stored import cover_from, cover_to
from tiler.cover.terms import Cover
from tiler.grid import Floats, coverage, settled

_NOTES = "notes"
_FRACTION = "cover.fraction"


@dataclass(frozen=True, eq=False)
class SlideMask:
    """A slide's mask.

    Attributes
    ----------
    picture
        bool (h, w), stretched over the slide's bounded area.
    cover
        The exact area, if it is not that of the picture; else None.
    fraction
        The share of the bounded area that is tissue.
    notes
        Remarks for the slide's row.
    """

    picture: Bools
    fraction: float
    cover: Cover | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, cover: Cover) -> SlideMask:
        """Return the mask of a cover, which is a plain one if the cover is an even raster."""
        raster = cover.raster
        if raster is not None:
            return cls(raster, _share(raster), notes=cover.notes)
        return cls(cover.rendered(), cover.fraction, cover, cover.notes)

    @classmethod
    def plain(cls, picture: Bools) -> SlideMask:
        """Return the mask that equals its picture."""
        return cls(picture, _share(picture))

    @property
    def is_empty(self) -> bool:
        """True if there is no tissue."""
        return not (self.picture.any() if self.cover is None else self.cover.terms)

    def ratios(self, columns: Floats, rows: Floats) -> Floats:
        """Return the exact coverage of every grid cell, float64 (ny, nx).

        Parameters
        ----------
        columns, rows
            float64 (nx, 2) and (ny, 2): begin and end of columns and rows of cells, in pixels of
            the picture.
        """
        if self.cover is None:
            return coverage(self.picture, columns, rows)
        height, width = self.picture.shape
        extent = self.cover.extent
        return self.cover.ratios(
            settled(columns * (extent.width / width)), settled(rows * (extent.height / height))
        )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the mask as arrays for the cache; a plain mask is its picture alone."""
        found: dict[str, npt.NDArray[Any]] = {"mask": self.picture}
        if self.notes:
            found[_NOTES] = np.frombuffer("\n".join(self.notes).encode(), np.uint8).copy()
        if self.cover is None:
            return found
        return {**found, _FRACTION: np.array([self.fraction]), **cover_to(self.cover)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> SlideMask:
        """Return the mask that ``arrays`` made.

        Raises
        ------
        ValueError
            If the arrays contain none.
        """
        picture = arrays.get("mask")
        if picture is None or picture.dtype != bool or picture.ndim != 2 or not picture.size:
            raise ValueError("contains no mask")
        notes = arrays.get(_NOTES, np.empty(0, np.uint8)).tobytes().decode()
        lines = tuple(notes.split("\n")) if notes else ()
        cover, fraction = cover_from(arrays), arrays.get(_FRACTION)
        share = _share(picture) if cover is None or fraction is None else float(fraction[0])
        return cls(picture, share, cover, lines)


def _share(picture: Bools) -> float:
    return float(np.count_nonzero(picture)) / picture.size
