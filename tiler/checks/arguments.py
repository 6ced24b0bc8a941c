"""Checks of the arguments of ``TileExtractor``; each error names the right argument."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tiler.checks.components import shown
from tiler.errors import ArgumentError, ConfigError, RegionError
from tiler.geometry import Box, is_number
from tiler.protocols import WSIReader
from tiler.regions import RegionSpec
from tiler.resolution import plan_read
from tiler.spec import TileSpec

_NEEDED = ("name", "bounds", "level_downsamples", "mpp", "magnification", "provenance")
"""Attributes of a slide that an extraction uses, in addition to its pixels."""


def check_parameters(
    tile_spec: object, mask: object, mask_provider: object, mask_threshold: object
) -> None:
    """Refuse invalid parameters of a ``TileExtractor``.

    Raises
    ------
    ConfigError
        If a parameter is invalid; an ``ArgumentError`` if its type is wrong.
    """
    if not isinstance(tile_spec, TileSpec):
        raise ArgumentError(
            f"tile_spec={shown(tile_spec)} is not a TileSpec; pass one, such as"
            " TileSpec(256, resolution=MPP(0.5))"
        )
    if hasattr(mask, "generate"):
        raise ArgumentError(f"mask={shown(mask)} is a mask provider; pass it as mask_provider=…")
    if isinstance(mask, str | bytes | Path):
        raise ArgumentError(
            f"mask={shown(mask)} is a path; pass an array (height, width), or"
            " mask_provider=FileMask(path) for a file"
        )
    if isinstance(mask_provider, type):
        raise ArgumentError(
            f"mask_provider={mask_provider.__name__} is a class; pass an instance,"
            f" {mask_provider.__name__}(…)"
        )
    if mask_provider is not None and not hasattr(mask_provider, "generate"):
        raise ArgumentError(
            f"mask_provider={shown(mask_provider)} has no generate(source); pass an object such"
            " as OtsuMask(), or an array as mask=…"
        )
    if not is_number(mask_threshold) or not 0 <= float(str(mask_threshold)) <= 1:
        raise ConfigError(f"threshold={mask_threshold!r} is out of range; use a value from 0 to 1")


def check_rules(filters: object, labels: object, sampler: object) -> None:
    """Refuse invalid filters, labels and samplers of a ``TileExtractor``.

    Raises
    ------
    ArgumentError
        If one lacks what it is called for.
    """
    if filters is not None and not isinstance(filters, Mapping):
        raise ArgumentError(
            f"filters={shown(filters)} is not a mapping; pass names with scores, such as"
            ' {"blur": Blur(min=20)}'
        )
    for name, score in (filters or {}).items():
        if not (hasattr(score, "maps") or hasattr(score, "score")):
            raise ArgumentError(
                f"filters[{name!r}]={shown(score)} has neither maps(pixels) nor score(pixels);"
                " pass an object such as Blur(min=20)"
            )
        _check_filter(name, score)
    keep = getattr(labels, "keep", None)
    if keep is not None and (
        isinstance(keep, str)
        or not isinstance(keep, Collection)
        or not all(isinstance(one, str) for one in keep)
    ):
        raise ConfigError(f"label.keep={keep!r} is invalid; use a list of labels, or null")
    for what, value, members in (
        ("labels", labels, ("shares", "assigned")),
        ("sampler", sampler, ("choose",)),
    ):
        missing = [name for name in members if value is not None and not hasattr(value, name)]
        if missing or isinstance(value, type):
            raise ArgumentError(
                f"{what}={shown(value)} has no {' and no '.join(missing) or 'values'}; pass an"
                f" instance of a class in tiler.{what if what == 'labels' else 'samplers'}"
            )


def _check_filter(name: object, score: object) -> None:
    """Refuse a filter whose name or attributes are invalid; tiler's own check their values, too."""
    if not isinstance(name, str) or name in ("", "label"):
        raise ConfigError(
            f"filter.{name}: this name is {'reserved' if name == 'label' else 'invalid'}; choose"
            " another text"
        )
    for key in ("min", "max", "mpp"):
        value = getattr(score, key, None)
        if value is None:
            continue
        if not is_number(value) or not math.isfinite(value) or (key == "mpp" and value <= 0):
            kind = "positive number" if key == "mpp" else "number"
            raise ConfigError(f"filter.{name}.{key}={value!r} is invalid; use a {kind}, or null")
    margin = getattr(score, "margin", 0)
    if not isinstance(margin, int) or margin < 0:
        raise ConfigError(
            f"filter.{name}: margin={margin!r} is invalid; use a whole number of pixels from 0"
        )


