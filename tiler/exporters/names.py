"""Names of tiles' files, many at once: one by one they would take a tenth of a passthrough job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from tiler.errors import ConfigError
from tiler.protocols import LinksFiles, NamesManyTiles, NamesTiles, WritesTiles
from tiler.regions import Regions
from tiler.resolution import Resolution
from tiler.scales.context import suffix

Naming = Literal["tiler", "gigapath"]
"""Kinds of names of tiles' files."""


def tile_names(slide: str, regions: Regions, extension: str) -> list[str]:
    """Return ``{slide}_x{x}_y{y}_w{w}_h{h}_{res}_r{ratio}.{ext}``, the ratio to two decimals."""
    width, height = regions.shape
    start, middle = f"{slide}_x", f"_w{width}_h{height}_{regions.resolution.token}_r"
    xs, ys = regions.locations.T.tolist()
    return [
        f"{start}{x}_y{y}{middle}{ratio:.2f}.{extension}"
        for x, y, ratio in zip(xs, ys, regions.ratios.tolist(), strict=True)
    ]


def gigapath_names(regions: Regions) -> list[str]:
    """Return ``{x:05d}x_{y:05d}y.png`` in target pixels, which Prov-GigaPath parses.

    Coordinates of 100,000 and more have more digits; GigaPath reads them too.

    Raises
    ------
    ConfigError
        If a coordinate is negative: GigaPath would take another position for it.
    """
    places = regions.locations.tolist()
    for x, y in places:
        if x < 0 or y < 0:
            raise ConfigError(
                f"exporter.images.naming=gigapath: tile ({x}, {y}) has a negative coordinate; use"
                " naming=tiler"
            )
    return [f"{x:05d}x_{y:05d}y.png" for x, y in places]


def check_naming(naming: str, extension: str, shard: int, context: Resolution | None) -> None:
    """Refuse names that do not exist, and files that they cannot name.

    Raises
    ------
    ConfigError
        If a name does not exist, or cannot name the files.
    """
    key = f"exporter.images.naming={naming}"
    if naming not in get_args(Naming):
        raise ConfigError(
            f"exporter.images.naming={naming!r} is invalid; use {' or '.join(get_args(Naming))}"
        )
    if naming == "tiler":
        return
    if extension != "png":
        raise ConfigError(
            f"{key} with extension={extension}: Prov-GigaPath reads only PNG; set"
            " exporter.images.extension=png"
        )
    if shard:
        raise ConfigError(
            f"{key} with shard={shard}: Prov-GigaPath searches no subfolders; set"
            " exporter.images.shard=0"
        )
    if context is not None:
        raise ConfigError(
            f"{key} with context={context.token}: context tiles would have the names of tiles;"
            " remove context, or set exporter.images.naming=tiler"
        )


def context_names(tiles: Sequence[str], extension: str, resolution: Resolution) -> list[str]:
    """Return ``{tile}_c{res}.{ext}`` for each tile: the name of its context tile."""
    end = f"{suffix(resolution)}.{extension}"
    return [name.removesuffix(f".{extension}") + end for name in tiles]


def file_names(
    exporter: NamesTiles | WritesTiles | LinksFiles, slide: str, regions: Regions
) -> list[str]:
    """Return the path of each tile's file, relative to the slide's folder."""
    if hasattr(exporter, "file_names") and isinstance(exporter, NamesManyTiles):
        return exporter.file_names(slide, regions)
    return [exporter.file_name(slide, region) for region in regions]
