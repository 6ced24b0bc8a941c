"""Histograms with a threshold or limits: the cells within them are dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tiler.report.charts.figure import (
    LIMIT,
    STRONG,
    WEAK,
    Draw,
    headline,
    label,
    number,
    number_axis,
    spans_orders,
    whole_axis,
)
from tiler.report.charts.histograms import SHARES, Binned, bar_edges, bars

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Limits:
    """The limits of a score; None for none."""

    min: float | None = None
    max: float | None = None


def coverage_chart(data: Binned, threshold: float | None) -> Draw:
    """Return the chart of the coverage of all cells."""
    limits = Limits(min=threshold)
    return lambda figure, axes: _histogram(
        figure,
        axes,
        data,
        limits,
        "coverage (share of tissue in a cell)",
        ("threshold", ""),
        shares=True,
    )


def score_chart(name: str, data: Binned, limits: Limits) -> Draw:
    """Return the chart of a filter's scores."""
    return lambda figure, axes: _histogram(
        figure, axes, data, limits, f"score {label(name)}", ("min", "max")
    )


def _histogram(
    figure: Figure,
    axes: Axes,
    data: Binned,
    limits: Limits,
    what: str,
    names: tuple[str, str],
    shares: bool = False,
) -> None:
    """Draw the cells by value; those within the limits are dark."""
    lines = [(name, value, style) for name, value, style in
             ((names[0], limits.min, "--"), (names[1], limits.max, ":"))
             if value is not None and np.isfinite(value)]  # fmt: skip
    edges, by_factor = bar_edges(data, [value for _, value, _ in lines])
    if shares:
        edges, by_factor = SHARES, False
    counts = bars(data, edges)
    low, high = edges[:-1], edges[1:]
    log = spans_orders(counts.tolist())
    start = 0.5 if log else 0
    tall = np.maximum(counts - start, 0)
    axes.bar(low, tall, high - low, start, align="edge", color="white", edgecolor=WEAK,
             hatch="////", linewidth=0.4)  # fmt: skip
    inner_low = np.maximum(low, -np.inf if limits.min is None else limits.min)
    inner_high = np.minimum(high, np.inf if limits.max is None else limits.max)
    width = np.maximum(inner_high - inner_low, 0)
    some = (width > 0) & (counts > 0)
    axes.bar(inner_low[some], tall[some], width[some], start, align="edge", color=STRONG)
    for name, value, style in lines:
        axes.axvline(value, color=LIMIT, linestyle=style, linewidth=1.2,
                     label=f"{name} {number(value)}")  # fmt: skip
    axes.set_xscale("log") if by_factor else None
    number_axis(axes.xaxis)
    axes.set_xlim(float(edges[0]), float(edges[-1]))
    if log:
        axes.set_yscale("log")
        axes.set_ylim(bottom=start)
        number_axis(axes.yaxis)
    else:
        whole_axis(axes.yaxis)
    axes.set_xlabel(what + (" (log axis)" if by_factor else ""))
    axes.set_ylabel("grid cells" + (" (log axis)" if log else ""))
    headline(figure, f"{data.total:,} cells")
    if lines:
        from matplotlib.patches import Patch

        outside = Patch(facecolor="white", edgecolor=WEAK, hatch="////", label="outside")
        handles = [*axes.lines, outside, Patch(color=STRONG, label="within")]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles),
                      handlelength=1.6, columnspacing=1.2)  # fmt: skip
