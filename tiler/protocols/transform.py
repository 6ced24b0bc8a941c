"""Protocols that transforms of tiles' pixels implement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tiler.protocols.reader import Pixels, WSIReader

Tissue = Callable[[float | None], Pixels]
"""Returns a sample of a slide's tissue at a number of microns per pixel, None for the tiles' own
resolution: uint8 RGB (1, n, 3), in a fixed order. Transforms that come before are applied to it."""


class FittedTransform(Protocol):
    """A transform that is fitted to one slide: a small value that pickles and keeps no state."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return the fit for the slide's record: plain values, as JSON has them."""

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the transformed pixels of a tile, uint8 (h, w, 3); called from several threads.

        The given pixels may be read-only, and are not changed.
        """


class Transform(Protocol):
    """Changes the pixels of tiles before they are encoded.

    Three more methods are optional. ``inputs()``: the other files that it reads, whose change is
    detected. ``notes(source)`` of the fitted transform: a sequence of texts for the slide's row.
    ``from_facts(source, facts)``, a class method: the fitted transform that has these facts, for
    ``TileDataset``.
    """

    def fit(self, source: WSIReader, tissue: Tissue) -> FittedTransform:
        """Return the transform for one slide.

        Raises
        ------
        TransformError
            If it cannot be fitted to this slide; ``on_bad_fit`` decides what the run does.
        """
