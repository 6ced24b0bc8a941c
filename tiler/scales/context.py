"""Context tiles: concentric with a tile, of the same size in pixels, at another resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tiler.errors import ArgumentError, ConfigError, ResolutionError
from tiler.protocols import WSIReader
from tiler.regions import RegionSpec
from tiler.resolution import Level, Resolution


def resolutions_like(values: Sequence[float], like: Resolution, key: str) -> tuple[Resolution, ...]:
    """Return resolutions of the kind of another one: levels, magnifications or mpp.

    Raises
    ------
    ConfigError
        If a value is invalid or occurs twice; the error names ``key``.
    """
    found: list[Resolution] = []
    for value in values:
        whole = isinstance(like, Level) and float(value).is_integer()
        number: Any = int(value) if whole else value  # Level refuses others itself
        try:
            found.append(replace(like, value=number))
        except ConfigError as error:
            raise ConfigError(f"{key}={[*values]}: {error.in_config()}") from error
    _check_different(found, key)
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
    _check_different(context, "context")


def _check_different(resolutions: Sequence[Resolution], key: str) -> None:
    values = [resolution.value for resolution in resolutions]
    if len({*values}) < len(values):
        raise ConfigError(f"{key}={values}: a resolution occurs twice; remove one")


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


def check_available(
    source: WSIReader, own: Resolution, others: Sequence[Resolution], key: str = "context"
) -> None:
    """Refuse further resolutions that are not available for a slide.

    Parameters
    ----------
    source
        The slide. Its pixels are read only if one is finer than level 0.
    own
        The resolution of the tiles; an error about it comes first.
    others
        The further resolutions.
    key
        The setting that the error names.

    Raises
    ------
    ResolutionError
        If one does not exist or is finer than the scan.
    """
    if others:
        own.downsample(source)
    for resolution in others:
        try:
            if resolution.downsample(source) < min(source.level_downsamples):
                source.read_region((0, 0), (1, 1), resolution)  # the reader may allow it
        except ResolutionError as error:
            what = f"{key}={resolution.value}: {error.what}"
            raise ResolutionError(source.name, what, fix=error.fix) from error