def check_source(source: object) -> None:
    """Refuse anything except an open slide.

    Raises
    ------
    ArgumentError
        If ``source`` is anything else.
    """
    if isinstance(source, str | Path):
        raise ArgumentError(
            f"source={shown(source)} is a path; pass an open slide: open_slide({str(source)!r})"
        )
    missing = [name for name in _NEEDED if not hasattr(source, name)]
    if missing:
        raise ArgumentError(
            f"source={shown(source)} is not a WSIReader (it has no {', '.join(missing)}); pass the"
            " result of open_slide(path)"
        )


def check_resolution(source: WSIReader, downsample: float) -> None:
    """Refuse a target finer than the scan, unless the slide allows upsampling.

    Raises
    ------
    ResolutionError
        If the target is finer; the error contains the factor.
    """
    plan_read(
        downsample,
        source.level_downsamples,
        slide=source.name,
        allow_upsampling=getattr(source, "allow_upsampling", False),
    )


def placed_regions(source: WSIReader, regions: Sequence[RegionSpec]) -> list[RegionSpec]:
    """Return regions with a downsample; regions without one get that of the given slide.

    Raises
    ------
    ArgumentError
        If an item is not a region.
    """
    if isinstance(regions, RegionSpec):
        raise ArgumentError(f"regions={shown(regions)} is one region; pass a list: [region]")
    placed = []
    for number, region in enumerate(regions):
        if not isinstance(region, RegionSpec):
            raise ArgumentError(
                f"regions[{number}]={shown(region)} is not a region; pass regions of extract(), or"
                " RegionSpec(…)"
            )
        downsample = region.downsample or region.resolution.downsample(source)
        placed.append(replace(region, downsample=downsample))
    return placed


def check_inside(source: WSIReader, regions: Sequence[RegionSpec]) -> None:
    """Refuse regions outside the slide; a region that crosses its edge is valid.

    Raises
    ------
    RegionError
        If a region is outside; the error names the first one and the slide's size.
    """
    width, height = source.dimensions
    for number, region in enumerate(regions):
        x, y, across, down = region.box0
        if x >= width or y >= height or x + across <= 0 or y + down <= 0:
            raise RegionError(
                f"regions[{number}] is outside slide {source.name}: its level-0 box is"
                f" {tuple(Box(x, y, across, down))}, the slide {width}x{height}; pass regions of"
                " this slide"
            )


def check_fitted(transforms: object) -> None:
    """Refuse anything except a sequence of fitted transforms.

    Raises
    ------
    ArgumentError
        If one of them is not callable.
    """
    if not isinstance(transforms, Sequence):
        raise ArgumentError(f"transforms={shown(transforms)} is not a sequence; pass a list")
    for number, transform in enumerate(transforms):
        if not callable(transform) or isinstance(transform, type):
            raise ArgumentError(
                f"transforms[{number}]={shown(transform)} is not fitted; pass the result of its"
                " fit(source, tissue)"
            )


def as_path(value: object, argument: str) -> Path:
    """Return an argument as a path.

    Raises
    ------
    ArgumentError
        If it is neither text nor a path.
    """
    if not isinstance(value, str | Path):
        raise ArgumentError(f"{argument}={shown(value)} is not a path; pass a str or a Path")
    return Path(value)
