"""Values that the stages of an extraction pass on.

The reference frame is that of the pyramid's lowest level, counted from the corner of the slide's
bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiler.geometry import Extent, Size
from tiler.grid import Floats, Ints
from tiler.protocols import Mask


@dataclass(frozen=True)
class Reference:
    """The pyramid's lowest level, as the common ruler of mask and tiles.

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

    mask: Mask
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
        Of each cell, in target pixels.
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
    """

    ratios: Floats
