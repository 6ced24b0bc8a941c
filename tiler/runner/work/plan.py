"""The plan of a slide: its tiles, its row, and the pieces that tiles are exported in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tiler.checks.rule_results import checked_notes
from tiler.geometry import Size
from tiler.grid import Ints
from tiler.protocols import FittedTransform, WSIReader
from tiler.readers.deferred import DeferredReader, Known
from tiler.regions import Regions
from tiler.resolution import plan_read
from tiler.runner.work.cached import Shared, shared_work
from tiler.runner.work.fits import NO_FITS, Fits, fit_transforms
from tiler.runner.work.job import DroppedTile, SlideJob, SlideRow
from tiler.runner.work.shelf import Shelf
from tiler.selection import (
    BELOW_THRESHOLD,
    FILTER,
    LABEL,
    NOT_SAMPLED,
    UNREADABLE,
    Candidates,
)
from tiler.stages import as_regions

_PIECE_TILES = 64
"""The minimum number of tiles of a piece of work, so that handing it out costs little."""

_BLOCK_TILES = Size(16, 8)
_BLOCK_PIXELS = Size(8192, 4096)
"""The maximum size of a block in tiles and in pixels. Two rows of its native tiles fit into the
reader's cache, and little is decoded again at its edges."""


_OWN_COLUMNS = ("mpp", "magnification")
"""Keys of a slide's provenance that have a column of their own."""


@dataclass(frozen=True)
class SlidePlan:
    """Plan of a slide's output.

    Attributes
    ----------
    shared
        The work that other settings share.
    regions
        The tiles that passed.
    row
        The slide's row, as far as it is known before any tile is read.
    unreadable
        Tiles that a filter could not read, in the order of ``Regions``.
    candidates
        All cells, if they are wanted, or an exporter shows those that are not kept.
    transforms
        The transforms of the tiles' pixels, before they are encoded.
    fits
        The transforms with their facts.
    """

    shared: Shared
    regions: Regions
    row: SlideRow
    unreadable: tuple[DroppedTile, ...] = ()
    candidates: Candidates | None = None
    transforms: tuple[FittedTransform, ...] = ()
    fits: Fits = NO_FITS


def plan_slide(
    job: SlideJob, open_reader: Callable[[], WSIReader], *, all_cells: bool = False
) -> SlidePlan:
    """Find the tiles of a slide, which is opened only where the cache does not have them.

    Parameters
    ----------
    job
        The slide's job.
    open_reader
        Opens the slide.
    all_cells
        Whether the plan has all cells even if no exporter shows them.

    Raises
    ------
    SlideError
        If the slide cannot be read, or the requested resolution is not available.
    """
    extractor = job.extractor
    resolution = extractor.tile_spec.resolution
    shared, cells = shared_work(job, open_reader)
    mask = shared.slide_mask
    reader = DeferredReader(job.path, job.slide_id, shared.known, open_reader)
    candidates = extractor.judged(cells, job.slide_id)
    counts = candidates.decision.counts
    regions = as_regions(cells, candidates.decision.kept, resolution)
    unreadable = tuple(_unreadable(candidates, shared.unreadable))
    shelf = Shelf(job, (shared.source, shared.inputs))
    fits = fit_transforms(job, shared, reader, shelf) if regions and job.transforms else NO_FITS
    notes = [text for key, text in sorted(reader.provenance.items()) if key not in _OWN_COLUMNS]
    for exporter in job.exporters.values():
        notes += checked_notes(exporter, reader, job.slide_id)
    row = SlideRow(
        slide_id=job.slide_id,
        status="done" if regions else "done_empty",
        reason="" if regions else extractor.why_empty(reader, mask, candidates),
        candidates=cells.ratios.size,
        kept=len(regions),
        below_threshold=counts[BELOW_THRESHOLD],
        filtered={
            reason.removeprefix(FILTER): count
            for reason, count in counts.items()
            if reason == LABEL or reason.startswith(FILTER)
        },
        not_sampled=counts.get(NOT_SAMPLED, 0),
        dropped=len(unreadable),
        blank_native_tiles=_blank_native_tiles(
            shared.known, job.slide_id, regions, resolution.downsample(reader)
        ),
        coverage=sum(regions.ratios.tolist()) / len(regions) if regions else None,
        mask_fraction=mask.fraction,
        tissue_mm2=_tissue_mm2(mask.fraction, reader),
        requested=resolution.token,
        downsample=resolution.downsample(reader),
        effective_mpp=None if reader.mpp is None else resolution.mpp(reader),
        mpp=reader.mpp,
        mpp_source=reader.provenance["mpp"],
        magnification=reader.magnification,
        magnification_source=reader.provenance["magnification"],
        reader=shared.known.reader,
        notes="; ".join([*notes, *shared.remarks, *candidates.decision.notes, *fits.notes]),
        path=job.given,
    )
    shown = candidates if all_cells or job.shows_candidates else None
    return SlidePlan(shared.extended(shelf), regions, row, unreadable, shown, fits.transforms, fits)


