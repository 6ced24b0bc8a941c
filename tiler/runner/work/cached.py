"""Work that settings share: a slide's mask, and the coverage of every grid cell by it.

Both depend on few of the settings, so a sweep over the others finds them in the cache. The facts
about a slide are shared too, so it need not even be opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from tiler.checks.error_places import is_tilers, targets_in
from tiler.cover.slide_mask import SlideMask
from tiler.cover.tissue import tissue_ids
from tiler.geometry import Box
from tiler.grid import Axes, Cells, Floats, Ints
from tiler.protocols import FitsTiles, Mask, WSIReader
from tiler.readers.deferred import DeferredReader, Known
from tiler.resolution import Resolution
from tiler.runner.store.arrays import Arrays, key_of
from tiler.runner.store.fingerprint import Fingerprint
from tiler.runner.work.columns import with_columns
from tiler.runner.work.job import SlideJob
from tiler.runner.work.shelf import Shelf, identity_of
from tiler.runner.work.worker_state import known_slide
from tiler.scales.context import check_available

_EDGES = ("columns", "rows")


@dataclass(frozen=True)
class Shared:
    """The work on a slide that settings share, and where it came from.

    Attributes
    ----------
    source, inputs
        The slide's fingerprint, and ``SlideJob.input_hashes``.
    known
        The facts about the slide.
    slide_mask
        The mask, as ``TileExtractor.make_mask`` returns it.
    keys
        The keys of the mask and of the grid in the cache.
    made, reused
        The kinds of arrays that were not in the cache, and of those that were: ``mask``, ``grid``,
        ``label``, ``score`` for each filter, and ``tissue sample`` for transforms.
    notes
        Remarks about entries that could not be used.
    remarks
        Remarks about mask and labels for the slide's row.
    unreadable
        The cause for each cell, (row, column), that has no scores because it cannot be read.
    """

    source: Fingerprint
    inputs: Mapping[str, str]
    known: Known
    slide_mask: SlideMask
    keys: tuple[str, str]
    made: tuple[str, ...]
    reused: tuple[str, ...]
    notes: tuple[str, ...]
    remarks: tuple[str, ...]
    unreadable: Mapping[tuple[int, int], str]

    @property
    def mask(self) -> Mask:
        """The mask's picture, bool (h, w)."""
        return self.slide_mask.picture

    def extended(self, shelf: Shelf) -> Shared:
        """Return this work with that of another shelf of the slide."""
        return replace(
            self,
            made=(*self.made, *shelf.made),
            reused=(*self.reused, *shelf.reused),
            notes=(*self.notes, *shelf.notes),
        )


def shared_work(job: SlideJob, open_reader: Callable[[], WSIReader]) -> tuple[Shared, Cells]:
    """Find the mask and the grid of a slide, or open it and make them.

    Raises
    ------
    SlideError
        If the slide cannot be read, or the requested resolution is not available.
    """
    spec, extractor = job.extractor.tile_spec, job.extractor

    @cache
    def opened() -> WSIReader:
        reader = open_reader()
        probe(reader, spec.resolution)
        return reader

    @cache
    def slide() -> DeferredReader:
        known = known_slide(job, source, open_reader)
        return DeferredReader(job.path, job.slide_id, known, open_reader)

    @cache
    def axes() -> Axes:
        return extractor.axes(slide(), mask.picture)

    def make_mask() -> Arrays:
        return extractor.make_mask(opened()).arrays()

    def make_grid() -> Arrays:
        bounds = np.array(opened().bounds, np.int64)
        columns, rows = axes().columns, axes().rows
        ratios, pieces = mask.ratios(columns, rows), tissue_ids(mask.picture, columns, rows)
        return {
            "bounds": bounds,
            "columns": columns,
            "rows": rows,
            "ratios": ratios,
            "tissue": pieces,
        }

    def read_grid(entry: Arrays) -> Cells:
        grid, where = grid_of(entry), axes()
        if not all(np.array_equal(vars(grid)[name], vars(where)[name]) for name in _EDGES):
            raise ValueError("is of another grid")
        return Cells(**vars(where), ratios=grid.ratios, values={"tissue_id": grid.tissue})

    shelf = Shelf(job, identity_of(job))
    source, inputs = shelf.identity
    check_available(slide(), spec.resolution, extractor.context)
    check_available(slide(), spec.resolution, job.pyramid, "pyramid")
    fits = isinstance(extractor.mask_provider, FitsTiles)
    fitted = repr(extractor.provider_for(slide())) if fits else None
    facts = {"slide": vars(source), "inputs": inputs, "fitted": fitted}
    mask_key = key_of({**facts, **_mask_facts(job)})
    mask = shelf.get("mask", mask_key, make_mask, SlideMask.from_arrays)
    grid_key = key_of({"mask": mask_key, **_grid_facts(job)})
    cells = shelf.get("grid", grid_key, make_grid, read_grid)
    if extractor.labels is not None or extractor.filters:
        cells = with_columns(cells, mask.picture, shelf, grid_key, slide, opened)
    found = Shared(
        source,
        inputs,
        slide().known,
        mask,
        (mask_key, grid_key),
        tuple(shelf.made),
        tuple(shelf.reused),
        tuple(shelf.notes),
        (*mask.notes, *shelf.remarks),
        shelf.unreadable,
    )
    return found, cells


