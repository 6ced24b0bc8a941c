"""Cost of a run, measured on a sample of its tiles in a temporary folder."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import tiler
from tiler.errors import ConfigError, ExitCode, worst
from tiler.files import write_whole
from tiler.protocols import WritesContext
from tiler.runner.limits import Limits, size_text
from tiler.runner.reporting.events import Events
from tiler.runner.reporting.progress import Progress
from tiler.runner.schedule import Schedule
from tiler.runner.stock import Stock
from tiler.runner.stopwatch import Stopwatch, Times, sample
from tiler.runner.work.job import SlideJob, SlideRow
from tiler.runner.work.links import without_links
from tiler.storage.destinations import inside, make_folder
from tiler.storage.safe_text import json_text

log = logging.getLogger("tiler")


@dataclass(frozen=True)
class SlideCost:
    """Tiles, bytes and time that a slide adds to a run.

    Attributes
    ----------
    slide_id
        Its name in outputs.
    status
        ``to do``, ``done`` (and so free) or ``failed``.
    reason
        Why it failed, or why it has no tiles.
    tiles
        Exactly how many would be written, context tiles included.
    bytes
        Of all its files, predicted.
    seconds
        Predicted, if it were the only one.
    work
        Seconds of one worker, predicted.
    """

    slide_id: str
    status: str
    reason: str = ""
    tiles: int = 0
    bytes: int = 0
    seconds: float = 0.0
    work: float = 0.0


@dataclass(frozen=True)
class Budget:
    """Predicted cost of a run.

    Attributes
    ----------
    slides
        A cost per slide.
    replaced
        How many tiles of earlier runs would be replaced.
    seconds
        Of the whole command, with so many ``workers``.
    refusal
        Why it would be refused; empty if it would not.
    failures
        The exit codes of a run of each slide that failed.
    exit_code
        What the dry run ends with.
    """

    slides: tuple[SlideCost, ...] = ()
    replaced: int = 0
    seconds: float = 0.0
    workers: int = 1
    refusal: str = ""
    failures: tuple[ExitCode, ...] = ()
    exit_code: int = ExitCode.DONE

    @property
    def tiles(self) -> int:
        """Tiles of all slides."""
        return sum(slide.tiles for slide in self.slides)

    @property
    def bytes(self) -> int:
        """Predicted bytes of all slides."""
        return sum(slide.bytes for slide in self.slides)

    def concluded(self, jobs: Sequence[SlideJob], stock: Stock, limits: Limits) -> Budget:
        """With the slides on which nothing is done, in the order of ``jobs``, and the verdict."""
        left = [SlideCost(row.slide_id, "failed", row.reason) for row in stock.left]
        failures = [*self.failures, *(row.exit_code for row in stock.left)]
        known = {slide.slide_id: slide for slide in (*self.slides, *left)}
        slides = [known.get(job.slide_id) or SlideCost(job.slide_id, "done") for job in jobs]
        replaced = stock.replaced.tiles
        refusals = (
            limits.refusal_to_replace(replaced, str(stock.replaced)),
            limits.refusal(self.tiles, self.bytes),
        )
        refusal = "; ".join(filter(None, refusals))
        code = worst([ConfigError.exit_code if refusal else ExitCode.DONE, *failures])
        return replace(
            self, slides=tuple(slides), replaced=replaced, refusal=refusal, exit_code=code
        )


def estimate(jobs: Sequence[SlideJob], watch: Stopwatch, folder: Path) -> Budget:
    """Run a sample of every slide in ``folder`` and work out what all of it would cost.

    Parameters
    ----------
    jobs
        The slides that are not done: at least one.
    watch
        An engine that has started.
    folder
        For the samples; gone when this is done.

    Raises
    ------
    DestinationError
        When ``folder`` cannot be written.
    """
    costs: list[SlideCost] = []
    failures: list[ExitCode] = []
    slides, unseen = make_folder(folder / "slides"), Progress(len(jobs), None)
    workers = watch.at_once
    cut = partial(sample, workers=workers)
    samples = [without_links(job) for job in jobs]
    images = {job.slide_id: _images_each(job) for job in jobs}
    for row in Schedule(watch, folder, unseen, Events(None), cut).rows(samples):
        written = inside(slides, row.slide_id)
        size = sum(path.stat().st_size for path in written.rglob("*") if path.is_file())
        shutil.rmtree(written, ignore_errors=True)
        costs.append(_cost(row, watch.slides[row.slide_id], size, workers, images[row.slide_id]))
        failures.append(row.exit_code)
        log.info("[%d/%d] %s measured", len(costs), len(jobs), row.slide_id)
    shutil.rmtree(folder, ignore_errors=True)
    # Shared out evenly, but no less than the longest slide takes alone.
    work = max(sum(cost.work for cost in costs) / workers, *(cost.seconds for cost in costs))
    seconds = watch.waited + work
    return Budget(tuple(costs), seconds=seconds, workers=workers, failures=tuple(failures))


def _images_each(job: SlideJob) -> int:
    """Return how many images are written for each tile; 1 where there are only tables."""
    return max(1, sum(isinstance(one, WritesContext) for one in job.exporters.values()))


def _cost(row: SlideRow, times: Times, written: int, workers: int, each: int) -> SlideCost:
    """Return the cost of a slide; ``each`` images are written for each tile."""
    if row.status == "failed" and not row.kept:  # else the rest of its tiles is written
        return SlideCost(row.slide_id, "failed", row.reason)
    tiles, samples = row.kept, times.samples.values()
    size = float(written)
    for one in samples:
        size += one.bytes * (tiles / one.tiles - 1) if one.tiles else 0
    export = sum(one.seconds(tiles) for one in samples)
    # The last round of pieces keeps only some of the workers busy.
    rounds = math.ceil(times.pieces / workers) / times.pieces if times.pieces else 1.0
    return SlideCost(
        row.slide_id,
        "failed" if row.status == "failed" else "to do",
        row.reason,
        tiles * each,
        round(size),
        seconds=times.once + export * rounds,
        work=times.once + export,
    )


def write_budget(out: Path, facts: Mapping[str, Any], budget: Budget) -> None:
    """Write ``budget.json``, which no run ever reads."""
    content = {
        "tiler": tiler.__version__,
        **facts,
        "total": {
            "tiles": budget.tiles,
            "bytes": budget.bytes,
            "seconds": budget.seconds,
            "replaced": budget.replaced,
        },
        "slides": [asdict(slide) for slide in budget.slides],
        "refusal": budget.refusal,
        "exit_code": budget.exit_code,
    }
    text = json_text(content, indent=2)
    write_whole(inside(out, "budget.json"), text.encode(errors="surrogateescape") + b"\n")


def table(budget: Budget) -> str:
    """The budget for people: a line per slide, the total last."""
    lines = [("slide", "status", "tiles", "bytes", "time", "")]
    for slide in budget.slides:
        numbers = (str(slide.tiles), size_text(slide.bytes), _duration(slide.seconds))
        lines.append(
            (slide.slide_id, slide.status, *numbers, slide.reason)
            if slide.status == "to do" or slide.tiles
            else (slide.slide_id, slide.status, "", "", "", slide.reason)
        )
    workers = f"{budget.workers} worker{'s' if budget.workers > 1 else ''}, start included"
    lines.append(
        (
            "total",
            "",
            str(budget.tiles),
            size_text(budget.bytes),
            _duration(budget.seconds),
            workers,
        )
    )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 2 <= i <= 4 else cell.ljust(width if i < 5 else 0)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
