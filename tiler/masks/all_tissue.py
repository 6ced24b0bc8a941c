"""The mask ``none``: everything is tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.protocols import Mask, WSIReader


@dataclass(frozen=True)
class AllTissue:
    """A mask provider that calls everything inside the slide's bounds tissue."""

    def generate(self, source: WSIReader) -> Mask:
        """Return one pixel of tissue, bool (1, 1), which is stretched over the bounds."""
        return np.ones((1, 1), dtype=bool)
