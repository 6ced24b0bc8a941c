"""Charts of a run: funnel, coverage, scores, tiles of each slide, and resolution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tiler.report.charts.figure import (
    SMALL,
    STRONG,
    WEAK,
    Draw,
    chart_bytes,
    file_name,
    headline,
    label,
    number,
    number_axis,
    spans_orders,
    whole_axis,
)
from tiler.report.charts.histogram_chart import Limits, coverage_chart, score_chart
from tiler.report.charts.histograms import Binned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED = 30  # slides: with more, names would be too small to read
_POINTS = 1000  # of a curve: more are narrower than a printed dot
_ROW_MM, _FRAME_MM, _PLOT_MM = 4.5, 14.0, 55.0


@dataclass(frozen=True)
class Stage:
    """A bar of the funnel: the cells that are left after a rule, and those that it drops."""

    label: str
    left: int
    dropped: int = 0


@dataclass(frozen=True)
class ChartSlide:
    """A slide that was tiled: its tiles, and microns per pixel of a tile if known."""

    slide_id: str
    kept: int
    effective_mpp: float | None = None


@dataclass(frozen=True, eq=False)
class RunCharts:
    """The data of a run's charts.

    Attributes
    ----------
    slides
        Slides that were tiled.
    funnel
        The stages from the grid's cells to the kept tiles.
    coverage
        The coverage of all cells.
    threshold
        The minimum coverage; None if it differs between slides.
    scores
        The measured scores of all cells by filter.
    limits
        The limits of each filter.
    left_out
        The number of slides without result, which the charts do not contain.
    """

    slides: Sequence[ChartSlide] = ()
    funnel: Sequence[Stage] = ()
    coverage: Binned | None = None
    threshold: float | None = None
    scores: Mapping[str, Binned] = field(default_factory=dict)
    limits: Mapping[str, Limits] = field(default_factory=dict)
    left_out: int = 0


def run_charts(data: RunCharts, formats: Sequence[str]) -> dict[str, bytes]:
    """Draw the charts that have something to show: file name to bytes.

    The names are ``funnel``, ``coverage``, ``score_<filter>``, ``tiles`` and ``mpp``, with the
    format as suffix.

    Parameters
    ----------
    data
        The data that they show.
    formats
        ``svg``, ``png``, both, or none.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    return chart_bytes(_charts(data), formats)


def _charts(data: RunCharts) -> Iterator[tuple[str, float, Draw]]:
    """Yield the name, the height in mm and the function of each chart."""
    slides = sorted(data.slides, key=lambda slide: (-slide.kept, slide.slide_id))
    if any(stage.left or stage.dropped for stage in data.funnel):
        height = _FRAME_MM + _ROW_MM * 1.6 * len(data.funnel)
        yield "funnel", height, lambda _, axes: _funnel(axes, data.funnel)
    if data.coverage is not None and data.coverage.total:
        yield "coverage", _PLOT_MM, coverage_chart(data.coverage, data.threshold)
    names: set[str] = set()
    for name, scores in data.scores.items():
        if scores.total:
            yield (
                file_name("score", name, names),
                _PLOT_MM,
                score_chart(name, scores, data.limits.get(name, Limits())),
            )
    if len(slides) > 1 and any(slide.kept for slide in slides):
        note = f"; {data.left_out:,} without result left out" if data.left_out else ""
        height = _height(slides)
        yield "tiles", height, lambda figure, axes: _tiles(figure, axes, slides, note)
    known = [slide for slide in slides if slide.effective_mpp is not None]
    if len({number(slide.effective_mpp or 0) for slide in known}) > 1:
        yield "mpp", _height(known), lambda _, axes: _mpp(axes, known)


def _height(slides: Sequence[ChartSlide]) -> float:
    return _FRAME_MM + _ROW_MM * len(slides) if len(slides) <= _NAMED else _PLOT_MM


