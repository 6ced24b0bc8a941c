"""The four stages of an extraction, each a function that can be read and tested alone.

The reference frame is that of the pyramid's lowest level, counted from the corner of the slide's
bounds: mask and tiles meet there as fractional numbers, and neither is ever resampled or rounded
to its pixels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tiler.checks.mask_arrays import static_mask
from tiler.cover.slide_mask import SlideMask
from tiler.errors import ConfigError, LimitError, SlideError
from tiler.geometry import Box, Extent, Size, whole_box
from tiler.grid import (
    Axes,
    Cells,
    Floats,
    Ints,
    Reference,
    ScaledMask,
    ScaledTile,
    axis_count,
    axis_origins,
    settled,
)
from tiler.protocols import Mask, WSIReader
from tiler.regions import Regions
from tiler.resolution import Resolution, level_at
from tiler.spec import Edge, MeasurementUnit, TileSpec

MAX_CELLS = 50_000_000
"""Maximum cells of a slide's grid: about 2.5 GB while their coverage is computed."""

MAX_SIDE = (1 << 31) - 1
"""Maximum pixels of a tile's side."""

MAX_DOWNSAMPLE = 1e9
"""Maximum level-0 pixels per target pixel, and target pixels per level-0 pixel."""


def reference_level(source: WSIReader, resolution: Resolution) -> Reference:
    """Stage 1: the lowest-resolution level and its downsample relative to the target.

    Raises
    ------
    LimitError
        If the target is too fine or too coarse to count its pixels.
    """
    target = resolution.downsample(source)
    if not 1 / MAX_DOWNSAMPLE <= target <= MAX_DOWNSAMPLE:
        what = f"{resolution.token} is {target:.3g} level-0 pixels per pixel"
        raise LimitError(
            source.name,
            f"{what}; choose a resolution from {1 / MAX_DOWNSAMPLE:g} to {MAX_DOWNSAMPLE:g}",
        )
    downsamples = source.level_downsamples
    level = max(range(len(downsamples)), key=lambda i: downsamples[i])
    return Reference(level, downsamples[level] / target, target)


def scale_mask(mask: npt.ArrayLike | None, source: WSIReader, reference: Reference) -> ScaledMask:
    """Stage 2: the mask, or an all-tissue one, stretched over the bounded area.

    Raises
    ------
    MaskError
        If the mask is invalid: see ``static_mask``.
    """
    array = static_mask(mask, source.name)
    height, width = array.shape
    across = max(source.bounds.width, 1) / reference.downsample
    down = max(source.bounds.height, 1) / reference.downsample
    return ScaledMask(array, Extent(width / across, height / down))


def scale_tile(spec: TileSpec, source: WSIReader, reference: Reference) -> ScaledTile:
    """Stage 3: size and stride from pixels or microns into target and reference pixels.

    Raises
    ------
    ValueError
        If the unit is neither pixels nor microns.
    SlideError
        If a size in microns is less than a pixel of this slide, or far too large.
    """
    if spec.unit is MeasurementUnit.PIXELS:
        factor = 1.0
    elif spec.unit is MeasurementUnit.UM:
        factor = 1 / spec.resolution.mpp(source)
    else:
        raise ConfigError(f"tile.unit={spec.unit!r} is invalid; use pixels or um")
    sides = [side * factor for side in (*spec.size, *spec.stride)]
    if not max(sides) <= MAX_SIDE:
        raise LimitError(
            source.name,
            f"tiles of {sides[0]:.4g} x {sides[1]:.4g} pixels, {sides[2]:.4g} and {sides[3]:.4g}"
            f" apart, are larger than {MAX_SIDE:,}; choose a smaller tile.size and tile.stride",
        )
    size, stride = Size(round(sides[0]), round(sides[1])), Extent(*sides[2:])
    if min(size) < 1 or min(stride) < 1:
        raise SlideError(
            source.name,
            f"tile.size={tuple(spec.size)} and tile.stride={tuple(spec.stride)} {spec.unit.value}"
            f" are less than one pixel at {spec.resolution.token}; choose larger ones",
        )
    per = reference.target_per_reference
    return ScaledTile(size, stride, Extent(size.width / per, size.height / per))


def tile_side(spec: TileSpec, source: WSIReader) -> float:
    """Return the shorter side of a tile in level-0 pixels.

    Raises
    ------
    ValueError, SlideError
        As ``reference_level`` and ``scale_tile``.
    """
    reference = reference_level(source, spec.resolution)
    return min(scale_tile(spec, source, reference).size) * reference.target_downsample


