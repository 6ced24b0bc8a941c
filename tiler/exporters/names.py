"""Names of tiles' files, many at once: one by one they would take a tenth of a passthrough job."""

from __future__ import annotations

from collections.abc import Sequence

from tiler.protocols import LinksFiles, NamesManyTiles, NamesTiles, WritesTiles
from tiler.regions import Regions
from tiler.resolution import Resolution
from tiler.scales.context import suffix


def tile_names(slide: str, regions: Regions, extension: str) -> list[str]:
    """``{slide}_x{x}_y{y}_w{w}_h{h}_{res}_r{ratio}.{ext}``, the ratio to two decimals."""
    (width, height), resolution = regions.shape, regions.resolution.token
    places = zip(regions.locations.tolist(), regions.ratios.tolist(), strict=True)
    return [
        f"{slide}_x{x}_y{y}_w{width}_h{height}_{resolution}_r{ratio:.2f}.{extension}"
        for (x, y), ratio in places
    ]


def context_names(tiles: Sequence[str], extension: str, resolution: Resolution) -> list[str]:
    """``{tile}_c{res}.{ext}`` of each tile's file: the context tile of one resolution."""
    end = f"{suffix(resolution)}.{extension}"
    return [name.removesuffix(f".{extension}") + end for name in tiles]


def file_names(
    exporter: NamesTiles | WritesTiles | LinksFiles, slide: str, regions: Regions
) -> list[str]:
    """Return the path of each tile's file, relative to the slide's folder."""
    if hasattr(exporter, "file_names") and isinstance(exporter, NamesManyTiles):
        return exporter.file_names(slide, regions)
    return [exporter.file_name(slide, region) for region in regions]
