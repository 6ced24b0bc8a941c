"""The kept tiles of a slide in a job of a sweep, planned again from the cache, as a task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiler.grid import Cells
from tiler.protocols import Mask
from tiler.regions import spans0
from tiler.report.arrays import packed, script
from tiler.report.files import SlideFiles
from tiler.report.planned import Planned, plan_only, planned
from tiler.report.slide.judged import judged
from tiler.report.slide.low_scores import LowScores
from tiler.report.slide.pictures import encode_view, read_view
from tiler.report.slide.recorded import Recorded, staleness
from tiler.runner.store.record import Record
from tiler.runner.work.job import SlideJob
from tiler.runner.work.worker_state import WorkerState
from tiler.written import WrittenFile

VERSION = 1
VIEWS = "views"


@dataclass(frozen=True)
class KeptTiles:
    """The files that a task wrote, with names below its folder: kept tiles, and the picture."""

    tiles: WrittenFile
    view: WrittenFile | None = None


@dataclass(frozen=True)
class KeptTask:
    """Plan a slide again, without exporters and transforms, and write its kept tiles.

    Attributes
    ----------
    job
        The slide's job.
    folder
        The folder that it writes to.
    number, n
        The numbers of job and slide in the sweep.
    recorded
        The content of the slide's record in the job.
    with_view
        Whether to write the picture of the slide, too.
    """

    job: SlideJob
    folder: Path
    number: int
    n: int
    recorded: Recorded
    with_view: bool = False

    def run(self, state: WorkerState) -> KeptTiles:
        """Plan the slide and write the files.

        Raises
        ------
        SlideError
            If the slide cannot be planned.
        """
        files = SlideFiles(self.folder, self.n)
        with planned(self.job, state) as again:
            files.write(f"data/jobs/{self.number}", ".js", self._data(again))
            pixels = read_view(again.source)[0] if self.with_view else None
        if pixels is not None:
            files.write(VIEWS, ".jpg", encode_view(pixels))
        return KeptTiles(*files.written)

    def _data(self, again: Planned) -> bytes:
        found = judged(again.candidates, LowScores({}, 0.0), self.recorded.dropped)
        facts = again.plan.shared.known.facts
        content = {
            "version": VERSION,
            "bounds": facts.bounds,
            "mpp": facts.mpp,
            "stale": staleness(self.recorded, again.plan, self.job.code),
            **tiles_data(found.cells, found.codes == 0),
        }
        return script(f"jobs/{self.number}/{self.n}", content)


def view_name(n: int) -> str:
    """Return the file of a slide's picture, by its number in the sweep."""
    return f"{VIEWS}/{n:06d}.jpg"


def kept_task(
    job: SlideJob, folder: Path, number: int, n: int, record: Record, with_view: bool
) -> KeptTask:
    """Return the task for a slide of which a job left a record."""
    return KeptTask(plan_only(job), folder, number, n, Recorded.of(record), with_view)


def tiles_data(cells: Cells, kept: Mask) -> dict[str, Any]:
    """Return boxes of the grid in level-0 pixels, and its kept cells, for a page.

    Parameters
    ----------
    cells
        The grid.
    kept
        bool (ny, nx).
    """
    x0, width0 = spans0(cells.x, cells.size.width, cells.downsample)
    y0, height0 = spans0(cells.y, cells.size.height, cells.downsample)
    axes = {"x0": x0, "width0": width0, "y0": y0, "height0": height0}
    return {
        **{name: packed(places) for name, places in axes.items()},
        "kept": packed(np.packbits(kept, bitorder="little")),
        "count": int(kept.sum()),
    }
