"""Scores of cells below the threshold, so that a page can decide again with a lower one.

They are measured after the run and apart from it: nothing that the run writes depends on them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tiler.errors import SlideError
from tiler.grid import Cells, Floats
from tiler.process.startup import default_threads
from tiler.protocols import Mask, Score, WSIReader
from tiler.runner.signals import raise_interruption
from tiler.runner.store.arrays import Arrays, key_of
from tiler.runner.work.columns import score_facts
from tiler.runner.work.job import SlideJob
from tiler.runner.work.shelf import Shelf
from tiler.selection import score_column

ALL_TISSUE = float(np.nextafter(0.0, 1.0))
"""The lowest coverage of a cell with any tissue."""


@dataclass(frozen=True, eq=False)
class LowScores:
    """Scores of all cells of a slide, as far as they can be measured.

    Attributes
    ----------
    columns
        float64 (ny, nx) by column; NaN for cells that are not measured or not readable.
    measured_from
        The coverage from which cells are measured.
    problem
        Why no cell below the threshold is measured; empty if they are.
    """

    columns: Mapping[str, Floats]
    measured_from: float
    problem: str = ""


def low_scores(
    job: SlideJob, cells: Cells, shelf: Shelf, grid_key: str, opened: Callable[[], WSIReader]
) -> LowScores:
    """Return the scores of a slide's cells with those of cells below the threshold.

    A cell that cannot be read has none. Where a score refuses such cells, none of them has scores,
    and the result says why. No error of a slide's pixels ends this.

    Parameters
    ----------
    job
        The slide's job.
    cells
        The grid with the scores of the run.
    shelf
        The cache of the slide.
    grid_key
        The key of its grid.
    opened
        Opens the slide.
    """
    filters, threshold = job.extractor.filters or {}, float(job.extractor.mask_threshold)
    own = {score_column(name): cells.values[score_column(name)] for name in filters}
    if not filters or threshold <= 0:
        return LowScores(own, 0.0)
    columns: dict[str, Floats] = {}
    low = (cells.ratios > 0) & (cells.ratios < threshold)
    missing: dict[str, Score] = {}
    known = {name: _known(job, shelf, grid_key, name, cells.ratios) for name in filters}
    for name, score in filters.items():
        if (low & ~known[name][1]).any():
            missing[name] = score
    try:
        made = _measured(job, cells, missing, known, low, opened) if missing else {}
    except Exception as error:
        raise_interruption(error)
        if not isinstance(error, SlideError):
            error = SlideError(job.slide_id, f"{type(error).__name__}: {error}")
        return LowScores(own, threshold, error.what)
    for name in filters:
        scores, have = known[name]
        if name in made:
            scores = np.where(have, scores, made[name])
            key = _key(job, grid_key, name)
            kept = np.where(low, scores, np.nan)
            complete = not np.isnan(scores[low]).any()  # else they are read again next time
            entry = {"scores": kept, "below": np.array([threshold])}
            shelf.keep("score below the threshold", key, entry, complete=complete)
        column = score_column(name)
        columns[column] = np.where(low, scores, own[column])
    return LowScores(columns, ALL_TISSUE)


def _measured(
    job: SlideJob,
    cells: Cells,
    missing: Mapping[str, Score],
    known: Mapping[str, tuple[Floats, Mask]],
    low: Mask,
    opened: Callable[[], WSIReader],
) -> dict[str, Floats]:
    """Measure the scores of low cells that are not known, with one read for all of them."""
    from tiler.scores.measure import measured

    wanted = low & ~np.logical_and.reduce([known[name][1] for name in missing])
    threads = min(job.plan_share * default_threads(), os.cpu_count() or 1)
    resolution = job.extractor.tile_spec.resolution
    return measured(missing, opened(), cells, wanted, resolution, threads, unreadable={})


def _known(
    job: SlideJob, shelf: Shelf, grid_key: str, name: str, ratios: Floats
) -> tuple[Floats, Mask]:
    """Return the scores that the cache has, and which cells they are of."""

    def of_runs(entry: Arrays) -> tuple[Floats, Mask]:
        scores, first = _checked(entry, "from", ratios)
        return scores, np.asarray(ratios >= first)

    def of_reports(entry: Arrays) -> tuple[Floats, Mask]:
        scores, end = _checked(entry, "below", ratios)
        return scores, np.asarray(ratios < end)

    scores, have = np.full(ratios.shape, np.nan), np.zeros(ratios.shape, bool)
    run_key = key_of({"grid": grid_key, "score": score_facts(job, name)})
    for key, read in ((run_key, of_runs), (_key(job, grid_key, name), of_reports)):
        found = shelf.find("score", key, read)
        if found is not None:
            values, some = found
            scores, have = np.where(some, values, scores), have | some
    return scores, have


def _key(job: SlideJob, grid_key: str, name: str) -> str:
    return key_of({"grid": grid_key, "score": score_facts(job, name), "cells": "low"})


def _checked(entry: Arrays, limit: str, ratios: Floats) -> tuple[Floats, float]:
    scores, end = entry.get("scores"), entry.get(limit)
    if scores is None or end is None or end.shape != (1,):
        raise ValueError("contains no scores")
    if scores.dtype.kind != "f" or scores.shape != ratios.shape:
        raise ValueError("is of another grid")
    return scores, float(end[0])
