"""Scores of a slide's cells, measured with one read of each strip for all scores of a scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tiler.grid import Axes, Floats, rounded_ratios
from tiler.process.startup import default_threads
from tiler.process.threads import in_order
from tiler.protocols import MapsPixels, Mask, Pixels, Score, ScoresPixels, WSIReader
from tiler.resolution import Resolution
from tiler.scores.calls import called, checked, map_values, margin_of, planes_of, score_of, scored
from tiler.scores.cells import HeldPixels
from tiler.scores.frame import Frame, by_resolution
from tiler.scores.strips import Run, Strip, strips
from tiler.scores.sums import RowOfCells, row_sums, span_sums
from tiler.scores.unreadable import Cell, read_run

_GROUP_PIXELS = 8192
"""Cells are measured in groups of columns that are so many pixels of the level wide: two rows of
native tiles stay in the reader's cache, and few are decoded again in the next group."""

_STRIP_PIXELS = 256
"""Height of a strip in pixels of the level: that of most native tiles."""

_MAP_PIXELS = 1024
"""Maps are made of so many columns of pixels at once, which fit into the processor's cache."""


def measured(
    scores: Mapping[str, Score],
    source: WSIReader,
    axes: Axes,
    wanted: Mask,
    resolution: Resolution,
    threads: int | None = None,
    unreadable: dict[Cell, str] | None = None,
) -> dict[str, Floats]:
    """Measure the scores of some cells of a slide's grid.

    A cell has the pixels of its tile: beyond the slide they are background. Maps are averaged over
    the exact, fractional footprint of each cell, the background included; neighbours of a pixel
    count only inside the slide. A score of whole cells gets the pixels nearest to the footprint.

    The score of a cell depends on its own pixels and their neighbours alone, to the last bit.

    Parameters
    ----------
    scores
        Scores by name.
    source
        The open slide.
    axes
        The axes of its grid.
    wanted
        bool (ny, nx): the cells to measure. Other cells are not read, but where they lie between.
    resolution
        The target resolution.
    threads
        Number of strips in progress at once; None for one per core, or the number that the engine
        allows each worker.
    unreadable
        Receives the cause for each cell, (row, column), whose pixels cannot be read; other cells
        are measured. None raises the first cause.

    Returns
    -------
    dict
        float64 (ny, nx) by name; NaN where a cell is not wanted or not readable.

    Raises
    ------
    ResolutionError
        If a score's mpp is not available for this slide; it names the filter.
    ReadError
        If pixels cannot be read, and ``unreadable`` is None.
    ComponentError
        If a score returns something else than finite numbers.
    """
    found = {name: np.full(wanted.shape, np.nan) for name in scores}
    if not scores or not wanted.any():
        return found
    pairs = [(name, score.mpp) for name, score in scores.items()]
    for shared, names in by_resolution(pairs, source, axes, resolution).items():
        frame = Frame.of(source, axes, shared)
        task = _Task(frame, {name: scores[name] for name in names}, unreadable)
        task.measure(wanted, found, threads or default_threads())
    return found


@dataclass(frozen=True)
class _Part:
    """A run of a strip: sums of each score's maps, and pixels for scores of whole cells.

    ``unreadable`` are the causes by cell.
    """

    run: Run
    sums: Mapping[str, list[Floats]]
    pixels: Pixels | None
    unreadable: Mapping[Cell, str]


class _Task:
    """The scores of one resolution."""

    def __init__(
        self, frame: Frame, scores: Mapping[str, Score], unreadable: dict[Cell, str] | None
    ) -> None:
        self.frame, self.unreadable = frame, unreadable
        self.slide = frame.source.name
        self.maps = {name: one for name, one in scores.items() if isinstance(one, MapsPixels)}
        others = {name: one for name, one in scores.items() if name not in self.maps}
        self.cells: dict[str, ScoresPixels] = {}
        for name, one in others.items():
            self.cells[name] = score_of(name, one)
        self.margin = max(map(margin_of, self.maps.values()), default=0)
        self.background = frame.background()
        self.beyond = {
            name: map_values(name, one, self.background, self.slide)
            for name, one in self.maps.items()
        }
        self.strip_height = max(1, round(_STRIP_PIXELS / max(1.0, frame.level_scale)))
        self.breaks = frame.down.breaks(self.strip_height)

    def measure(self, wanted: Mask, found: Mapping[str, Floats], threads: int) -> None:
        """Write the scores of wanted cells into ``found``."""
        widest = max(1, round(_GROUP_PIXELS / max(1.0, self.frame.level_scale)))
        for group in self.frame.across.groups(widest):
            if wanted[:, group].any():
                part = {name: found[name][:, group] for name in (*self.maps, *self.cells)}
                _Group(self, group, wanted[:, group], part).measure(threads)


