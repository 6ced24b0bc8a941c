"""Tiles that could not be read: the result of their slide, and their files of other exporters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tiler.errors import ReadError
from tiler.protocols import FailedTile
from tiler.regions import Regions
from tiler.runner.work.job import DroppedTile, SlideJob, SlideRow
from tiler.runner.work.plan import SlidePlan
from tiler.written import WrittenFiles


def without_dropped(
    job: SlideJob,
    plan: SlidePlan,
    name: str,
    files: WrittenFiles,
    dropped: Sequence[DroppedTile],
    folder: Path,
) -> WrittenFiles:
    """Remove an exporter's files of tiles that another exporter could not read; return the rest."""
    exporter = job.exporters[name]
    if not hasattr(exporter, "file_name"):
        return files
    bad = {(tile.x, tile.y) for tile in dropped}
    gone = [region for region in plan.regions if (*region.location,) in bad]
    rows = files.rows_of([exporter.file_name(job.slide_id, region) for region in gone])
    for row in rows[rows >= 0].tolist():
        (folder / files[row].name).unlink(missing_ok=True)
    return files.take(np.setdiff1d(np.arange(len(files)), rows))


def settled(
    job: SlideJob, plan: SlidePlan, failed: Sequence[FailedTile]
) -> tuple[Regions, SlideRow, list[DroppedTile]]:
    """Return the regions that stay, the slide's row, and the tiles that could not be read.

    Raises
    ------
    ReadError
        If a tile could not be read, and ``on_bad_tile`` is ``fail``.
    """
    known = {(tile.x, tile.y): tile for tile in (*job.dropped, *plan.unreadable)}
    total = len(plan.regions) + len(plan.unreadable)
    failed = [*{tile.region.location: tile for tile in reversed(failed)}.values()][::-1]
    count = f"{len(failed) + len(known)} of {total} tiles unreadable"
    if failed and job.on_bad_tile == "fail":
        raise ReadError(job.slide_id, f"{failed[0].cause}; {count}")
    if failed and job.kept:
        files = f"the files of {', '.join(job.kept)} from an earlier run have them"
        fix = "move the slide's folder away, or use another out"
        raise ReadError(job.slide_id, f"{failed[0].cause}; {count}, but {files}; {fix}")
    new = (DroppedTile(*tile.region.location, tile.cause) for tile in failed)
    dropped = sorted([*known.values(), *new], key=lambda tile: (tile.y, tile.x))
    kept = plan.regions.without({(tile.x, tile.y) for tile in dropped})
    too_many = len(dropped) > job.max_bad_fraction * total
    row = replace(
        plan.row,
        status="failed" if too_many else "done" if kept else "done_empty",
        kept=len(kept),
        dropped=len(dropped),
        reason=f"{count}, dropped; the first: {dropped[0].cause}",
    )
    return kept, row, dropped