def _unreadable(candidates: Candidates, causes: Mapping[tuple[int, int], str]) -> list[DroppedTile]:
    """Return the tiles that a filter could not read."""
    cells, decision = candidates.cells, candidates.decision
    if UNREADABLE not in decision.reasons:
        return []
    places = np.argwhere(decision.codes == decision.reasons.index(UNREADABLE)).tolist()
    return [
        DroppedTile(int(cells.x[column]), int(cells.y[row]), causes[row, column])
        for row, column in places
    ]


def mask_doubt(job: SlideJob, plan: SlidePlan) -> str:
    """Return a warning about a thresholding mask that found only tissue, or no tissue; else ""."""
    provider, fraction = job.extractor.mask_provider, plan.row.mask_fraction or 0.0
    thresholds = getattr(provider, "thresholds", hasattr(provider, "threshold"))
    bounds = plan.shared.known.facts.bounds
    if not thresholds or 0 < fraction < 1 or not (bounds.width and bounds.height):
        return ""
    if not fraction and not plan.row.candidates:
        return ""  # the slide is smaller than a tile, which its reason says
    found = "covers the whole slide" if fraction else "found no tissue"
    look = "look at exporter=overview, and choose another mask where that is wrong"
    # The mask's own explanation, such as the setting that removed all tissue, ends the reason.
    why = plan.row.reason.partition(" candidates): ")[2] or look
    return f"the mask ({type(provider).__name__}) {found}, mask_fraction={fraction:g}; {why}"


def _blank_native_tiles(
    known: Known, slide: str, regions: Regions, downsample: float
) -> int | None:
    """Return how many native tiles under the regions the file leaves out; None if unknown.

    They are counted in the level that the regions are read from.
    """
    sparse, levels = known.facts.sparse, known.facts.level_downsamples
    if sparse is None:
        return None
    plan = plan_read(downsample, levels, slide=slide, allow_upsampling=True)
    return sparse[plan.level].under(regions, plan.scale) if plan.level < len(sparse) else 0


def _tissue_mm2(fraction: float, reader: WSIReader) -> float | None:
    """Return the area of a mask's tissue: its share of the bounded area."""
    if reader.mpp is None:
        return None
    area_mm2 = reader.bounds.width * reader.bounds.height * (reader.mpp / 1000) ** 2
    return round(fraction * area_mm2, 6)


def pieces(regions: Regions) -> Iterator[Regions]:
    """Yield the regions in pieces of work: blocks of the slide, small ones put together."""
    order = in_blocks(regions)
    columns, rows = blocks_of(order)
    new_block = (np.diff(columns) != 0) | (np.diff(rows) != 0)
    start = 0
    for end in [*(np.flatnonzero(new_block) + 1).tolist(), len(order)]:
        if end - start >= _PIECE_TILES or start < end == len(order):
            yield order[start:end]
            start = end


def in_blocks(regions: Regions) -> Regions:
    """Return the regions block by block, row by row in each: neighbours share native tiles."""
    columns, rows = blocks_of(regions)
    return regions.take(np.lexsort((columns, rows)))  # stable


def blocks_of(regions: Regions) -> tuple[Ints, Ints]:
    """Return the column and the row of the block that each region begins in, (N,) each."""
    across, down = (
        length * max(1, min(tiles, pixels // length))
        for length, tiles, pixels in zip(regions.shape, _BLOCK_TILES, _BLOCK_PIXELS, strict=True)
    )
    return regions.locations[:, 0] // across, regions.locations[:, 1] // down


def readable(job: SlideJob, regions: Regions) -> Regions:
    """Return the regions without those that an earlier run could not read, if its files stay."""
    return regions.without({(tile.x, tile.y) for tile in job.dropped})
