"""The charts of a run, from the data of its page and the histograms of its slides."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tiler.report.charts.bins import RATIO, SCORE, read_bins
from tiler.report.charts.histogram_chart import Limits
from tiler.report.charts.histograms import Binned, added
from tiler.report.charts.run import ChartSlide, RunCharts, Stage, run_charts
from tiler.runner.work.job import DONE
from tiler.storage.stored import StoredError, read_regular

log = logging.getLogger("tiler")

FOLDER = "charts"
_MAX_FILE = 64 << 20
_AT_ONCE = 200  # histograms that are added together
_LINES = "lines_"
_TITLES = {
    "funnel": "Cells that each rule leaves",
    "coverage": "Coverage of all grid cells",
    "tiles": "Kept tiles of each slide",
    "mpp": "Effective mpp of the slides",
    "heat_map": "Kept tiles by setting and slide",
}


def chart_files(
    data: Mapping[str, Any], bins: Sequence[Path], formats: Sequence[str]
) -> dict[str, bytes]:
    """Draw the charts of a run, by their paths in the folder of its report.

    Parameters
    ----------
    data
        The data of the run's page.
    bins
        The files with the histograms of its slides.
    formats
        ``svg``, ``png``, both, or none.
    """
    if not formats:
        return {}  # the histograms need not be read
    made = run_charts(_run(data, _histograms(bins)), formats)
    return {f"{FOLDER}/{name}": content for name, content in made.items()}


def shown(paths: Sequence[str]) -> list[dict[str, str]]:
    """Return the charts that a page shows: the SVG of each, or the PNG if there is no SVG."""
    by_name: dict[str, str] = {}
    for path in sorted(paths):  # .png before .svg
        by_name[path.removeprefix(f"{FOLDER}/").rpartition(".")[0]] = path
    order = {name: number for number, name in enumerate(["funnel", "coverage", "tiles", "mpp"])}
    names = sorted(by_name, key=lambda name: (order.get(name, 1.5), name))
    return [{"href": by_name[name], "title": _title(name)} for name in names]


def _title(name: str) -> str:
    if name.startswith(_LINES):
        return f"Kept tiles of all slides against {name.removeprefix(_LINES)}"
    score = f"Score {name.removeprefix(SCORE)} of cells that reach the threshold"
    return _TITLES.get(name) or score


def _run(data: Mapping[str, Any], histograms: Mapping[str, Binned]) -> RunCharts:
    columns, rules = data["slides"], data["rules"] or {}
    names = ("slide_id", "status", "kept", "effective_mpp")
    none = [None] * len(columns.get("slide_id", ()))
    rows = list(zip(*(columns.get(name, none) for name in names), strict=True))
    done = [
        ChartSlide(str(slide), int(kept or 0), None if mpp in (None, "") else float(mpp))
        for slide, status, kept, mpp in rows
        if status in DONE
    ]
    stages = [
        Stage(stage["label"], stage["left"], stage["dropped"]) for stage in data["funnel"]
    ]  # fmt: skip
    limits = {one["name"]: Limits(one["min"], one["max"]) for one in rules.get("filters", ())}
    scores = {
        name.removeprefix(SCORE): found
        for name, found in histograms.items()
        if name.startswith(SCORE)
    }
    return RunCharts(
        done,
        stages,
        histograms.get(RATIO),
        rules.get("threshold"),
        scores,
        limits,
        len(rows) - len(done),
    )


def _histograms(files: Sequence[Path]) -> dict[str, Binned]:
    """Add the histograms of slides; a file that is damaged is left out, with a warning."""
    parts: dict[str, list[Binned]] = {}
    for path in files:
        try:
            found = read_bins(read_regular(path, _MAX_FILE))
        except (FileNotFoundError, StoredError) as error:
            log.warning("report: %s %s; the charts of all slides lack it", path, error)
            continue
        for name, one in found.items():
            some = parts.setdefault(name, [])
            some.append(one)
            if len(some) > _AT_ONCE:
                some[:] = [added(some)]
    return {name: added(some) for name, some in parts.items()}
