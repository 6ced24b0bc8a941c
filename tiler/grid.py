"""The grid: arrays in, arrays out, without slides, files or configuration.

A grid of tiles is the product of two axes, so everything here works on one axis at a time and
whole arrays at once. Order is row by row, x fastest. The reference frame is that of the pyramid's
lowest level, counted from the corner of the slide's bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.geometry import Extent, Size
from tiler.spec import Edge

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_DUST = 1e-11  # share of a tile's length: float rounding errors, far below any setting


@dataclass(frozen=True)
class Reference:
    """The pyramid's lowest level, the common frame of mask and tiles.

    Attributes
    ----------
    level
        Its index.
    target_per_reference
        Target pixels per reference pixel.
    target_downsample
        Level-0 pixels per target pixel.
    """

    level: int
    target_per_reference: float
    target_downsample: float

    @property
    def downsample(self) -> float:
        """Level-0 pixels per reference pixel."""
        return self.target_per_reference * self.target_downsample


@dataclass(frozen=True)
class ScaledMask:
    """A mask and its place in the reference frame of the bounded area.

    Attributes
    ----------
    mask
        bool (h, w).
    per_pixel
        Mask pixels per reference pixel, across and down.
    """

    mask: npt.NDArray[np.bool_]
    per_pixel: Extent


@dataclass(frozen=True)
class ScaledTile:
    """A tile's size and stride in target pixels, and its size in reference pixels.

    Attributes
    ----------
    size
        Whole target pixels.
    stride
        Target pixels; fractional when it came from microns.
    reference_size
        Reference pixels, fractional.
    """

    size: Size
    stride: Extent
    reference_size: Extent


@dataclass(frozen=True)
class Axes:
    """The two axes of a slide's grid.

    Attributes
    ----------
    x, y
        int64 (nx,) and (ny,): where columns and rows of cells begin, in absolute target pixels.
    columns, rows
        float64 (nx, 2) and (ny, 2): where they begin and end, in mask pixels.
    size
        The size of each cell in target pixels.
    downsample
        Level-0 pixels per target pixel.
    """

    x: Ints
    y: Ints
    columns: Floats
    rows: Floats
    size: Size
    downsample: float


@dataclass(frozen=True)
class Cells(Axes):
    """All grid cells of a slide: the product of two axes.

    Attributes
    ----------
    ratios
        float64 (ny, nx): mask coverage.
    values
        Further columns of cells by name, (ny, nx) each: ``tissue_id``, ``label_<class>``,
        ``label``, ``score_<filter>``, in this order.
    """

    ratios: Floats
    values: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


def axis_count(extent: int, size: int, stride: float, edge: Edge) -> int:
    """Return the maximum number of tiles of an axis, without allocating memory for them."""
    if extent <= 0 or (size > extent and edge is not Edge.PAD):
        return 0
    return math.ceil(max(extent - size, 0) / stride) + 2


def axis_origins(extent: int, size: int, stride: float, edge: Edge) -> Ints:
    """Return the starts of the tiles of one axis, from the start of the area.

    Parameters
    ----------
    extent
        Length of the area in whole target pixels.
    size
        Length of a tile in the same pixels.
    stride
        Distance of neighbouring tiles, which may be fractional when it came from microns.
    edge
        The policy for tiles that would cross the end: see ``Edge``.

    Returns
    -------
    numpy.ndarray
        int64 (n,), increasing, each ``rint(i * stride)`` except shifted ones.
    """
    count = axis_count(extent, size, stride, edge)
    if not count:
        return np.empty(0, np.int64)
    origins = np.rint(np.arange(count) * stride).astype(np.int64)
    inside: Ints = origins[origins + size <= extent]
    if edge is Edge.DROP or (inside.size and inside[-1] + size == extent):
        return inside
    following = origins[inside.size]
    if following >= extent:  # a stride longer than the tile leaves gaps, at the end as well
        return inside
    return np.append(inside, extent - size if edge is Edge.SHIFT else following)


def settled(edges: Floats) -> Floats:
    """Return cells' begins and ends, (n, 2), with rounding errors of floats removed.

    The tolerance is a share of the cell's own length: a large cell and a tiny one, as of a
    mask of a single pixel, are placed equally well.
    """
    nearest = np.rint(edges)
    dusty = np.abs(edges - nearest) < _DUST * np.diff(edges)
    return np.where(dusty, nearest, edges)


def coverage(mask: npt.NDArray[np.bool_], x_edges: Floats, y_edges: Floats) -> Floats:
    """Return the mean mask value over the fractional footprint of every cell of a grid.

    A summed-area table gives the mask's sum left of and above any whole pixel; between pixels it
    is linear, so its interpolation is the exact area-weighted sum. Outside the mask is 0. The table
    has only the rows at which cells begin or end, so a large mask needs little memory.

    Parameters
    ----------
    mask
        bool (h, w).
    x_edges
        float (nx, 2): where each column of cells begins and ends, in mask pixels.
    y_edges
        float (ny, 2): the same for rows of cells.

    Returns
    -------
    numpy.ndarray
        float64 (ny, nx), each between 0 and 1.
    """
    x_edges, y_edges = settled(x_edges), settled(y_edges)
    height, width = mask.shape
    first, last, _ = _lines(y_edges, height)
    rows = np.unique(np.concatenate([[0], first, first + 1, last, last + 1]))
    sums = np.add.reduceat(mask, rows[rows < height], axis=0, dtype=np.int64)[: len(rows) - 1]
    table = np.zeros((len(rows), width + 1), np.int64)
    np.cumsum(sums, axis=0, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    band = between(table, y_edges, rows)
    mass = between(np.ascontiguousarray(band.T), x_edges).T
    area = np.outer(np.diff(y_edges)[:, 0], np.diff(x_edges)[:, 0])
    return rounded_ratios(np.clip(mass / area, 0.0, 1.0))


def rounded_ratios(ratios: Floats) -> Floats:
    """Return ratios, each within 1e-11 of a decimal with six places set to that decimal.

    A coverage that equals a decimal threshold then reaches it, whatever float arithmetic lost.
    """
    written = np.round(ratios, 6)
    return np.where(np.abs(ratios - written) < _DUST, written, ratios)


def between(table: Ints | Floats, edges: Floats, lines: Ints | None = None) -> Floats:
    """Return the growth of a running sum along axis 0 between two positions: (n, ...).

    Row i of the table is the sum up to pixel edge ``lines[i]``, or i if None. Each edge is between
    two neighbouring whole numbers of ``lines``, or beyond the mask's end.
    """
    lines = np.arange(len(table)) if lines is None else lines
    first, last, inner = _lines(edges, int(lines[-1]))
    head, tail = inner[:, :, None]
    begin, end = np.searchsorted(lines, first), np.searchsorted(lines, last)
    # Whole rows are subtracted as exact integers, before fractions are added.
    whole = table[end] - table[begin]
    last_row = table[end + 1] - table[end]
    first_row = table[begin + 1] - table[begin]
    return np.asarray(whole + tail * last_row - head * first_row, np.float64)


def _lines(edges: Floats, length: int) -> tuple[Ints, Ints, Floats]:
    """Return the pixels in which cells begin and end, and the parts of those before the edges."""
    positions = np.clip(edges, 0, length).T
    pixels = np.minimum(positions.astype(np.int64), max(length - 1, 0))
    return pixels[0], pixels[1], positions - pixels
