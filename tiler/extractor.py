"""``TileExtractor``: from a slide and a tile specification to a list of tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.checks.arguments import check_parameters, check_resolution, check_rules, check_source
from tiler.checks.empty import why_empty
from tiler.checks.mask_arrays import provided_slide_mask, static_mask, with_masks
from tiler.checks.rule_results import checked_shares
from tiler.cover.slide_mask import SlideMask
from tiler.cover.tissue import tissue_ids
from tiler.exporters.region_writer import RegionWriter
from tiler.grid import Axes, Cells, Reference
from tiler.protocols import FitsTiles, Labels, Mask, MaskProvider, Sampler, Score, WSIReader
from tiler.regions import RegionSpec
from tiler.resolution import Resolution
from tiler.scales.context import check_available, check_kinds
from tiler.selection import Candidates, Rules, decide, label_columns, level0_edges, score_column
from tiler.spec import TileSpec
from tiler.stages import (
    as_regions,
    grid_axes,
    reference_level,
    scale_mask,
    scale_tile,
    tile_side,
    walk_grid,
)


class TileExtractor(RegionWriter):
    """Cut slides into tiles that contain enough tissue.

    Parameters
    ----------
    tile_spec
        Size, stride, resolution, unit and edge policy of the tiles.
    mask
        A static mask, (h, w), non-zero = tissue, stretched over a slide's bounded area.
    mask_provider
        Makes a mask for each slide; takes precedence over ``mask``.
    mask_threshold
        The minimum mean mask value of a kept tile, 0 (all) to 1.
    include_mask
        Whether each region carries its own piece of the mask (``RegionMaskSpec``).
    filters
        Scores with limits that a kept tile has to meet, such as ``{"blur": Blur(min=20)}``: see
        ``tiler.scores``.
    labels
        Gives tiles their shares of classes and a label: see ``tiler.labels``.
    sampler
        Chooses among the tiles that pass all other rules: see ``tiler.samplers``.
    context
        Resolutions, of the kind of the tiles' own, at which ``save`` also writes a concentric tile
        of the same size in pixels. It does not affect which tiles are kept.

    Attributes
    ----------
    source_ : WSIReader
        The slide of the last fit.
    slide_name_ : str
        That slide's name.
    mask_ : numpy.ndarray
        That slide's mask, bool (h, w); of a mask with an exact area, a picture of it.
    region_specs_ : list of RegionSpec
        The regions of the last extraction; empty before.
    candidates_ : dict of str to numpy.ndarray
        All grid cells of the last extraction as columns, (N,) each, row by row; empty before. The
        column ``decision`` is ``kept``, or the rule that dropped the cell.
    best_ratio_ : float
        The highest coverage among them; 0 without cells.

    Examples
    --------
    >>> from tiler import MPP, TileExtractor, TileSpec
    >>> extractor = TileExtractor(TileSpec(256, resolution=MPP(0.5)), mask_threshold=0.5)
    """

    mask_: Mask
    best_ratio_: float
    _reference: Reference
    _slide_mask: SlideMask

    def __init__(
        self,
        tile_spec: TileSpec,
        mask: npt.ArrayLike | None = None,
        mask_provider: MaskProvider | None = None,
        mask_threshold: float = 0.5,
        include_mask: bool = False,
        filters: Mapping[str, Score] | None = None,
        labels: Labels | None = None,
        sampler: Sampler | None = None,
        context: Sequence[Resolution] = (),
    ) -> None:
        check_parameters(tile_spec, mask, mask_provider, mask_threshold)
        check_rules(filters, labels, sampler)
        check_kinds(context, tile_spec.resolution)
        self.tile_spec = tile_spec
        self.mask = mask
        self.mask_provider = mask_provider
        self.mask_threshold = mask_threshold
        self.include_mask = include_mask
        self.filters = filters
        self.labels = labels
        self.sampler = sampler
        self.context = context
        self.region_specs_, self._nothing_found = [], ""

    def fit(self, source: WSIReader) -> TileExtractor:
        """Bind an open slide and make its mask.

        Returns
        -------
        TileExtractor
            Itself, so that ``extractor.fit(source).extract()`` chains.

        Raises
        ------
        ArgumentError
            If ``source`` is no open slide.
        SlideError
            If the resolution is not available, or the mask cannot be made.
        """
        check_source(source)
        reference = reference_level(source, self.tile_spec.resolution)
        check_resolution(source, reference.target_downsample)  # refused before a mask is made
        check_available(source, self.tile_spec.resolution, self.context)
        self._slide_mask = self.make_mask(source)
        self.mask_ = self._slide_mask.picture
        self._reference = reference
        self.source_, self.slide_name_ = source, source.name
        self.region_specs_, self.candidates_ = [], {}
        self.best_ratio_, self._nothing_found = 0.0, ""
        return self

    def extract(self, source: WSIReader | None = None) -> list[RegionSpec]:
        """Return all tiles that pass the threshold and all other rules, row by row.

        Parameters
        ----------
        source
            An open slide to fit to first; None for the one already fitted.

        Raises
        ------
        RuntimeError
            If no source is given and none was fitted before.
        """
        if source is not None:
            self.fit(source)
        slide = self._fitted()
        mask = self._slide_mask
        cells = self.measured(slide, mask.picture, self._walk(slide, mask, self._reference))
        candidates = self.judged(cells, slide.name)
        self.candidates_ = candidates.columns()
        self.best_ratio_ = float(cells.ratios.max(initial=0.0))
        kept = candidates.decision.kept
        regions = as_regions(cells, kept, self.tile_spec.resolution)
        self._nothing_found = "" if regions else self.why_empty(slide, mask, candidates)
        self.region_specs_ = [*regions]
        if self.include_mask:
            rows, columns = np.nonzero(kept)
            edges = cells.columns[columns], cells.rows[rows]
            self.region_specs_ = with_masks(regions, self.mask_, *edges)
        return self.region_specs_

    def make_mask(self, source: WSIReader) -> SlideMask:
        """Return a slide's mask: from the provider, the static mask, or all tissue.

        Raises
        ------
        MaskError
            If it is invalid: see ``provided_slide_mask`` and ``static_mask``.
        """
        provider = self.provider_for(source)
        if provider is None:
            return SlideMask.plain(static_mask(self.mask, source.name))
        if not (source.bounds.width and source.bounds.height):
            return SlideMask.plain(np.zeros((1, 1), bool))  # nothing scanned, so no tissue
        return provided_slide_mask(provider, source)

    def provider_for(self, source: WSIReader) -> MaskProvider | None:
        """Return the mask provider, fitted to the size of the tiles on a slide if it can be."""
        provider = self.mask_provider
        if isinstance(provider, FitsTiles):
            return provider.for_tiles(source, tile_side(self.tile_spec, source))
        return provider

    def walk(self, source: WSIReader, mask: SlideMask) -> Cells:
        """Return every grid cell of a slide and its coverage by a mask: the four stages."""
        return self._walk(source, mask, reference_level(source, self.tile_spec.resolution))

    def _walk(self, source: WSIReader, mask: SlideMask, reference: Reference) -> Cells:
        spec = self.tile_spec
        scaled = scale_mask(mask.picture, source, reference)
        tile = scale_tile(spec, source, reference)
        return walk_grid(source, reference, scaled, tile, spec.edge, mask)

    def axes(self, source: WSIReader, mask: Mask) -> Axes:
        """Return the positions of a slide's grid cells: ``walk`` without their coverage."""
        reference = reference_level(source, self.tile_spec.resolution)
        scaled = scale_mask(mask, source, reference)
        tile = scale_tile(self.tile_spec, source, reference)
        return grid_axes(source, reference, scaled, tile, self.tile_spec.edge)

    def measured(self, source: WSIReader, mask: Mask, cells: Cells) -> Cells:
        """Return cells with all their columns: tissue ids, labels and scores.

        Raises
        ------
        SlideError
            If annotations or pixels cannot be read.
        """
        values: dict[str, Any] = {"tissue_id": tissue_ids(mask, cells.columns, cells.rows)}
        if self.labels is not None:
            edges = level0_edges(cells, mask, source.bounds)
            shares = self.labels.shares(source, *edges)
            shares = checked_shares(self.labels, shares, cells.ratios.shape, source.name)
            values |= label_columns(self.labels, shares, cells, source.name)
        if self.filters:
            from tiler.scores.measure import measured

            wanted = cells.ratios >= self.mask_threshold
            scores = measured(self.filters, source, cells, wanted, self.tile_spec.resolution)
            values |= {score_column(name): scores[name] for name in self.filters}
        return replace(cells, values=values)

    def judged(self, cells: Cells, slide: str) -> Candidates:
        """Return the decision about every cell of a slide; the cells have all their columns."""
        rules = Rules(self.mask_threshold, self.filters or {}, self.labels, self.sampler)
        return Candidates(cells, decide(cells, rules, slide))

    def why_empty(self, source: WSIReader, mask: SlideMask, candidates: Candidates) -> str:
        """Return the reason why no cell of a slide is kept."""
        provider, threshold = self.mask_provider, self.mask_threshold
        return why_empty(provider, source, mask, candidates, self.tile_spec, threshold)

    def fit_extract(self, source: WSIReader) -> list[RegionSpec]:
        """Fit to a slide and extract its tiles."""
        return self.fit(source).extract()