class _Group:
    """Neighbouring columns of cells, measured strip by strip."""

    def __init__(
        self, task: _Task, columns: slice, wanted: Mask, found: Mapping[str, Floats]
    ) -> None:
        self.task, self.wanted, self.found = task, wanted.copy(), found
        self.first_column = columns.start
        self.across, self.down = task.frame.across.take(columns), task.frame.down
        self.rows: dict[int, dict[str, RowOfCells]] = {}
        self.held = HeldPixels(self.across, self.down, task.background[0, 0])

    def measure(self, threads: int) -> None:
        """Read the strips and score each row of cells once it is complete."""
        task = self.task
        gap = 2 * task.margin
        wanted = self.wanted.copy()  # that of the group loses cells that cannot be read
        plan = strips(self.across, self.down, wanted, task.breaks, task.strip_height, gap)
        remaining = np.flatnonzero(self.wanted.any(axis=1)).tolist()[::-1]
        for strip, parts in in_order(self._read, plan, threads, 2):
            self._add(strip, parts)
            while remaining and self.down.pixels[remaining[-1], 1] <= strip.bottom:
                self._finish(remaining.pop())
        while remaining:  # rows wholly beyond the slide
            self._finish(remaining.pop())

    def _read(self, strip: Strip) -> tuple[Strip, list[_Part]]:
        """Read a strip and sum its maps; in a thread."""
        return strip, [self._part(strip, run) for run in strip.runs]

    def _part(self, strip: Strip, run: Run) -> _Part:
        task, top, left = self.task, strip.top, run.left
        height, width = strip.bottom - top, run.right - left
        axes, alone = (self.across, self.down), task.unreadable is not None
        pixels, unreadable = read_run(task.frame, strip, run, axes, task.margin, alone)
        down, across = min(top, task.margin), min(left, task.margin)
        pixels.flags.writeable = False  # several scores see them
        rows, breaks = slice(down, down + height), self._breaks(strip) - top
        pieces: dict[str, list[list[Floats]]] = {name: [] for name in task.maps}
        for start in range(0, width, _MAP_PIXELS):
            stop = min(start + _MAP_PIXELS, width)
            first = max(0, across + start - task.margin)
            some = pixels[:, first : across + stop + task.margin]
            own = slice(across + start - first, across + stop - first)
            for name, score in task.maps.items():
                planes = planes_of(name, score, some, task.slide)
                pieces[name].append([row_sums(plane[rows, own], breaks) for plane in planes])
        sums = {
            name: [
                span_sums(np.concatenate(one, axis=1), self.across, run.columns, left)
                for one in zip(*some, strict=True)
            ]
            for name, some in pieces.items()
        }
        held = pixels[rows, across : across + width] if task.cells else None
        return _Part(run, sums, held, unreadable)

    def _breaks(self, strip: Strip) -> np.ndarray:
        breaks = self.task.breaks
        first, last = np.searchsorted(breaks, (strip.top, strip.bottom))
        return breaks[first : last + 1]

    def _add(self, strip: Strip, parts: list[_Part]) -> None:
        breaks = self._breaks(strip)
        shape = self.across.spans.shape[:2]
        for part in parts:
            for (row, column), cause in part.unreadable.items():
                if self.wanted[row, column] and self.task.unreadable is not None:
                    self.task.unreadable.setdefault((row, column + self.first_column), cause)
                    self.wanted[row, column] = False
            for row in strip.rows:
                if not self.wanted[row].any():
                    continue
                spans = self.down.spans[:, row]
                cells = self.rows.setdefault(
                    row, {name: RowOfCells(spans, shape) for name in self.task.maps}
                )
                for name, sums in part.sums.items():
                    for number, one in enumerate(sums):
                        cells[name].add(number, one, breaks, part.run.columns)
            if part.pixels is not None:
                self.held.add(strip.top, part.run.left, part.pixels)

    def _finish(self, row: int) -> None:
        """Score the wanted cells of a row, whose pixels have all been read."""
        columns = np.flatnonzero(self.wanted[row])
        rows = self.rows.pop(row, {})
        if not columns.size:  # none of them can be read
            return
        for name, score in self.task.maps.items():
            beyond = self.task.beyond[name]
            totals = np.zeros((len(beyond), len(columns)))
            if name in rows:
                down, across = self.down.weights[:, row], self.across.weights
                totals = rows[name].totals(down, across)[:, columns]
            inside = np.diff(self.down.inside[row]) * np.diff(self.across.inside)[columns, 0]
            area = self.down.lengths[row] * self.across.lengths[columns]
            means = (totals + beyond[:, None] * (area - inside)) / area
            values = called(name, score, means, self.task.slide)
            self.found[name][row, columns] = self._checked(name, score, rounded_ratios(values), row)
        for name, own in self.task.cells.items():
            cells = (self.held.cell(row, one) for one in columns.tolist())
            values = scored(name, own, cells, self.task.slide)
            self.found[name][row, columns] = self._checked(name, own, values, row)
        if self.task.cells:
            self.held.drop_before(row + 1)

    def _checked(self, name: str, score: object, values: object, row: int) -> Floats:
        columns = np.flatnonzero(self.wanted[row])
        return checked(name, score, values, (row, columns + self.first_column), self.task.slide)