def probe(reader: WSIReader, resolution: Resolution) -> None:
    """Read one pixel, so that a slide that opens but cannot be read never counts as done.

    Raises
    ------
    SlideError
        If it cannot be read, or the target is finer than the scan.
    """
    reader.read_region((0, 0), (1, 1), resolution)


def _mask_facts(job: SlideJob) -> dict[str, object]:
    """Return the facts that a mask depends on, except the slide and other files."""
    return {
        "reader": job.settings.get("reader"),
        "mask": job.settings.get("mask"),
        "slide_id": job.slide_id if _may_go_by_name(job) else None,
        "code": [job.tiler_code, *map(job.code.get, ("mask", "static mask", "reader"))],
    }


def _may_go_by_name(job: SlideJob) -> bool:
    """Return whether a mask may depend on the slide's name: one of a user, or one with files."""
    provider = job.extractor.mask_provider
    if provider is None:
        return False
    ours = is_tilers(type(provider).__module__) and all(
        map(is_tilers, targets_in(job.settings.get("mask")))
    )
    return not ours or hasattr(provider, "inputs")


def _grid_facts(job: SlideJob) -> dict[str, object]:
    """Return the facts that a grid depends on, except the mask."""
    code = [*map(job.code.get, ("tile", "resolution"))]
    return {"tile": repr(job.extractor.tile_spec), "code": code}


def mask_of(entry: Arrays) -> Mask:
    """Return the picture of the mask that an entry contains; ``ValueError`` if there is none."""
    return SlideMask.from_arrays(entry).picture


@dataclass(frozen=True)
class Grid:
    """Grid of a slide as the cache contains it.

    Attributes
    ----------
    bounds
        The slide's bounds, in level-0 pixels.
    columns, rows, ratios
        See ``Cells``.
    tissue
        The column ``tissue_id``.
    """

    bounds: Box
    columns: Floats
    rows: Floats
    ratios: Floats
    tissue: Ints


def grid_of(entry: Arrays) -> Grid:
    """Return the grid that an entry of the cache contains.

    Raises
    ------
    ValueError
        If it contains none, or one that cannot be.
    """
    try:
        bounds, columns, rows, ratios, tissue = (entry[name] for name in Grid.__annotations__)
    except KeyError:
        raise ValueError("contains no grid") from None
    kinds = [array.dtype.str[1:] for array in (bounds, columns, rows, ratios, tissue)]
    shapes = bounds.shape, columns.shape, rows.shape, tissue.shape
    wanted = (4,), (*ratios.shape[1:], 2), (*ratios.shape[:1], 2), ratios.shape
    if kinds != ["i8", "f8", "f8", "f8", "i8"] or ratios.ndim != 2 or shapes != wanted:
        raise ValueError("contains no grid")
    if not ((ratios >= 0) & (ratios <= 1)).all():  # NaN is neither
        raise ValueError("has coverages out of range")
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        raise ValueError("has cells that are nowhere")
    if (tissue < 0).any():
        raise ValueError("has negative numbers of tissue pieces")
    return Grid(Box(*bounds.tolist()), columns, rows, ratios, tissue)
