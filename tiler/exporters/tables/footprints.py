"""The size of a slide's tiles in the terms of other tools: magnifications, overlap, level 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tiler.geometry import Size
from tiler.protocols import WSIReader
from tiler.resolution import MPP, Level, Magnification, Resolution, level_at
from tiler.spec import MeasurementUnit, TileSpec

_AS_GIVEN = 1e-9
"""Relative difference below which a resolution is the configured one, not that of a level."""

_DUST = 1e-6
"""Pixels; a tile of exactly n pixels must not count as more because of float arithmetic."""


@dataclass(frozen=True)
class Footprint:
    """The tiles of a slide as numbers.

    Attributes
    ----------
    size, stride
        (width, height) in whole target pixels.
    downsample
        Level-0 pixels per target pixel.
    magnifications
        Those of level 0 and of the target, whose quotient is the downsample; None if the slide
        states neither mpp nor magnification.
    mpp
        Microns per target pixel; None if the slide does not state its mpp.
    """

    size: Size
    stride: Size
    downsample: float
    magnifications: tuple[float, float] | None
    mpp: float | None

    @property
    def overlap(self) -> Size:
        """Target pixels that neighbours share; negative for gaps between tiles."""
        return Size(self.size.width - self.stride.width, self.size.height - self.stride.height)

    @property
    def side0(self) -> int:
        """The width of a tile in level-0 pixels, rounded once for all tiles."""
        return round(self.size.width * self.downsample)


@dataclass(frozen=True)
class Read:
    """The pixels that a tool reads for each tile, before it resizes them.

    Attributes
    ----------
    level, side
        The level, and the width and height in its pixels.
    side0
        The same in level-0 pixels.
    """

    level: int
    side: int
    side0: float


def footprint(spec: TileSpec, source: WSIReader) -> Footprint:
    """Return the footprint of the tiles of an open slide.

    Raises
    ------
    SlideError
        If the slide does not state the mpp or magnification that the tiles need.
    """
    downsample = spec.resolution.downsample(source)
    return footprint_of(spec, source.mpp, source.magnification, downsample)


def footprint_of(
    spec: TileSpec, mpp: float | None, magnification: float | None, downsample: float
) -> Footprint:
    """Return the footprint of tiles, from the facts that ``slides.csv`` has of their slide.

    Parameters
    ----------
    spec
        The tiles.
    mpp, magnification
        Those of level 0; None if the slide does not state them.
    downsample
        Level-0 pixels per target pixel.
    """
    target = None if mpp is None else _as_given(spec.resolution, MPP, mpp * downsample)
    factor = 1.0
    if spec.unit is MeasurementUnit.UM and target is not None:
        factor = 1 / target
    width, height, across, down = (
        max(1, round(side * factor)) for side in (*spec.size, *spec.stride)
    )
    return Footprint(
        Size(width, height),
        Size(across, down),
        downsample,
        magnifications(spec.resolution, mpp, magnification, downsample),
        target,
    )


def magnifications(
    resolution: Resolution, mpp: float | None, magnification: float | None, downsample: float
) -> tuple[float, float] | None:
    """Return magnifications of level 0 and of a target, for tools that do not read an mpp.

    These tools compute microns per pixel as 10 / magnification. So a magnification is 10 / mpp if
    the slide states its mpp. It is the slide's own if the target is a magnification, or without
    mpp.

    Returns
    -------
    tuple or None
        Two floats whose quotient is the downsample; None if the slide states neither.
    """
    if magnification is not None and (isinstance(resolution, Magnification) or mpp is None):
        target = _as_given(resolution, Magnification, magnification / downsample)
        return float(magnification), target
    if mpp is None:
        return None
    return 10 / mpp, 10 / _as_given(resolution, MPP, mpp * downsample)


def _as_given(resolution: Resolution, kind: type[Resolution], computed: float) -> float:
    """Return the value of a resolution of a kind, or the computed value for another one."""
    value = float(resolution.value)
    same = isinstance(resolution, kind) and math.isclose(value, computed, rel_tol=_AS_GIVEN)
    return value if same else computed


def tool_folder(spec: TileSpec, found: Footprint) -> str:
    """Return the name of TRIDENT's folder for tiles: ``20x_256px_0px_overlap``.

    Tiles of a slide without magnification have the level in place of it: ``level1``.
    """
    if found.magnifications is not None:
        begin = f"{found.magnifications[1]:g}x"
    else:
        assert isinstance(spec.resolution, Level), "other targets need mpp or magnification"
        begin = f"level{spec.resolution.value}"
    return f"{begin}_{found.size.width}px_{found.overlap.width}px_overlap"


def numbered_alike(source: WSIReader) -> bool:
    """Return whether other tools give the slide's levels the same numbers."""
    return "levels" not in source.provenance  # else some images of the file are not used


def shared_levels(source: WSIReader) -> list[int]:
    """Return the levels that other tools number and place as tiler does; always level 0.

    Other tools read with OpenSlide. It also counts images that are no levels of the slide, and
    takes the quotient of two sizes for the downsample: see decision record 0003.
    """
    if not numbered_alike(source):
        return [0]
    return [
        0,
        *(level for level in range(1, len(source.level_downsamples)) if _alike(source, level)),
    ]


def _alike(source: WSIReader, level: int) -> bool:
    """Return whether OpenSlide's downsample moves no tile by more than a pixel of a level."""
    sides = [*zip(source.dimensions, source.level_dimensions[level], strict=True)]
    theirs = sum(whole / own for whole, own in sides) / len(sides)
    ours = source.level_downsamples[level]
    return max(source.dimensions) * abs(1 / ours - 1 / theirs) <= 1


def shared_level(downsample: float, source: WSIReader) -> int | None:
    """Return the level of ``shared_levels`` with exactly a downsample, if there is one."""
    level = level_at(downsample, source.level_downsamples)
    return level if level in shared_levels(source) else None


def coarsest_read(found: Footprint, source: WSIReader) -> Read:
    """Return the read at the coarsest level that covers all boxes to within one level-0 pixel.

    Boxes of tiles have whole pixels, so some are a pixel larger than others. A level coarser than
    the target is not read, except as level 0.
    """
    wanted = found.size.width * found.downsample
    least, most = math.ceil(wanted - _DUST) - 1, math.floor(wanted + _DUST) + 1
    for level in reversed(shared_levels(source)[1:]):
        own = source.level_downsamples[level]
        side = round(wanted / own)
        if side >= found.size.width and least <= side * own <= most:
            return Read(level, side, side * own)
    return Read(0, found.side0, found.side0)
