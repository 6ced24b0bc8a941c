"""``TileExtractor``: a slide and a wish in, a list of tiles out.

Its work is four functions, each readable and testable alone: ``reference_level``,
``scale_mask``, ``scale_tile`` and ``walk_grid``. The reference frame is that of the pyramid's
lowest level, counted from the corner of the slide's bounds: mask and tiles meet there as
fractional numbers, and neither is ever resampled or rounded to its pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tiler.errors import ConfigError, MaskError, SlideError
from tiler.geometry import Box, Extent, Point, Size, is_number
from tiler.grid import Floats, Ints, axis_origins, coverage, product, settled
from tiler.protocols import Mask, MaskProvider, WSIReader
from tiler.regions import RegionMaskSpec, RegionSpec
from tiler.resolution import Resolution
from tiler.spec import Edge, MeasurementUnit, TileSpec

_SNAP = 1e-6  # target pixels; a slide of exactly n tiles must not lose one to float dust


@dataclass(frozen=True)
class Reference:
    """The pyramid's lowest level, as the common ruler of mask and tiles.

    Attributes
    ----------
    level
        Its index.
    downsample
        Target pixels per reference pixel.
    target_downsample
        Level-0 pixels per target pixel.
    """

    level: int
    downsample: float
    target_downsample: float


@dataclass(frozen=True)
class ScaledMask:
    """A mask and its place in the reference frame of the bounded area.

    ``per_pixel`` is the number of mask pixels per reference pixel, across and down.
    """

    mask: Mask
    per_pixel: Extent


@dataclass(frozen=True)
class ScaledTile:
    """A tile's size and stride: whole and exact target pixels, and the reference frame.

    ``stride`` may be fractional when it came from microns.
    """

    size: Size
    stride: Extent
    reference_size: Extent
    reference_stride: Extent


@dataclass(frozen=True)
class Cells:
    """All grid cells of a slide.

    Attributes
    ----------
    origins
        int64 (N, 2): x, y in absolute target pixels, row by row.
    ratios
        float64 (N,): mask coverage.
    footprints
        float64 (N, 4): left, top, right, bottom of each cell in mask pixels.
    """

    origins: Ints
    ratios: Floats
    footprints: Floats


def reference_level(source: WSIReader, resolution: Resolution) -> Reference:
    """Stage 1: the lowest-resolution level and its downsample relative to the target."""
    target = resolution.downsample(source)
    downsamples = source.level_downsamples
    level = max(range(len(downsamples)), key=lambda i: downsamples[i])
    return Reference(level, downsamples[level] / target, target)


def scale_mask(mask: npt.ArrayLike | None, source: WSIReader, reference: Reference) -> ScaledMask:
    """Stage 2: the mask, or an all-tissue one, stretched over the bounded area.

    Raises
    ------
    MaskError
        When the mask is not a two-dimensional array with pixels in it.
    """
    array = np.ones((1, 1), bool) if mask is None else np.asarray(mask) != 0
    if array.ndim != 2 or not array.size:
        raise MaskError(source.name, f"a mask has two dimensions; this one has shape {array.shape}")
    height, width = array.shape
    reference_downsample = reference.downsample * reference.target_downsample
    across = max(source.bounds.width, 1) / reference_downsample
    down = max(source.bounds.height, 1) / reference_downsample
    return ScaledMask(array, Extent(width / across, height / down))


def scale_tile(spec: TileSpec, source: WSIReader, reference: Reference) -> ScaledTile:
    """Stage 3: size and stride from pixels or microns into target and reference pixels.

    Raises
    ------
    ValueError
        When the unit is neither pixels nor microns.
    SlideError
        When a size in microns is less than a pixel of this slide.
    """
    if spec.unit is MeasurementUnit.PIXELS:
        factor = 1.0
    elif spec.unit is MeasurementUnit.UM:
        factor = 1 / spec.resolution.mpp(source)
    else:
        raise ConfigError(f"tile.unit={spec.unit!r}: must be pixels or um")
    size = Size(round(spec.size.width * factor), round(spec.size.height * factor))
    stride = Extent(spec.stride.width * factor, spec.stride.height * factor)
    if min(size) < 1 or min(stride) < 1:
        raise SlideError(
            source.name,
            f"tile.size={tuple(spec.size)} and tile.stride={tuple(spec.stride)} {spec.unit.value}"
            f" come out below one pixel at {spec.resolution.token}; choose larger ones",
        )
    per = reference.downsample
    return ScaledTile(
        size,
        stride,
        Extent(size.width / per, size.height / per),
        Extent(stride.width / per, stride.height / per),
    )


def walk_grid(
    source: WSIReader, reference: Reference, mask: ScaledMask, tile: ScaledTile, edge: Edge
) -> Cells:
    """Stage 4: every grid cell and its exact mask coverage."""
    area = _target_area(source.bounds, reference.target_downsample, edge)
    x = axis_origins(area.width, tile.size.width, tile.stride.width, edge) + area.x
    y = axis_origins(area.height, tile.size.height, tile.stride.height, edge) + area.y
    columns = _footprints(
        x, tile.reference_size.width, source.bounds.x, mask.per_pixel.width, reference
    )
    rows = _footprints(
        y, tile.reference_size.height, source.bounds.y, mask.per_pixel.height, reference
    )
    ratios = coverage(mask.mask, columns, rows)
    corners = product(np.arange(len(x)), np.arange(len(y)))
    left, top = columns[corners[:, 0]], rows[corners[:, 1]]
    footprints = np.stack([left[:, 0], top[:, 0], left[:, 1], top[:, 1]], axis=1)
    return Cells(product(x, y), ratios.ravel(), footprints)


class TileExtractor:
    """Cuts slides into tiles that hold enough tissue.

    Parameters
    ----------
    tile_spec
        Size, stride, resolution, unit and edge policy of the tiles.
    mask
        A static mask, (h, w), non-zero = tissue, stretched over a slide's bounded area.
    mask_provider
        Makes a mask for each slide; takes precedence over ``mask``.
    mask_threshold
        The least mean mask value of a tile that is kept, 0 (all) to 1.
    include_mask
        Whether each region carries its own piece of the mask (``RegionMaskSpec``).

    Attributes
    ----------
    source_ : WSIReader
        The slide it was last fitted to.
    slide_name_ : str
        That slide's name.
    mask_ : numpy.ndarray
        That slide's mask, bool (h, w).
    region_specs_ : list of RegionSpec
        What the last extraction found; empty until then.
    candidates_ : int
        How many grid cells the last extraction looked at.
    best_ratio_ : float
        The highest coverage among them; 0 where there were none.

    Examples
    --------
    >>> from tiler import MPP, TileExtractor, TileSpec
    >>> extractor = TileExtractor(TileSpec(256, resolution=MPP(0.5)), mask_threshold=0.5)
    """

    source_: WSIReader
    slide_name_: str
    mask_: Mask
    region_specs_: list[RegionSpec]
    candidates_: int
    best_ratio_: float

    def __init__(
        self,
        tile_spec: TileSpec,
        mask: npt.ArrayLike | None = None,
        mask_provider: MaskProvider | None = None,
        mask_threshold: float = 0.5,
        include_mask: bool = False,
    ) -> None:
        if not is_number(mask_threshold) or not 0 <= mask_threshold <= 1:
            raise ConfigError(f"threshold={mask_threshold!r}: must lie between 0 and 1")
        self.tile_spec = tile_spec
        self.mask = mask
        self.mask_provider = mask_provider
        self.mask_threshold = mask_threshold
        self.include_mask = include_mask
        self.region_specs_ = []

    def fit(self, source: WSIReader) -> TileExtractor:
        """Bind an open slide and make its mask.

        Returns
        -------
        TileExtractor
            Itself, so that ``extractor.fit(source).extract()`` chains.
        """
        reference = reference_level(source, self.tile_spec.resolution)
        self._scaled_mask = scale_mask(self._mask_of(source), source, reference)
        self._reference = reference
        self.source_ = source
        self.slide_name_ = source.name
        self.mask_ = self._scaled_mask.mask
        self.region_specs_ = []
        self.candidates_ = 0
        self.best_ratio_ = 0.0
        return self

    def extract(self, source: WSIReader | None = None) -> list[RegionSpec]:
        """All tiles whose coverage reaches the threshold, row by row.

        Parameters
        ----------
        source
            An open slide to fit to first; None for the one already fitted.

        Raises
        ------
        RuntimeError
            When no source is given and none was fitted before.
        """
        if source is not None:
            self.fit(source)
        slide = self._fitted()
        tile = scale_tile(self.tile_spec, slide, self._reference)
        cells = walk_grid(slide, self._reference, self._scaled_mask, tile, self.tile_spec.edge)
        kept = np.flatnonzero(cells.ratios >= self.mask_threshold)
        self.candidates_ = len(cells.ratios)
        self.best_ratio_ = float(cells.ratios.max(initial=0.0))
        self.region_specs_ = [self._region(cells, i, tile.size) for i in kept.tolist()]
        return self.region_specs_

    def fit_extract(self, source: WSIReader) -> list[RegionSpec]:
        """Fit to a slide and extract its tiles."""
        return self.fit(source).extract()

    def to_csv(self, output_dir: str | Path, regions: Sequence[RegionSpec] | None = None) -> Path:
        """Write ``<output_dir>/<slide_name>.csv``, one row per tile, and return its path.

        Raises
        ------
        RuntimeError
            When not fitted, or there are no regions.
        """
        from tiler.exporters.tables import write_csv

        chosen = self._chosen(regions)
        return write_csv(Path(output_dir), self.slide_name_, chosen)

    def to_json(
        self,
        output_dir: str | Path,
        regions: Sequence[RegionSpec] | None = None,
        indent: int | None = 2,
    ) -> Path:
        """Write ``<output_dir>/<slide_name>.json``, an array of objects, and return its path.

        Parameters
        ----------
        output_dir
            Created with its parents if need be.
        regions
            What to write; by default what was extracted last.
        indent
            Spaces per level; 0 or None for the compact form.

        Raises
        ------
        RuntimeError
            When not fitted, or there are no regions.
        """
        from tiler.exporters.tables import write_json

        chosen = self._chosen(regions)
        return write_json(Path(output_dir), self.slide_name_, chosen, indent)

    def save(
        self,
        output_dir: str | Path,
        regions: Sequence[RegionSpec] | None = None,
        max_workers: int = 4,
        extension: str = "png",
    ) -> list[Path]:
        """Read every tile and write it as an image into ``output_dir``.

        Files are named ``{slide}_x{x}_y{y}_w{w}_h{h}_{res}_r{ratio}.{ext}``.

        Parameters
        ----------
        output_dir
            Created with its parents if need be.
        regions
            What to write; by default what was extracted last.
        max_workers
            Number of threads.
        extension
            ``png``, ``jpeg``, ``webp`` or ``tiff``.

        Returns
        -------
        list of pathlib.Path
            The files, in the order of the regions.

        Raises
        ------
        RuntimeError
            When not fitted, there are no regions, or tiles failed; the others stay.
        """
        from tiler.exporters.images import save_tiles

        chosen = self._chosen(regions)
        return save_tiles(self._fitted(), chosen, Path(output_dir), max_workers, extension)

    def _mask_of(self, source: WSIReader) -> npt.ArrayLike | None:
        if self.mask_provider is None:
            return self.mask
        if not (source.bounds.width and source.bounds.height):
            return np.zeros((1, 1), bool)  # nothing was scanned, so there is nothing to look at
        return self.mask_provider.generate(source)

    def _fitted(self) -> WSIReader:
        if not hasattr(self, "source_"):
            raise RuntimeError("TileExtractor is not fitted: call fit(source) first")
        return self.source_

    def _chosen(self, regions: Sequence[RegionSpec] | None) -> Sequence[RegionSpec]:
        slide = self._fitted()
        chosen = self.region_specs_ if regions is None else regions
        if not chosen:
            raise RuntimeError(f"no regions to write for slide {slide.name}: call extract() first")
        return [
            replace(region, downsample=region.resolution.downsample(slide))
            if region.downsample is None
            else region
            for region in chosen
        ]

    def _region(self, cells: Cells, index: int, size: Size) -> RegionSpec:
        location = Point(*cells.origins[index].tolist())
        resolution = self.tile_spec.resolution
        downsample, ratio = self._reference.target_downsample, float(cells.ratios[index])
        if not self.include_mask:
            return RegionSpec(location, size, resolution, ratio, downsample)
        piece, footprint = _mask_piece(self.mask_, cells.footprints[index])
        return RegionMaskSpec(location, size, resolution, ratio, downsample, piece, footprint)


def _target_area(bounds: Box, downsample: float, edge: Edge) -> Box:
    """The bounded area in whole target pixels: inside it, or around it when padding."""
    inside = edge is not Edge.PAD
    sign = 1 if inside else -1
    low, high = (np.ceil, np.floor) if inside else (np.floor, np.ceil)
    x, y = (int(low(v / downsample - sign * _SNAP)) for v in (bounds.x, bounds.y))
    right = int(high((bounds.x + bounds.width) / downsample + sign * _SNAP))
    bottom = int(high((bounds.y + bounds.height) / downsample + sign * _SNAP))
    return Box(x, y, max(0, right - x), max(0, bottom - y))


def _footprints(
    origins: Ints, length: float, corner: int, per_pixel: float, reference: Reference
) -> Floats:
    """Begin and end of each cell of one axis in mask pixels: float64 (n, 2)."""
    start = origins / reference.downsample - corner / (
        reference.downsample * reference.target_downsample
    )
    return settled(np.stack([start, start + length], axis=1) * per_pixel)


def _mask_piece(mask: Mask, footprint: Floats) -> tuple[Mask, tuple[float, float, float, float]]:
    """The mask pixels that a footprint touches, and the footprint in them."""
    x0, y0, x1, y1 = footprint.tolist()
    left, top, right, bottom = math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)
    piece = np.zeros((bottom - top, right - left), bool)
    inside = mask[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    at_y, at_x = max(-top, 0), max(-left, 0)
    piece[at_y : at_y + inside.shape[0], at_x : at_x + inside.shape[1]] = inside
    return piece, (x0 - left, y0 - top, x1 - x0, y1 - y0)
