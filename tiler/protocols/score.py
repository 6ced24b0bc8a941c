"""Protocols that scores implement: numbers measured on the pixels of grid cells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from tiler.protocols.reader import Pixels


class Score(Protocol):
    """A number of each grid cell, with limits that select cells: an option of ``filter``.

    It also has ``maps`` (see ``MapsPixels``) or ``score`` (see ``ScoresPixels``).
    """

    @property
    def min(self) -> float | None:
        """The lowest score of a cell that is kept; None for no limit."""

    @property
    def max(self) -> float | None:
        """The highest score of a cell that is kept; None for no limit."""

    @property
    def mpp(self) -> float | None:
        """Microns per pixel at which it is measured; None for the tiles' own resolution."""


@runtime_checkable
class MapsPixels(Protocol):
    """A score that depends on means of maps over a cell. It is quick, whatever cells overlap.

    Two more attributes are optional. ``value(means)``: a method that returns the scores, (n,),
    from the means of all maps, float64 (number of maps, n); without it, the score is the mean of
    the only map. ``margin``: the distance in pixels of the farthest neighbour that a pixel of a
    map depends on, 0 without it.
    """

    def maps(self, pixels: Pixels) -> Iterable[npt.NDArray[Any]]:
        """Return numbers or booleans of each pixel, (h, w) each, for pixels (h, w, 3).

        It is called with pieces of the slide, in several threads.
        """


@runtime_checkable
class ScoresPixels(Protocol):
    """A score that looks at the pixels of one cell at a time."""

    def score(self, pixels: Pixels) -> float:
        """Return the score of a cell's pixels, (h, w, 3)."""
