"""Charts of a sweep: kept tiles by setting and slide, and against each swept key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tiler.report.charts.figure import (
    INK,
    LETTER_MM,
    SMALL,
    STRONG,
    WEAK,
    Draw,
    chart_bytes,
    distinct,
    file_name,
    headline,
    label,
    length,
    number_axis,
    spans_orders,
    whole_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Counts = npt.NDArray[np.float64]

_NAMED_SLIDES, _NAMED_JOBS, _NUMBERED = 20, 40, 8
_LINES = 5  # more have no style of their own
_STYLES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"), ((0, (1, 1)), "v"))
_GREYS = ("black", "#2b5c8a", "#5f8fbf", "#6b6b6b", "#9a9a9a")
_PLOT_MM, _ROW_MM, _FRAME_MM, _MAX_MM = 60.0, 4.5, 26.0, 220.0
_SLIDE = 22  # letters of a slide's name


@dataclass(frozen=True)
class ChartJob:
    """A job: its settings of the swept keys, and the kept tiles of its slides; None: failed."""

    settings: Mapping[str, str]
    kept: Mapping[str, int | None]


@dataclass(frozen=True)
class SweepCharts:
    """The data of a sweep's charts: the swept keys, and the jobs in their order."""

    keys: Sequence[str]
    jobs: Sequence[ChartJob]


def sweep_charts(data: SweepCharts, formats: Sequence[str]) -> dict[str, bytes]:
    """Draw the charts that have something to show: file name to bytes.

    The names are ``heat_map`` and ``lines_<key>``, with the format as suffix.

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


def _charts(data: SweepCharts) -> Iterator[tuple[str, float, Draw]]:
    slides = list(dict.fromkeys(slide for job in data.jobs for slide in job.kept))
    if not slides:
        return
    table = np.array([[_count(job.kept.get(slide)) for slide in slides] for job in data.jobs])
    if not np.isnan(table).all():
        names = [label(slide, _SLIDE) for slide in slides]
        foot = LETTER_MM * max(map(length, names)) if len(slides) <= _NAMED_SLIDES else 6
        height = min(_FRAME_MM + foot + _ROW_MM * len(data.jobs), _MAX_MM)
        yield "heat_map", height, lambda f, axes: _heat_map(f, axes, data, slides, table)
    shared = ~np.isnan(table).any(axis=0)  # totals of other slides cannot be compared
    if not shared.any():
        return
    totals = table[:, shared].sum(axis=1)
    taken: set[str] = set()
    for key in data.keys:
        if len({job.settings.get(key) for job in data.jobs}) > 1:
            name = file_name("lines", key, taken)
            note = f"{int(shared.sum()):,} of {len(slides):,} slides"
            yield name, _PLOT_MM, _lines_chart(data, key, totals, note)


def _count(kept: int | None) -> float:
    return float("nan") if kept is None else float(kept)


def _setting(job: ChartJob, keys: Sequence[str]) -> str:
    return " ".join(f"{key}={job.settings[key]}" for key in keys if key in job.settings)


def _heat_map(
    figure: Figure, axes: Axes, data: SweepCharts, slides: Sequence[str], table: Counts
) -> None:
    from matplotlib.colors import LogNorm, Normalize

    log = spans_orders(table[~np.isnan(table)].tolist())
    top = max(1.0, float(np.nanmax(table)))
    norm = LogNorm(0.5, top) if log else Normalize(0, top)
    axes.set_facecolor("white")
    shown = np.where(np.isnan(table), np.nan, np.maximum(table, 0.5 if log else 0))
    if table.size <= 2000:
        axes.pcolormesh(shown, norm=norm, cmap="Blues", edgecolor="white", linewidth=0.3)
    else:
        rows, columns = table.shape
        axes.imshow(shown, norm=norm, cmap="Blues", aspect="auto", extent=(0, columns, rows, 0))
    few = len(slides) <= _NUMBERED and len(data.jobs) <= _NAMED_JOBS
    for row, column in np.argwhere(np.isnan(table)) if table.size <= 2000 else ():
        axes.text(column + 0.5, row + 0.5, "×", ha="center", va="center", size=SMALL, color=INK)
    if few:
        for row, column in np.argwhere(~np.isnan(table)):
            count = table[row, column]
            bright = float(norm(max(count, 0.5 if log else 0))) < 0.55
            axes.text(column + 0.5, row + 0.5, f"{count:,.0f}", ha="center", va="center",
                      size=SMALL, color=INK if bright else "white")  # fmt: skip
    axes.set_ylim(len(data.jobs), 0)
    if len(slides) <= _NAMED_SLIDES:
        places = np.arange(len(slides)) + 0.5
        axes.set_xticks(places, distinct([label(slide, _SLIDE) for slide in slides]), rotation=90)
    else:
        whole_axis(axes.xaxis)
        axes.set_xlabel(f"{len(slides):,} slides, in the order of the table")
    common = {key for key in data.keys if len({j.settings.get(key) for j in data.jobs}) < 2}
    keys = [key for key in data.keys if key not in common]
    if len(data.jobs) <= _NAMED_JOBS:
        names = distinct([_ends(keys, job) for job in data.jobs])
        axes.set_yticks(np.arange(len(data.jobs)) + 0.5, names)
    else:
        whole_axis(axes.yaxis)
        axes.set_ylabel(f"{len(data.jobs):,} settings, in their order")
    missing = "; ×: no result" if np.isnan(table).any() else ""
    headline(figure, label(f"kept tiles by {', '.join(keys) or 'slide'}{missing}", 62))
    bar = figure.colorbar(axes.collections[0] if axes.collections else axes.images[0], ax=axes,
                          location="bottom", aspect=40, pad=0.02)  # fmt: skip
    number_axis(bar.ax.xaxis)
    bar.set_label("kept tiles" + (" (log scale)" if log else ""))


def _ends(keys: Sequence[str], job: ChartJob) -> str:
    """Return the values of a job's settings, in the order of the keys."""
    values = [label(str(job.settings.get(key, "–")), 18) for key in keys]
    return label(", ".join(values), 34)


