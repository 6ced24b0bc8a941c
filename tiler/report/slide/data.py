"""The data of a slide's page: all cells with their columns, the rules, and the tissue's outline."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tiler.grid import Cells, Ints
from tiler.protocols import Sampler, Score
from tiler.regions import spans0
from tiler.report.arrays import Packed, packed
from tiler.report.run.words import overrides_in_words
from tiler.report.slide.judged import Judged
from tiler.report.slide.low_scores import LowScores
from tiler.report.slide.outline import outline0
from tiler.report.slide.pictures import view_size
from tiler.report.slide.samples import Sample
from tiler.runner.work.job import SlideJob
from tiler.runner.work.plan import SlidePlan
from tiler.samplers import All, Random, Top
from tiler.selection import tiles_of
from tiler.storage.safe_text import shown

VERSION = 1
RANK = "sampler_rank"
"""The column of the order in which a sampler chooses cells, from 0."""

_LIMIT = re.compile(r"threshold|filter\..*\.(min|max)")


def slide_data(
    job: SlideJob,
    n: int,
    plan: SlidePlan,
    low: LowScores,
    found: Judged,
    row: Mapping[str, Any],
    view: Mapping[str, Any] | None,
    samples: Sequence[Sample] = (),
    stale: str = "",
) -> dict[str, Any]:
    """Return the data of a slide's page; ``pages/src/common/data.ts`` describes it.

    Parameters
    ----------
    job, n
        The slide's job, and its number in ``slides.csv``, from 0.
    plan
        Its plan, with all cells.
    low, found
        Its scores, and its cells with the decision about each.
    row
        Its row of ``slides.csv``.
    view
        The picture of it: ``src``, ``width`` and ``height``; None if there is none.
    samples
        Some of its tiles.
    stale
        Why the data may differ from what the run wrote.
    """
    facts, cells = plan.shared.known.facts, found.cells
    x0, width0 = spans0(cells.x, cells.size.width, cells.downsample)
    y0, height0 = spans0(cells.y, cells.size.height, cells.downsample)
    size, _ = view_size(facts.bounds)
    return {
        "version": VERSION,
        "n": n,
        "slide_id": job.slide_id,
        "resolution": job.extractor.tile_spec.resolution.token,
        "size": list(cells.size),
        "downsample": cells.downsample,
        "mpp": facts.mpp,
        "bounds": list(facts.bounds),
        "view": view,
        "x": cells.x,
        "y": cells.y,
        "x0": x0,
        "y0": y0,
        "width0": width0,
        "height0": height0,
        "columns": _columns(cells, job),
        "decision": packed(found.codes),
        "reasons": list(found.reasons),
        "rules": rules(job, low.measured_from),
        "outline": outline0(plan.shared.mask, facts.bounds, size),
        "samples": [vars(sample) for sample in samples],
        "stale": stale,
        "set_by_table": shown(overrides_in_words(job.settings, job.from_table)),
        "row": dict(row),
    }


def _columns(cells: Cells, job: SlideJob) -> dict[str, Packed]:
    columns = {"ratio": cells.ratios, **cells.values}
    rank = _rank(job.extractor.sampler, cells, job.slide_id)
    if rank is not None:
        columns[RANK] = rank
    return {name: packed(values) for name, values in columns.items()}


def rules(job: SlideJob, measured_from: float) -> dict[str, Any]:
    """Return the rules that decide about the cells of a slide, as ``Rules`` of the pages."""
    extractor = job.extractor
    keep = None if extractor.labels is None else extractor.labels.keep
    return {
        "threshold": float(extractor.mask_threshold),
        "filters": [_filter(name, score) for name, score in (extractor.filters or {}).items()],
        "keep": None if keep is None else [str(label) for label in keep],
        "sampler": _sampler(extractor.sampler),
        "measured_from": measured_from,
        "from_table": limits_from_table(job),
        "absent": _absent(job),
    }


def limits_from_table(job: SlideJob) -> list[str]:
    """Return the keys of limits that a table sets for a slide: overrides do not change them."""
    return [key for key in job.from_table if _LIMIT.fullmatch(key)]


def _absent(job: SlideJob) -> list[str]:
    """Return the keys of limits that the configuration of a user's filter does not have."""
    nodes = job.settings.get("filter") or {}
    return [
        f"filter.{name}.{bound}"
        for name in job.extractor.filters or {}
        for bound in ("min", "max")
        if bound not in (nodes.get(name) or {})
    ]


def _filter(name: str, score: Score) -> dict[str, Any]:
    limits = {"min": score.min, "max": score.max, "mpp": score.mpp}
    return {
        "name": name,
        **{key: None if value is None else float(value) for key, value in limits.items()},
    }


def _sampler(sampler: Sampler | None) -> dict[str, Any] | None:
    """Return what a page says about a sampler; None if it keeps all tiles."""
    if sampler is None or type(sampler) is All:
        return None
    kind = type(sampler)
    ours = kind.__module__.startswith("tiler.samplers.")
    return {
        "name": kind.__name__.lower() if ours else f"{kind.__module__}.{kind.__qualname__}",
        "n": _if(int, getattr(sampler, "n", None)),
        "fraction": _if(float, getattr(sampler, "fraction", None)),
        "by": _if(str, getattr(sampler, "by", None)),
        "exact": _is_ordered(sampler),
    }


def _if(kind: type, value: object) -> Any:
    """Return a value of a kind, which a user's attribute of this name may not be; else None."""
    number = kind is not str and isinstance(value, int | float) and not isinstance(value, bool)
    return kind(value) if number or (kind is str and isinstance(value, str)) else None


def _is_ordered(sampler: Sampler) -> bool:
    """Return whether a sampler takes the first cells of an order that the other cells do not move.

    A class of a user's that inherits from one of them may choose otherwise.
    """
    return type(sampler) in (Random, Top)


def _rank(sampler: Sampler | None, cells: Cells, slide: str) -> Ints | None:
    """Return the place of every cell, (ny, nx), in a sampler's order; None without one."""
    if not isinstance(sampler, Random | Top) or not _is_ordered(sampler):
        return None
    shape = cells.ratios.shape
    order = sampler.order(tiles_of(cells, np.ones(shape, bool), slide))
    rank = np.empty(cells.ratios.size, np.int64)
    rank[order] = np.arange(rank.size)
    return rank.reshape(shape)
