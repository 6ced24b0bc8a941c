"""The pixels of a tile, or of its context."""

from __future__ import annotations

from collections.abc import Sequence

from tiler.checks.pixels import checked_pixels, transformed
from tiler.protocols import FittedTransform, Pixels, WSIReader
from tiler.regions import RegionSpec
from tiler.resolution import Resolution
from tiler.scales.context import concentric


def read_tile(source: WSIReader, region: RegionSpec, context: Resolution | None = None) -> Pixels:
    """Return the pixels of a tile, or of the concentric one at the resolution of a context."""
    # Locations are absolute: do not add the bounds' offset again.
    location: tuple[float, float] = region.location
    if context is not None:
        location = concentric(region, context.downsample(source))
    shape, resolution = region.shape, context or region.resolution
    pixels = source.read_region(location, shape, resolution, bounded=False)
    return checked_pixels(source, "read_region", pixels, shape)


def tile_pixels(
    source: WSIReader,
    region: RegionSpec,
    context: Resolution | None,
    transforms: Sequence[FittedTransform],
) -> Pixels:
    """Return the pixels of a tile, or of its context, after all transforms.

    Exporters and ``TileDataset`` both call it, so that their pixels are equal.
    """
    return transformed(source, read_tile(source, region, context), transforms)