def grid_axes(
    source: WSIReader, reference: Reference, mask: ScaledMask, tile: ScaledTile, edge: Edge
) -> Axes:
    """Stage 4, first half: the positions of the grid's columns and rows.

    Raises
    ------
    LimitError
        If the grid has too many cells; no memory is allocated for them.
    """
    area = _target_area(source, reference.target_downsample, edge)
    extents, origins = (area.width, area.height), (area.x, area.y)
    along = list(zip(extents, tile.size, tile.stride, strict=True))
    counts = [axis_count(*axis, edge) for axis in along]
    if max(counts) * max(1, min(counts)) > MAX_CELLS:
        raise LimitError(
            source.name,
            f"a grid of {counts[0]:,} x {counts[1]:,} cells is more than {MAX_CELLS:,}; choose a"
            " larger tile.stride or a coarser resolution",
        )
    x, y = (axis_origins(*axis, edge) + at for axis, at in zip(along, origins, strict=True))
    columns = _footprints(
        x, tile.reference_size.width, source.bounds.x, mask.per_pixel.width, reference
    )
    rows = _footprints(
        y, tile.reference_size.height, source.bounds.y, mask.per_pixel.height, reference
    )
    if level_at(reference.target_downsample, source.level_downsamples) is not None:
        # The last pixel of a level that was rounded up counts with its share inside the slide.
        (width, height), bounds = source.dimensions, source.bounds
        if bounds.right == width:
            _cut(columns, x + tile.size.width == area.right, mask.mask.shape[1])
        if bounds.bottom == height:
            _cut(rows, y + tile.size.height == area.bottom, mask.mask.shape[0])
    return Axes(x, y, columns, rows, tile.size, reference.target_downsample)


def _cut(edges: Floats, last: Mask, end: int) -> None:
    """End the last cells of an axis where the mask ends, in place."""
    edges[last, 1] = np.minimum(edges[last, 1], end)


def walk_grid(
    source: WSIReader,
    reference: Reference,
    mask: ScaledMask,
    tile: ScaledTile,
    edge: Edge,
    exact: SlideMask | None = None,
) -> Cells:
    """Stage 4: every grid cell and its exact coverage.

    Coverage is by ``mask``, or by ``exact`` if ``mask`` is the picture of a slide's mask.
    """
    axes = grid_axes(source, reference, mask, tile, edge)
    by = SlideMask.plain(mask.mask) if exact is None else exact
    return Cells(**vars(axes), ratios=by.ratios(axes.columns, axes.rows))


def as_regions(cells: Cells, chosen: Mask, resolution: Resolution) -> Regions:
    """Stage 4, end: return the ``chosen`` cells, bool (ny, nx), as regions, row by row."""
    rows, columns = np.nonzero(chosen)
    locations = np.stack([cells.x[columns], cells.y[rows]], axis=1)
    values = {name: values[chosen] for name, values in cells.values.items()}
    return Regions(
        locations,
        cells.ratios[chosen],
        cells.size,
        resolution,
        cells.downsample,
        {"row": rows, "column": columns, **values},
    )


def _target_area(source: WSIReader, downsample: float, edge: Edge) -> Box:
    """Return the bounded area in whole target pixels: inside it, or around it for padding.

    If the target is a level, the level's pixels determine the area: a pyramid omits or adds a
    partial pixel at the slide's end.
    """
    bounds = source.bounds
    area = whole_box(bounds, downsample, inside=edge is not Edge.PAD)
    level = level_at(downsample, source.level_downsamples)
    if level is None:
        return area
    ends = [
        stored if begin + length == whole else min(start + pixels, stored)
        for begin, length, whole, start, pixels, stored in zip(
            bounds[:2],
            bounds[2:],
            source.dimensions,
            area[:2],
            area[2:],
            source.level_dimensions[level],
            strict=True,
        )
    ]
    return Box(area.x, area.y, max(0, ends[0] - area.x), max(0, ends[1] - area.y))


def _footprints(
    origins: Ints, length: float, corner: int, per_pixel: float, reference: Reference
) -> Floats:
    """Return start and end of each cell of one axis in mask pixels: float64 (n, 2)."""
    start = origins / reference.target_per_reference - corner / reference.downsample
    return settled(np.stack([start, start + length], axis=1) * per_pixel)
