"""Protocols that masks implement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from tiler.cover.terms import Cover
from tiler.protocols.reader import Mask, WSIReader


class MaskProvider(Protocol):
    """Finds the tissue of a slide.

    Three more attributes are optional. ``threshold``: the minimum of tissue in a map of fractions.
    ``thresholds``: True if a mask of the whole slide, or an empty mask, needs a warning.
    ``why_empty(source)``: a method that briefly explains why there is no tissue.
    """

    def generate(self, source: WSIReader) -> Mask:
        """Return a mask of any size, stretched over the slide's bounded area.

        A bool array (height, width), True = tissue; or whole numbers of which one is 0, or floats
        of 0 and 1 alone. Other floats need the attribute ``threshold``: tissue reaches it.
        """


@runtime_checkable
class HasCover(Protocol):
    """A mask provider that knows the exact area of tissue, such as drawn polygons.

    Coverage is computed from that area. ``generate`` then returns a picture of it.
    """

    def cover(self, source: WSIReader) -> Cover:
        """Return the area of tissue within the slide's bounds, in level-0 pixels from its corner.

        ``Cover.notes`` are remarks for the slide's row.
        """


@runtime_checkable
class FitsTiles(Protocol):
    """A mask provider whose mask depends on the size of the tiles."""

    def for_tiles(self, source: WSIReader, side: float) -> MaskProvider:
        """Return the provider to use for tiles of a shorter side, in level-0 pixels.

        Its ``repr`` contains all that its mask depends on: the cache uses it.
        """


@runtime_checkable
class ReadsFiles(Protocol):
    """A mask provider that reads other files than the slide; a change of these is detected."""

    def inputs(self, slide_name: str) -> Sequence[Path]:
        """Return the other files from which the mask of a slide is made."""
