"""A slide whose regions are transformed, for exporters that read it by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from tiler.checks.pixels import transformed
from tiler.protocols import FittedTransform, Pixels
from tiler.readers.deferred import DeferredReader
from tiler.resolution import Resolution


class TransformedReader(DeferredReader):
    """A slide with the pixels that its tiles have; its thumbnail is not transformed.

    Attributes
    ----------
    transforms
        Applied to each region, in this order.
    """

    transforms: Sequence[FittedTransform] = ()

    def read_region(
        self,
        location: tuple[float, float],
        shape: tuple[int, int],
        resolution: Resolution,
        bounded: bool = True,
    ) -> Pixels:
        """Return transformed pixels of a box: see ``WSIReader.read_region``."""
        pixels = super().read_region(location, shape, resolution, bounded)
        return transformed(self, pixels, self.transforms)