def _funnel(axes: Axes, stages: Sequence[Stage]) -> None:
    places = np.arange(len(stages))
    log = spans_orders([stage.left for stage in stages])
    start = 0.7 if log else 0
    before = [stage.left + stage.dropped for stage in stages]
    axes.barh(places, [n - start for n in before], left=start, color="white",
              edgecolor=WEAK, hatch="////", height=0.7)  # fmt: skip
    axes.barh(places, [max(0, s.left - start) for s in stages], left=start, color=STRONG,
              height=0.7)  # fmt: skip
    if log:
        axes.set_xscale("log")
    number_axis(axes.xaxis) if log else whole_axis(axes.xaxis)
    lost = [f" (−{stage.dropped:,})" if stage.dropped else "" for stage in stages]
    ends = zip(before, stages, lost, strict=True)
    _numbers_at_bars(axes, [(max(n, start), f"{stage.left:,}{text}") for n, stage, text in ends])
    axes.set_yticks(places, [label(stage.label, 20) for stage in stages])
    axes.invert_yaxis()
    axes.set_xlabel("grid cells; hatched: dropped" + (" (log axis)" if log else ""))
    axes.margins(x=0.35 if not log else 0.5)
    axes.set_xlim(left=start)


def _tiles(figure: Figure, axes: Axes, slides: Sequence[ChartSlide], note: str) -> None:
    kept = [slide.kept for slide in slides]
    log = spans_orders(kept)
    start = 0.7 if log else 0
    what = "kept tiles" + (" (log axis)" if log else "")
    if len(slides) <= _NAMED:
        places = np.arange(len(slides))
        axes.barh(places, [max(0, n - start) for n in kept], left=start, color=STRONG, height=0.7)
        _numbers_at_bars(axes, [(max(n, start), f"{n:,}") for n in kept])
        axes.set_yticks(places, [label(slide.slide_id) for slide in slides])
        axes.invert_yaxis()
        axes.margins(x=0.2)
        axes.set_xscale("log" if log else "linear")
        axes.set_xlim(left=start)
        axes.set_xlabel(what)
    else:
        ranks, heights = _curve(kept)
        axes.fill_between(ranks, start, np.maximum(heights, start), step="post", color=STRONG,
                          linewidth=0)  # fmt: skip
        axes.set_xlim(0, len(slides))
        axes.set_yscale("log" if log else "linear")
        axes.set_ylim(bottom=start)
        axes.set_xlabel("slides, most tiles first")
        axes.set_ylabel(what)
    along, across = (axes.xaxis, axes.yaxis) if len(slides) <= _NAMED else (axes.yaxis, axes.xaxis)
    number_axis(along) if log else whole_axis(along)
    if len(slides) > _NAMED:
        whole_axis(across)
    headline(figure, f"{sum(kept):,} tiles of {len(slides):,} slides{note}")


def _numbers_at_bars(axes: Axes, ends: Sequence[tuple[float, str]]) -> None:
    for place, (end, text) in enumerate(ends):
        axes.annotate(text, (end, place), (2, 0), va="center", textcoords="offset points",
                      size=SMALL)  # fmt: skip


def _curve(sorted_counts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return at most 1,000 ranks of sorted counts, and the counts there."""
    size = len(sorted_counts)
    ranks = np.unique(np.linspace(0, size - 1, min(size, _POINTS)).astype(int))
    heights = np.array(sorted_counts)[ranks]
    return np.append(ranks, size), np.append(heights, heights[-1])


def _mpp(axes: Axes, slides: Sequence[ChartSlide]) -> None:
    values = np.array([slide.effective_mpp for slide in slides], np.float64)
    if len(slides) <= _NAMED:
        places = np.arange(len(slides))
        axes.plot(values, places, "o", color=STRONG, markersize=3.5)
        axes.set_yticks(places, [label(slide.slide_id) for slide in slides])
        axes.invert_yaxis()
        axes.grid(axis="y", color=WEAK, linewidth=0.4)
        axes.margins(x=0.1)
    else:
        axes.hist(values, 40, color=STRONG)
        counts, _ = np.histogram(values, 40)
        log = spans_orders(counts.tolist())
        axes.set_yscale("log") if log else None
        number_axis(axes.yaxis) if log else whole_axis(axes.yaxis)
        axes.set_ylabel("slides" + (" (log axis)" if log else ""))
    number_axis(axes.xaxis)
    axes.locator_params("x", nbins=3)
    axes.set_xlabel("effective mpp (µm per pixel)")
