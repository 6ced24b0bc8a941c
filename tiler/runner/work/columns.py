"""Labels and scores of a slide's cells, from the cache or made.

Neither limits of filters nor rules for labels are part of a key: to change them costs no pixel.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.checks.rule_results import checked_notes, checked_shares
from tiler.grid import Cells, Floats
from tiler.process.startup import default_threads
from tiler.protocols import Mask, WSIReader
from tiler.runner.store.arrays import Arrays, key_of
from tiler.runner.work.job import SlideJob
from tiler.runner.work.shelf import Shelf
from tiler.selection import label_columns, level0_edges, score_column

_LIMITS = ("min", "max")
"""Settings of a filter that decide about its scores, but do not change them."""

_LABEL_RULES = ("assign", "threshold", "keep")
"""Settings of labels that decide about shares, but do not change them."""


_SHARE = "share."
_NOTES = "notes"
"""Names of arrays in the cache: the shares of each class, and remarks for the slide's row."""


def with_columns(
    cells: Cells,
    mask: Mask,
    shelf: Shelf,
    grid_key: str,
    slide: Callable[[], WSIReader],
    opened: Callable[[], WSIReader],
) -> Cells:
    """Return cells with the columns of labels and scores.

    Parameters
    ----------
    cells
        The grid and its coverage.
    mask
        The mask in whose pixels the edges of the cells are.
    shelf
        The cache of the slide.
    grid_key
        The key of its grid.
    slide
        Returns the slide's facts.
    opened
        Opens the slide, for its pixels.

    Raises
    ------
    SlideError
        If annotations or pixels cannot be read.
    """
    job = shelf.job
    values: dict[str, npt.NDArray[Any]] = dict(cells.values)
    labels = job.extractor.labels
    if labels is not None:
        key = key_of({"grid": grid_key, "labels": _label_facts(job)})

        def make() -> Arrays:
            found = labels.shares(slide(), *level0_edges(cells, mask, slide().bounds))
            shares = checked_shares(labels, found, cells.ratios.shape, job.slide_id)
            remarks = checked_notes(labels, slide(), job.slide_id)
            notes = "\n".join(remarks).encode()
            return {
                **{_SHARE + name: share for name, share in shares.items()},
                _NOTES: np.frombuffer(notes, np.uint8).copy(),
            }

        def read(entry: Arrays) -> tuple[dict[str, Floats], tuple[str, ...]]:
            shares = {
                name.removeprefix(_SHARE): share
                for name, share in entry.items()
                if name.startswith(_SHARE)
            }
            for share in shares.values():
                _check(share, cells.ratios.shape)
            if _NOTES not in entry:
                raise ValueError("contains no labels")
            return shares, tuple(entry[_NOTES].tobytes().decode().splitlines())

        shares, notes = shelf.get("label", key, make, read)
        shelf.remarks += notes
        values |= label_columns(labels, shares, cells, job.slide_id)
    values |= _scores(cells, shelf, grid_key, opened)
    return replace(cells, values=values)


def _scores(
    cells: Cells, shelf: Shelf, grid_key: str, opened: Callable[[], WSIReader]
) -> dict[str, Floats]:
    """Return the scores of all filters by column; the missing ones share one read of the slide."""
    job = shelf.job
    filters = job.extractor.filters or {}
    floor = job.extractor.mask_threshold
    if job.measure_from is not None:
        floor = min(floor, job.measure_from)

    def read(entry: Arrays) -> Floats | None:
        scores, measured_from = entry.get("scores"), entry.get("from")
        if scores is None or measured_from is None or measured_from.shape != (1,):
            raise ValueError("contains no scores")
        _check(scores, cells.ratios.shape)
        return scores if measured_from[0] <= floor else None

    keys = {name: key_of({"grid": grid_key, "score": score_facts(job, name)}) for name in filters}
    found = {name: shelf.find("score", keys[name], read) for name in filters}
    missing = {name: score for name, score in filters.items() if found[name] is None}
    if missing:
        from tiler.scores.measure import measured

        wanted = cells.ratios >= floor
        made = measured(
            missing,
            opened(),
            cells,
            wanted,
            job.extractor.tile_spec.resolution,
            threads=min(job.plan_share * default_threads(), os.cpu_count() or 1),
            unreadable=shelf.unreadable if job.on_bad_tile == "drop" else None,
        )
        for name in missing:
            entry = {"scores": made[name], "from": np.array([floor])}
            complete = not np.isnan(made[name][wanted]).any()  # else they are read again next time
            found[name] = shelf.keep("score", keys[name], entry, complete=complete)["scores"]
    # Not those of a lower threshold: the tables must not depend on what the cache contains.
    own = cells.ratios >= job.extractor.mask_threshold
    return {
        score_column(name): np.where(own, scores, np.nan)
        for name, scores in found.items()
        if scores is not None
    }


def _check(column: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if column.dtype.kind != "f" or column.shape != shape:
        raise ValueError("is of another grid")


def _label_facts(job: SlideJob) -> dict[str, object]:
    """Return the facts that shares of classes depend on, except the grid and the files."""
    return {
        "settings": _without(job.settings.get("label"), _LABEL_RULES),
        "slide_id": job.slide_id,  # the path of a file may contain it
        "code": job.code.get("label"),
    }


def score_facts(job: SlideJob, name: str) -> dict[str, object]:
    """Return the facts that a score depends on, except the grid."""
    settings = (job.settings.get("filter") or {}).get(name)
    return {"settings": _without(settings, _LIMITS), "code": job.code.get(f"filter.{name}")}


def _without(settings: object, names: tuple[str, ...]) -> object:
    """Return a component's settings without some that do not matter."""
    if not isinstance(settings, Mapping):
        return settings
    return {key: value for key, value in settings.items() if key not in names}
