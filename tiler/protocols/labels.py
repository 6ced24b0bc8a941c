"""The protocol that labels of tiles implement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tiler.protocols.reader import WSIReader


class Labels(Protocol):
    """Measures how much of each grid cell belongs to each class, and labels the cells.

    One more method is optional. ``notes(source)``: a sequence of texts for the slide's row in
    ``slides.csv``.
    """

    @property
    def keep(self) -> Sequence[str] | None:
        """Return the labels of tiles that are kept; None keeps all."""

    def shares(
        self,
        source: WSIReader,
        columns: npt.NDArray[np.float64],
        rows: npt.NDArray[np.float64],
    ) -> Mapping[str, npt.NDArray[np.float64]]:
        """Return each cell's share of each class, (ny, nx), 0 to 1, by class.

        Parameters
        ----------
        source
            The slide.
        columns, rows
            float64 (nx, 2) and (ny, 2): where columns and rows of cells begin and end, in level-0
            pixels from the corner of the slide's bounds.
        """

    def assigned(self, shares: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[Any] | None:
        """Return the label of each cell as text, (ny, nx), "" for none; None to have no labels."""