def _lines_chart(data: SweepCharts, key: str, totals: Counts, note: str) -> Draw:
    return lambda figure, axes: _lines(figure, axes, data, key, totals, note)


def _lines(
    figure: Figure, axes: Axes, data: SweepCharts, key: str, totals: Counts, note: str
) -> None:
    """Draw the kept tiles of all slides against a key: a line for each setting of the others."""
    others = [name for name in data.keys if name != key]
    values = list(dict.fromkeys(job.settings.get(key, "–") for job in data.jobs))
    numeric = _numbers(values)
    places = dict(zip(values, range(len(values)) if numeric is None else numeric, strict=True))
    groups: dict[str, list[tuple[float, float]]] = {}
    for job, total in zip(data.jobs, totals.tolist(), strict=True):
        at = places[job.settings.get(key, "–")]
        groups.setdefault(_setting(job, others), []).append((at, total))
    if len(groups) <= _LINES:
        for number, (name, points) in enumerate(groups.items()):
            across, heights = zip(*sorted(points), strict=True)
            style, marker = _STYLES[number]
            axes.plot(across, heights, linestyle=style, marker=marker, markersize=3, linewidth=1,
                      color=_GREYS[number], label=label(name, 48) or None)  # fmt: skip
        if len(groups) > 1:
            figure.legend(loc="outside lower center", ncols=1)
    else:
        x = sorted(set(places.values()))
        by_place = [[t for points in groups.values() for at, t in points if at == p] for p in x]
        ends = [min(some) for some in by_place], [max(some) for some in by_place]
        name = f"range of {len(groups):,} settings"
        if numeric is None:
            axes.vlines(x, *ends, color=WEAK, linewidth=6, label=name)
        else:
            axes.fill_between(x, *ends, color=WEAK, label=name)
        axes.plot(x, [float(np.median(some)) for some in by_place], "o" if numeric is None
                  else "-o", color=STRONG, markersize=3, linewidth=1, label="median")  # fmt: skip
        figure.legend(loc="outside lower center", ncols=2)
    log = spans_orders(totals.tolist())
    if log:
        axes.set_yscale("symlog", linthresh=1)
        number_axis(axes.yaxis)
    else:
        whole_axis(axes.yaxis)
    axes.set_ylim(0, max(1.0, float(totals.max())) * (1.5 if log else 1.08))
    if numeric is None:
        axes.set_xticks(range(len(values)), distinct([label(value, 16) for value in values]),
                        rotation=30 if len(values) > 4 else 0)  # fmt: skip
        axes.margins(x=0.1)
    else:
        wide = min(numeric) > 0 and max(numeric) >= 100 * min(numeric)
        axes.set_xscale("log" if wide else "linear")
        number_axis(axes.xaxis)
    axes.set_xlabel(label(key, 40))
    axes.set_ylabel("kept tiles" + (" (log axis)" if log else ""))
    headline(figure, note)


def _numbers(values: Sequence[str]) -> list[float] | None:
    """Return values as numbers, if all are finite numbers."""
    try:
        found = [float(value) for value in values]
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None
