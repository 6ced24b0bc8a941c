"""A comparison as text and as CSV."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from tiler.compare.changes import SlideChange, TileChange, setting_changes
from tiler.compare.rows import Tile
from tiler.compare.runs import Run
from tiler.storage.csv_text import csv_text

COLUMNS = (
    "job",
    "slide_id",
    "equal",
    "status_a",
    "status_b",
    "tiles_a",
    "tiles_b",
    "kept",
    "gained",
    "lost",
    "overlap",
    "max_ratio_change",
    "mask_overlap",
    "reason_a",
    "reason_b",
    "notes",
)
"""``job`` is empty unless sweeps are compared; a cell without a value is empty."""

_NAMED = 5
"""Maximum number of gained tiles, and of lost tiles, that the text names."""


def run_lines(job: str, a: Run, b: Run) -> Iterator[str]:
    """Return the text lines about two runs as a whole."""
    if job:
        yield f"job {job}"
    for side, run in (("A", a), ("B", b)):
        if run.error:
            yield f"{side} stopped before its slides: {run.error}"
        if run.unfinished:
            yield f"{side} is still running or was killed; run it again to resume"
    if not (a.error or b.error):
        changes = setting_changes(a, b)
        yield "settings that differ:" if changes else "settings: equal"
        yield from (f"  {line}" for line in changes)


def slide_lines(change: SlideChange) -> Iterator[str]:
    """Return the text lines about a slide."""
    in_a, in_b = change.status
    if not in_a or not in_b:
        yield f"{change.slide_id}: only in {'A' if in_a else 'B'}, {in_a or in_b}"
        return
    tiles = change.tiles
    if tiles is None:
        ended = f"{in_a} in both" if in_a == in_b else f"{in_a} in A, {in_b} in B"
        yield f"{change.slide_id}: {ended}; no tiles to compare"
    else:
        masks = f"unknown ({change.mask_note})"
        if change.mask_overlap is not None:
            masks = _share(change.mask_overlap)
        yield (
            f"{change.slide_id}: {len(tiles.a.ratios)} tiles in A, {len(tiles.b.ratios)} in B;"
            f" {len(tiles.kept)} kept, {len(tiles.gained)} gained, {len(tiles.lost)} lost;"
            f" overlap of tiles {_share(tiles.overlap)}, of masks {masks}"
        )
        if in_a != in_b:
            yield f"  status: {in_a} in A, {in_b} in B"
        if tiles.ratio_change:
            yield f"  ratios of tiles in both differ by up to {tiles.ratio_change:.3g}"
        yield from _named("gained", tiles.gained)
        yield from _named("lost", tiles.lost)
    reasons = dict(zip(("A", "B"), change.reason, strict=True))
    if reasons["A"] == reasons["B"]:
        reasons = {"both": reasons["A"]}
    yield from (f"  reason in {side}: {reason}" for side, reason in reasons.items() if reason)
    yield from (f"  {line}" for line in (*change.settings, *change.notes))


def csv_row(job: str, change: SlideChange) -> dict[str, object]:
    """Return a slide's row of the CSV: cells by ``COLUMNS``."""
    row: dict[str, object] = {
        "job": job,
        "slide_id": change.slide_id,
        "equal": str(change.equal).lower(),
        "status_a": change.status[0],
        "status_b": change.status[1],
        "mask_overlap": change.mask_overlap,
        "reason_a": change.reason[0],
        "reason_b": change.reason[1],
        "notes": "; ".join((*change.settings, *change.notes)),
    }
    return row if change.tiles is None else {**row, **_counts(change.tiles)}


def comparison_csv(rows: Iterable[dict[str, object]]) -> str:
    """Return the CSV as text."""
    return csv_text(COLUMNS, rows)


def _counts(tiles: TileChange) -> dict[str, object]:
    return {
        "tiles_a": len(tiles.a.ratios),
        "tiles_b": len(tiles.b.ratios),
        "kept": len(tiles.kept),
        "gained": len(tiles.gained),
        "lost": len(tiles.lost),
        "overlap": tiles.overlap,
        "max_ratio_change": tiles.ratio_change,
    }


def _named(what: str, tiles: Sequence[Tile]) -> Iterator[str]:
    if tiles:
        rest = f" and {len(tiles) - _NAMED} more" if len(tiles) > _NAMED else ""
        yield f"  {what}: {', '.join(map(str, tiles[:_NAMED]))}{rest}"


def _share(value: float) -> str:
    return f"{math.floor(value * 10_000) / 10_000:.4f}"  # rounded down: 1.0000 means equal
