"""Protocols that masks implement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from tiler.protocols.reader import Mask, WSIReader


class MaskProvider(Protocol):
    """Finds the tissue of a slide.

    Three more attributes are optional. ``threshold``: a number at which a map of fractions is cut.
    ``thresholds``: True where a mask of the whole slide, or of nothing, is worth a warning.
    ``why_empty(source)``: a method that explains, in a few words, why there is no tissue.
    """

    def generate(self, source: WSIReader) -> Mask:
        """Return a mask of any size, stretched over the slide's bounded area.

        A bool array (height, width), True = tissue; or whole numbers of which one is 0, or floats
        of 0 and 1 alone. Other floats need the attribute ``threshold``: tissue reaches it.
        """


@runtime_checkable
class ReadsFiles(Protocol):
    """A mask provider that reads more than the slide, so that a change there is noticed."""

    def inputs(self, slide_name: str) -> Sequence[Path]:
        """The files beside the slide that its mask is made from."""
