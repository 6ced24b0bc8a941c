"""Context tiles: concentric with a tile, of the same size in pixels, at another resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tiler.errors import ArgumentError, ConfigError, ResolutionError
from tiler.protocols import WSIReader
from tiler.regions import RegionSpec
from tiler.resolution import Level, Resolution


def context_resolutions(values: Sequence[float], like: Resolution) -> tuple[Resolution, ...]:
    """Return resolutions of the kind of another one: levels, magnifications or mpp.

    Raises
    ------
    ConfigError
        If a value is invalid; the error names ``context``.
    """
    found: list[Resolution] = []
    for value in values:
        whole = isinstance(like, Level) and float(value).is_integer()
        number: Any = int(value) if whole else value  # Level refuses others itself
        try:
            found.append(replace(like, value=number))
        except ConfigError as error:
            raise ConfigError(f"context={[*values]}: {error.in_config()}") from error
    return tuple(found)


def check_kinds(context: Sequence[Resolution], like: Resolution) -> None:
    """Refuse resolutions that are not different ones of the kind of another one.

    Raises
    ------
    ConfigError
        If one occurs twice; an ``ArgumentError`` if one is of another kind.
    """
    kind = type(like).__name__
    for resolution in context:
        if type(resolution) is not type(like):
            raise ArgumentError(
                f"context={[*context]}: {resolution!r} is no {kind}; use resolutions of the kind of"
                f" the tiles' own, {like!r}"
            )
    values = [resolution.value for resolution in context]
    if len({*values}) < len(values):
        raise ConfigError(f"context={values}: a resolution occurs twice; remove one")


def concentric(region: RegionSpec, downsample: float) -> tuple[float, float]:
    """Return the corner of the box of a region's shape, and of its centre, at another downsample.

    Parameters
    ----------
    region
        A tile with a downsample.
    downsample
        Level-0 pixels per pixel of the result.

    Returns
    -------
    tuple of float
        x, y in pixels of that downsample, absolute; fractional in general.
    """
    own = 1.0 if region.downsample is None else region.downsample
    (x, y), (width, height) = region.location, region.shape
    return (
        (x + width / 2) * own / downsample - width / 2,
        (y + height / 2) * own / downsample - height / 2,
    )


def suffix(resolution: Resolution) -> str:
    """Return the end of a context tile's name, before its extension, such as ``_c1.0``."""
    return f"_c{resolution.value}"


def check_context(source: WSIReader, own: Resolution, context: Sequence[Resolution]) -> None:
    """Refuse a context that is not available for a slide.

    Parameters
    ----------
    source
        The slide. Its pixels are read only if a context is finer than level 0.
    own
        The resolution of the tiles; an error about it comes first.
    context
        The resolutions of the context tiles.

    Raises
    ------
    ResolutionError
        If one is missing or finer than the scan; the error names ``context``.
    """
    if context:
        own.downsample(source)
    for resolution in context:
        try:
            if resolution.downsample(source) < min(source.level_downsamples):
                source.read_region((0, 0), (1, 1), resolution)  # the reader may allow it
        except ResolutionError as error:
            what = f"context={resolution.value}: {error.what}"
            raise ResolutionError(source.name, what, fix=error.fix) from error
