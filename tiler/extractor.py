"""``TileExtractor``: a slide and a wish in, a list of tiles out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tiler.checks.arguments import (
    check_inside,
    check_parameters,
    check_resolution,
    check_source,
    placed_regions,
)
from tiler.checks.mask_arrays import provided_mask, static_mask, with_masks
from tiler.geometry import Size
from tiler.protocols import Mask, MaskProvider, WSIReader
from tiler.regions import Regions, RegionSpec
from tiler.resolution import Resolution
from tiler.spec import TileSpec
from tiler.stages import (
    Axes,
    Cells,
    as_regions,
    grid_axes,
    reference_level,
    scale_mask,
    scale_tile,
    survivors,
    walk_grid,
    why_empty,
)


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
        check_parameters(tile_spec, mask, mask_provider, mask_threshold)
        self.tile_spec = tile_spec
        self.mask = mask
        self.mask_provider = mask_provider
        self.mask_threshold = mask_threshold
        self.include_mask = include_mask
        self.region_specs_ = []
        self._nothing_found = ""

    def fit(self, source: WSIReader) -> TileExtractor:
        """Bind an open slide and make its mask.

        Returns
        -------
        TileExtractor
            Itself, so that ``extractor.fit(source).extract()`` chains.

        Raises
        ------
        ArgumentError
            When ``source`` is no open slide.
        SlideError
            When it has no such resolution, or its mask cannot be made.
        """
        check_source(source)
        reference = reference_level(source, self.tile_spec.resolution)
        check_resolution(source, reference.target_downsample)  # refused before a mask is made
        self.mask_ = self.make_mask(source)
        self.source_ = source
        self.slide_name_ = source.name
        self.region_specs_ = []
        self.candidates_ = 0
        self.best_ratio_ = 0.0
        self._nothing_found = ""
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
        cells = self.walk(slide, self.mask_)
        self.candidates_ = cells.ratios.size
        self.best_ratio_ = float(cells.ratios.max(initial=0.0))
        regions = self.choose(slide, cells)
        self._nothing_found = "" if regions else self.why_empty(slide, self.mask_, cells)
        rows, columns = np.nonzero(cells.ratios >= self.mask_threshold)
        self.region_specs_ = (
            with_masks(regions, self.mask_, cells.columns[columns], cells.rows[rows])
            if self.include_mask
            else [*regions]
        )
        return self.region_specs_

    def make_mask(self, source: WSIReader) -> Mask:
        """A slide's mask by provider, static mask or, without either, all tissue: bool (h, w).

        Raises
        ------
        MaskError
            When it is invalid: see ``provided_mask`` and ``static_mask``.
        """
        if self.mask_provider is None:
            return static_mask(self.mask, source.name)
        if not (source.bounds.width and source.bounds.height):
            return np.zeros((1, 1), bool)  # nothing was scanned, so there is nothing to look at
        return provided_mask(self.mask_provider, source)

    def walk(self, source: WSIReader, mask: Mask) -> Cells:
        """Every grid cell of a slide and its coverage by a mask: the four stages in a row."""
        spec = self.tile_spec
        reference = reference_level(source, spec.resolution)
        scaled = scale_mask(mask, source, reference)
        return walk_grid(source, reference, scaled, scale_tile(spec, source, reference), spec.edge)

    def axes(self, source: WSIReader, mask: Mask) -> Axes:
        """Where the cells of a slide's grid lie: what ``walk`` finds, without their coverage."""
        spec = self.tile_spec
        reference = reference_level(source, spec.resolution)
        scaled, tile = scale_mask(mask, source, reference), scale_tile(spec, source, reference)
        return grid_axes(source, reference, scaled, tile, spec.edge)

    def choose(self, source: WSIReader, cells: Cells) -> Regions:
        """The cells of a slide that reach the threshold."""
        return survivors(cells, self.mask_threshold, *self._frame(source))

    def below_threshold(self, source: WSIReader, cells: Cells) -> Regions:
        """The cells of a slide that hold some tissue, but do not reach the threshold."""
        chosen = (cells.ratios > 0) & (cells.ratios < self.mask_threshold)
        return as_regions(cells, chosen, *self._frame(source))

    def _frame(self, source: WSIReader) -> tuple[Size, Resolution, float]:
        """A tile's size in target pixels, the resolution, and level-0 pixels per target pixel."""
        resolution = self.tile_spec.resolution
        reference = reference_level(source, resolution)
        size = scale_tile(self.tile_spec, source, reference).size
        return size, resolution, reference.target_downsample

    def why_empty(self, source: WSIReader, mask: Mask, cells: Cells) -> str:
        """Return the reason why no cell of a slide reaches the threshold."""
        spec, threshold = self.tile_spec, self.mask_threshold
        return why_empty(self.mask_provider, source, mask, cells, spec, threshold)

    def fit_extract(self, source: WSIReader) -> list[RegionSpec]:
        """Fit to a slide and extract its tiles."""
        return self.fit(source).extract()

    def to_csv(self, output_dir: str | Path, regions: Sequence[RegionSpec] | None = None) -> Path:
        """Write ``<output_dir>/<slide_name>.csv``, one row per tile, and return its resolved path.

        Raises
        ------
        RuntimeError
            When not fitted, there are no regions, or the file cannot be written.
        """
        from tiler.exporters.tables import write_csv

        chosen = self._chosen(regions)
        return write_csv(Path(output_dir), self.slide_name_, chosen).resolve()

    def to_json(
        self,
        output_dir: str | Path,
        regions: Sequence[RegionSpec] | None = None,
        indent: int | None = 2,
    ) -> Path:
        """Write ``<output_dir>/<slide_name>.json``, an array of objects; return its resolved path.

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
            When not fitted, there are no regions, or the file cannot be written.
        """
        from tiler.exporters.tables import write_json

        chosen = self._chosen(regions)
        return write_json(Path(output_dir), self.slide_name_, chosen, indent).resolve()

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
            ``png``, ``jpeg``, ``webp``, ``tiff``, or any other that Pillow writes; in any case.

        Returns
        -------
        list of pathlib.Path
            The files, in the order of the regions.

        Raises
        ------
        RuntimeError
            When not fitted, there are no regions, one lies outside the slide, the folder cannot
            be made, or tiles failed; the others stay.
        """
        from tiler.exporters.images import save_tiles

        slide, chosen = self._fitted(), self._chosen(regions)
        check_inside(slide, chosen)
        return save_tiles(slide, chosen, Path(output_dir), max_workers, extension)

    def _fitted(self) -> WSIReader:
        if not hasattr(self, "source_"):
            raise RuntimeError("TileExtractor is not fitted: call fit(source) first")
        return self.source_

    def _chosen(self, regions: Sequence[RegionSpec] | None) -> Sequence[RegionSpec]:
        slide = self._fitted()
        chosen = self.region_specs_ if regions is None else regions
        if not chosen:
            why = "call extract() first" if regions is None else "the list of regions is empty"
            if regions is None and self._nothing_found:
                why = (
                    f"extract() kept none of {self.candidates_} candidates ({self._nothing_found})"
                )
            raise RuntimeError(f"no regions to write for slide {slide.name}: {why}")
        return placed_regions(slide, chosen)
