"""The task that makes a slide's part of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tiler.protocols import Pixels, WSIReader
from tiler.report.arrays import script
from tiler.report.charts.bins import bins_file
from tiler.report.files import SlideFiles
from tiler.report.planned import Planned, planned
from tiler.report.slide.data import slide_data
from tiler.report.slide.judged import Judged, judged
from tiler.report.slide.low_scores import low_scores
from tiler.report.slide.pictures import draw_card, encode_card, encode_view, read_view
from tiler.report.slide.recorded import Recorded, staleness
from tiler.report.slide.samples import Sample, choose, encode_tile, read_samples
from tiler.runner.work.job import SlideJob
from tiler.runner.work.plan import SlidePlan, mask_doubt
from tiler.runner.work.shelf import Shelf
from tiler.runner.work.worker_state import WorkerState
from tiler.written import WrittenFile


@dataclass(frozen=True)
class SlideReport:
    """A slide's part of the report.

    Attributes
    ----------
    files
        The files that were written, with names below the report's folder.
    stale
        Why the data may differ from what the run wrote.
    doubt
        A warning about the mask.
    problems
        A line for each thing that the report lacks, with the reason.
    """

    files: tuple[WrittenFile, ...]
    stale: str = ""
    doubt: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class SlideReportTask:
    """Make the data, the pictures and the sample tiles of a slide's page.

    Attributes
    ----------
    job
        The slide's job.
    folder
        The report's folder.
    n
        The slide's number in ``slides.csv``, from 0.
    row
        Its row there; None for the row of its plan.
    recorded
        The content of its record; None if there is none.
    """

    job: SlideJob
    folder: Path
    n: int
    row: Mapping[str, Any] | None = None
    recorded: Recorded | None = None

    def run(self, state: WorkerState) -> SlideReport:
        """Plan the slide again and write the files.

        Raises
        ------
        SlideError
            If the slide cannot be planned.
        """
        with planned(self.job, state) as again:
            return self._made(again)

    def _made(self, again: Planned) -> SlideReport:
        job, plan, candidates, source = self.job, again.plan, again.candidates, again.source
        shelf = Shelf(job, (plan.shared.source, plan.shared.inputs))
        low = low_scores(job, candidates.cells, shelf, plan.shared.keys[1], again.opened)
        dropped = self.recorded.dropped if self.recorded else ()
        found = judged(candidates, low, dropped)
        files = SlideFiles(self.folder, self.n)
        view, problem = read_view(source)
        problems = [f"no picture: {problem}"] if problem else []
        if low.problem:
            problems.append(f"no scores below the threshold: {low.problem}")
        shown = self._pictures(view, plan, found, files)
        samples = self._samples(plan, found, source, files)
        stale = staleness(self.recorded, plan, job.code)
        row = plan.row.cells() if self.row is None else self.row
        data = slide_data(job, self.n, plan, low, found, row, shown, samples, stale)
        files.write("data/slides", ".js", script(f"slide/{self.n}", data))
        files.write("bins", ".json", bins_file(candidates.cells))
        return SlideReport(tuple(files.written), stale, mask_doubt(job, plan), tuple(problems))

    def _pictures(
        self, view: Pixels | None, plan: SlidePlan, found: Judged, files: SlideFiles
    ) -> Mapping[str, Any] | None:
        """Write view and card; return what the page needs of the view."""
        if view is None:
            return None
        bounds, mask = plan.shared.known.facts.bounds, plan.shared.mask
        picture = draw_card(view, mask, bounds, found.cells, found.reasons, found.codes)
        files.write("pictures", ".jpg", encode_card(picture))
        src = files.write("views", ".jpg", encode_view(view))
        return {"src": src, "width": view.shape[1], "height": view.shape[0]}

    def _samples(
        self, plan: SlidePlan, found: Judged, source: WSIReader, files: SlideFiles
    ) -> list[Sample]:
        """Write sample tiles, and return them with their names."""
        extractor = self.job.extractor
        chosen = choose(found, extractor.mask_threshold, extractor.filters or {})
        resolution = extractor.tile_spec.resolution
        samples: list[Sample] = []
        kinds = Counter[str]()
        for sample, pixels in read_samples(chosen, found, resolution, source, plan.fits):
            src = ""
            if pixels is not None:
                kinds[sample.kind] += 1
                number = f"_{kinds[sample.kind]}" if kinds[sample.kind] > 1 else ""
                src = files.write("tiles", f"_{sample.kind}{number}.jpg", encode_tile(pixels))
            samples.append(replace(sample, src=src))
        return samples
