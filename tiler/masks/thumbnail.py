"""The base class of masks from a thumbnail: the thumbnail's size and the minimum areas."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from typing import ClassVar, Self

from tiler.checks.pixels import checked_pixels
from tiler.errors import ConfigError, Fix, LimitError
from tiler.geometry import Size
from tiler.masks.checks import amount, positive, whole
from tiler.masks.rim import refinement
from tiler.protocols import Pixels, WSIReader

MAX_PIXELS = 64_000_000
"""Maximum pixels of a thumbnail, and of a refined mask: at 8 µm, a glass of 75 x 52 mm."""


@dataclass(frozen=True, kw_only=True)
class ThumbnailMask:
    """The common settings of masks from a thumbnail.

    Parameters
    ----------
    mpp
        Microns per pixel of the thumbnail; never finer than level 0.
    max_side
        Maximum longer side of the thumbnail in pixels, for slides without mpp; the slide is
        never enlarged.
    min_tissue_mm2
        Pieces of tissue with a smaller area, in mm², are removed; None keeps all.
    min_tissue_fraction
        The same as a fraction of the thumbnail, for slides without mpp.
    min_hole_mm2
        Holes in tissue with a smaller area, in mm², are filled; None fills none.
    min_hole_fraction
        The same as a fraction of the thumbnail, for slides without mpp.
    refine
        A power of two: mask pixels along a pixel of the thumbnail. The rim of the tissue is decided
        again on them. None lets ``TileExtractor`` choose it: see ``for_tiles``.

    Raises
    ------
    ConfigError
        If a value is invalid; the error names it.
    """

    thresholds: ClassVar[bool] = True

    mpp: float = 8.0
    max_side: int = 2048
    min_tissue_mm2: float | None = 0.02
    min_tissue_fraction: float | None = 2e-4
    min_hole_mm2: float | None = 0.01
    min_hole_fraction: float | None = 1e-4
    refine: int | None = None

    def __post_init__(self) -> None:
        positive("mpp", self.mpp)
        whole("max_side", self.max_side, 1, 10_000)
        for field in ("min_tissue_mm2", "min_hole_mm2"):
            amount(field, getattr(self, field), math.inf)
        for field in ("min_tissue_fraction", "min_hole_fraction"):
            amount(field, getattr(self, field), 1.0)
        if self.refine is not None and whole("refine", self.refine, 1, 64).bit_count() != 1:
            raise ConfigError(
                f"mask.refine={self.refine!r} is invalid; use 1, 2, 4, 8, 16, 32, 64 or null"
            )

    def for_tiles(self, source: WSIReader, side: float) -> Self:
        """Return this mask with ``refine`` set for tiles of a shorter side in level-0 pixels.

        A tile is then at least ``tiler.masks.rim.TILE_PIXELS`` mask pixels wide, unless that is
        finer than level 0 or needs more than ``MAX_PIXELS``. A value that the user chose stays.
        """
        if self.refine is not None or not (source.bounds.width and source.bounds.height):
            return self
        fitting = copy(self)  # a subclass may have a constructor of its own
        object.__setattr__(fitting, "refine", refinement(side, self.downsample(source)))
        return fitting

    def divisions(self, size: Size) -> int:
        """Return ``refine`` for a thumbnail of ``size``: less if the mask becomes too large."""
        times = self.refine or 1
        while times > 1 and size.width * size.height * times**2 > MAX_PIXELS:
            times //= 2
        return times

    def downsample(self, source: WSIReader) -> float:
        """Return the level-0 pixels along a pixel of the thumbnail, before it is rounded."""
        longer = max(source.bounds.width, source.bounds.height)
        return max(1.0, longer / self.max_side if source.mpp is None else self.mpp / source.mpp)

    def thumbnail_size(self, source: WSIReader) -> Size:
        """Return the size in pixels of the thumbnail of a slide's bounded area.

        Raises
        ------
        LimitError
            If the size has more than ``MAX_PIXELS`` pixels.
        """
        width, height = source.bounds.width, source.bounds.height
        downsample = self.downsample(source)
        size = Size(max(1, round(width / downsample)), max(1, round(height / downsample)))
        if size.width * size.height > MAX_PIXELS:
            raise LimitError(
                source.name,
                f"mask.mpp={self.mpp:g} needs a thumbnail of {size.width}x{size.height}, more than"
                f" {MAX_PIXELS:_} pixels",
                fix=Fix(
                    "choose a larger mask.mpp", f"choose a larger {type(self).__name__}(mpp=…)"
                ),
            )
        return size

    def thumbnail(self, source: WSIReader, size: Size) -> Pixels:
        """Return the slide's bounded area at a size.

        Raises
        ------
        ComponentError
            If a user's reader returns something else.
        """
        return checked_pixels(source, "thumbnail", source.thumbnail(size), size)

    def least_areas(self, source: WSIReader, size: Size) -> tuple[float, float]:
        """Return the minimum areas of tissue and of holes, in pixels of a thumbnail of ``size``."""
        if source.mpp is None:
            tissue, hole, whole_area = self.min_tissue_fraction, self.min_hole_fraction, 1.0
        else:
            tissue, hole = self.min_tissue_mm2, self.min_hole_mm2
            whole_area = source.bounds.width * source.bounds.height * (source.mpp / 1000) ** 2
        per_unit = size.width * size.height / whole_area if whole_area else 0.0
        return (tissue or 0.0) * per_unit, (hole or 0.0) * per_unit
