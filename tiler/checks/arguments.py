"""Checks of the arguments of ``TileExtractor``; each error names what to pass instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tiler.errors import ArgumentError, ConfigError, RegionError
from tiler.geometry import Box, is_number
from tiler.protocols import WSIReader
from tiler.regions import RegionSpec
from tiler.resolution import plan_read
from tiler.spec import TileSpec

_NEEDED = ("name", "bounds", "level_downsamples", "mpp", "magnification", "provenance")
"""Attributes of a slide that an extraction uses, beside its pixels."""


def check_parameters(
    tile_spec: object, mask: object, mask_provider: object, mask_threshold: object
) -> None:
    """Refuse parameters of a ``TileExtractor`` that are of the wrong kind.

    Raises
    ------
    ConfigError
        With what to pass instead; an ``ArgumentError`` where the type is wrong.
    """
    if not isinstance(tile_spec, TileSpec):
        raise ArgumentError(
            f"tile_spec={_shown(tile_spec)}; pass TileSpec(256, resolution=MPP(0.5)) or the like"
        )
    if hasattr(mask, "generate"):
        raise ArgumentError(f"mask={_shown(mask)} makes masks; pass it as mask_provider=…")
    if isinstance(mask, str | bytes | Path):
        raise ArgumentError(
            f"mask={_shown(mask)}; pass an array (height, width), or"
            " mask_provider=FileMask(path) for a file"
        )
    if isinstance(mask_provider, type):
        raise ArgumentError(
            f"mask_provider={mask_provider.__name__} is a class; pass an instance,"
            f" {mask_provider.__name__}(…)"
        )
    if mask_provider is not None and not hasattr(mask_provider, "generate"):
        raise ArgumentError(
            f"mask_provider={_shown(mask_provider)}; pass an object with generate(source), such"
            " as OtsuMask(), or an array as mask=…"
        )
    if not is_number(mask_threshold) or not 0 <= float(str(mask_threshold)) <= 1:
        raise ConfigError(f"threshold={mask_threshold!r}: must lie between 0 and 1")


def check_source(source: object) -> None:
    """Refuse anything but an open slide.

    Raises
    ------
    ArgumentError
        With what to pass instead.
    """
    if isinstance(source, str | Path):
        raise ArgumentError(
            f"source={_shown(source)} is a path; pass an open slide: open_slide({str(source)!r})"
        )
    missing = [name for name in _NEEDED if not hasattr(source, name)]
    if missing:
        raise ArgumentError(
            f"source={_shown(source)} is not a WSIReader (it has no {', '.join(missing)}); pass the"
            " result of open_slide(path)"
        )


def check_resolution(source: WSIReader, downsample: float) -> None:
    """Refuse a target finer than the scan, unless the slide was opened to be enlarged.

    Raises
    ------
    ResolutionError
        With the factor.
    """
    plan_read(
        downsample,
        source.level_downsamples,
        slide=source.name,
        allow_upsampling=getattr(source, "allow_upsampling", False),
    )


def placed_regions(source: WSIReader, regions: Sequence[RegionSpec]) -> list[RegionSpec]:
    """Return regions with their downsample: those without one belong to the slide given.

    Raises
    ------
    ArgumentError
        When one of them is not a region.
    """
    if isinstance(regions, RegionSpec):
        raise ArgumentError(f"regions={_shown(regions)} is one region; pass a list: [region]")
    placed = []
    for number, region in enumerate(regions):
        if not isinstance(region, RegionSpec):
            raise ArgumentError(
                f"regions[{number}]={_shown(region)}; pass regions of extract(), or RegionSpec(…)"
            )
        downsample = region.downsample or region.resolution.downsample(source)
        placed.append(replace(region, downsample=downsample))
    return placed


def check_inside(source: WSIReader, regions: Sequence[RegionSpec]) -> None:
    """Refuse regions that do not touch the slide; those that run over its edge may stay.

    Raises
    ------
    RegionError
        Naming the first one and the slide's size.
    """
    width, height = source.dimensions
    for number, region in enumerate(regions):
        x, y, across, down = region.box0
        if x >= width or y >= height or x + across <= 0 or y + down <= 0:
            raise RegionError(
                f"regions[{number}] lies outside slide {source.name}: its level-0 box is"
                f" {tuple(Box(x, y, across, down))}, the slide {width}x{height}; pass regions of"
                " this slide"
            )


def _shown(value: object) -> str:
    """Describe a value in a few words."""
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 60 else text[:57] + '…'} ({type(value).__name__})"
