"""Parents of tiles: cells of a shared grid at coarser resolutions, each the parent of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.cover.slide_mask import SlideMask
from tiler.errors import ConfigError
from tiler.geometry import Size, whole_box
from tiler.grid import Floats, Ints, settled
from tiler.protocols import WSIReader
from tiler.regions import Regions
from tiler.resolution import Magnification, Resolution
from tiler.scales.context import resolutions_like

PARENT = "parent_id"
"""The column with a tile's or a parent's own parent: the ``id`` of a row of the pyramid's table."""

_DUST = 1e-9  # cells; a centre on the edge of two cells must not move by float arithmetic


def pyramid_resolutions(values: Sequence[float], like: Resolution) -> tuple[Resolution, ...]:
    """Return the resolutions of parents, the finest first.

    Raises
    ------
    ConfigError
        If a value is invalid, occurs twice, or is not coarser than the tiles' own resolution.
    """
    sign = -1 if isinstance(like, Magnification) else 1
    found = sorted(
        resolutions_like(values, like, "pyramid"), key=lambda resolution: sign * resolution.value
    )
    for resolution in found:
        if sign * resolution.value <= sign * like.value:
            raise ConfigError(
                f"pyramid={[*values]}: {resolution.token} is not coarser than the tiles,"
                f" {like.token}; use coarser resolutions"
            )
    return tuple(found)


def with_parents(
    regions: Regions, source: WSIReader, mask: SlideMask, pyramid: Sequence[Resolution]
) -> tuple[Regions, list[Regions]]:
    """Return a slide's tiles with the column ``parent_id``, and their parents.

    Cells have the tiles' size in pixels and do not overlap. The first one begins at the corner of
    the bounds, in whole pixels. The parent of a tile or of a cell is the cell of the next coarser
    resolution that contains its centre.

    Parameters
    ----------
    regions
        The kept tiles.
    source
        The slide's facts.
    mask
        The slide's mask, for the coverage of the parents.
    pyramid
        The resolutions of the parents, the finest first.

    Returns
    -------
    tuple
        The tiles; the parents of each resolution with the columns ``id`` and ``parent_id``, as
        text, in the order of their ids: row by row, counted from 0 over all resolutions.
    """
    tiles, below, parents, first = regions, regions, list[Regions](), 0
    for resolution in pyramid:
        cells, inverse = _cells(below, source, mask, resolution)
        found = inverse + first
        if parents:
            parents[-1] = _with_column(parents[-1], found.astype(str))
        else:
            tiles = _with_column(regions, found)
        ids = np.arange(first, first + len(cells)).astype(str)
        below = replace(cells, columns={"id": ids, PARENT: np.full(len(cells), "")})
        parents.append(below)
        first += len(cells)
    return tiles, parents


def _with_column(regions: Regions, parents: npt.NDArray[Any]) -> Regions:
    return replace(regions, columns={**regions.columns, PARENT: parents})


def _cells(
    below: Regions, source: WSIReader, mask: SlideMask, resolution: Resolution
) -> tuple[Regions, Ints]:
    """Return the cells that contain the centres of regions, and the cell of each region."""
    downsample = resolution.downsample(source)
    area = whole_box(source.bounds, downsample, inside=False)
    corner, size = np.array([area.x, area.y]), np.array(below.shape)
    own = 1.0 if below.downsample is None else below.downsample
    centres = (below.locations + size / 2) * (own / downsample)
    places = np.floor((centres - corner) / size + _DUST).astype(np.int64)
    order, inverse = np.unique(places[:, ::-1], axis=0, return_inverse=True)
    locations = corner + order[:, ::-1] * size
    ratios = _coverage(locations, below.shape, downsample, source, mask)
    cells = Regions(locations, ratios, below.shape, resolution, downsample)
    return cells, inverse.reshape(-1).astype(np.int64)


def _coverage(
    locations: Ints, shape: Size, downsample: float, source: WSIReader, mask: SlideMask
) -> Floats:
    """Return the exact share of mask in some cells of a grid."""
    if not len(locations):
        return np.empty(0)
    edges, at = list[Floats](), list[Ints]()
    bounds, pixels = source.bounds, mask.picture.shape[::-1]
    axes = zip(locations.T, shape, bounds[:2], bounds[2:], pixels, strict=True)
    for places, side, begin, length, count in axes:
        starts, inverse = np.unique(places, return_inverse=True)
        ends = np.stack([starts, starts + side], axis=1) * downsample
        edges.append(settled((ends - begin) * (count / length)))
        at.append(inverse)
    ratios: Floats = mask.ratios(edges[0], edges[1])[at[1], at[0]]
    return ratios
