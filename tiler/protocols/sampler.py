"""The protocol that samplers implement, and the tiles that they choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class ColumnError(LookupError):
    """A sampler needs a column that the slide does not have; its text names the fix."""


@dataclass(frozen=True, eq=False)
class Tiles:
    """Tiles of one slide that passed threshold, filters and label rules, in the grid's order.

    Attributes
    ----------
    slide_id
        The slide's name in outputs.
    locations
        int64 (N, 2): x, y in target pixels, absolute.
    columns
        Other columns by name, (N,) each: ``ratio``, ``tissue_id``, ``label``, ``score_blur``, ….
    """

    slide_id: str
    locations: npt.NDArray[np.int64]
    columns: Mapping[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        return len(self.locations)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column.

        Raises
        ------
        ColumnError
            If there is no such column; the text names those that there are.
        """
        if name not in self.columns:
            known = ", ".join(sorted(self.columns))
            raise ColumnError(f"sampler.by={name} is not a column; use one of {known}")
        return self.columns[name]


class Sampler(Protocol):
    """Chooses which of a slide's tiles are kept, after all other rules.

    One more method is optional. ``notes(tiles)``: a sequence of texts for the slide's row in
    ``slides.csv``.
    """

    def choose(self, tiles: Tiles) -> npt.NDArray[np.bool_]:
        """Return which tiles are kept, bool (N,).

        The result may depend on the tiles alone: not on other slides, on time or on chance.
        """
