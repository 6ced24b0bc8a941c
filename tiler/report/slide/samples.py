"""Some real tiles of a slide, with the reason why each was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.errors import SlideError
from tiler.exporters.reading import tile_pixels
from tiler.exporters.tiles.encoders import make_encoder
from tiler.geometry import Point
from tiler.grid import Floats
from tiler.protocols import Pixels, Score, WSIReader
from tiler.regions import RegionSpec
from tiler.report.arrays import plain
from tiler.report.slide.judged import Judged
from tiler.resolution import Resolution
from tiler.runner.work.fits import Fits
from tiler.selection import BELOW_THRESHOLD, FILTER, LABEL, score_column
from tiler.storage.safe_text import masked

encode_tile = make_encoder("jpg", 90, "444")


@dataclass(frozen=True)
class Sample:
    """A tile that a page shows.

    Attributes
    ----------
    kind
        ``kept``, ``barely_kept``, ``barely_dropped`` or ``dropped``; several may be of one kind.
    reason
        Why it was chosen, in words; where it cannot be read, the cause.
    src
        The picture, below the report's folder; empty where the tile cannot be read.
    row, column
        Its cell.
    columns
        The values of the cell.
    """

    kind: str
    reason: str
    src: str
    row: int
    column: int
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Choice:
    """A cell to show: its index in the grid, row by row, and why."""

    kind: str
    reason: str
    cell: int


def choose(found: Judged, threshold: float, filters: Mapping[str, Score]) -> list[Sample]:
    """Choose cells to show, none of them twice; the same cells give the same choice.

    They are: a kept tile with the median coverage; the kept tile closest to the threshold, and to
    each limit of a filter; the cell closest below the threshold; for each filter that drops cells,
    the one closest to its limits; and a cell that the label rule drops.

    Returns
    -------
    list of Sample
        Without pictures.
    """
    chosen: dict[int, Sample] = {}
    values = {"ratio": found.cells.ratios, **found.cells.values}
    for choice in _choices(found, threshold, filters):
        row, column = divmod(choice.cell, len(found.cells.x))
        columns = {name: plain(array[row, column]) for name, array in values.items()}
        sample = Sample(choice.kind, choice.reason, "", row, column, columns)
        chosen.setdefault(choice.cell, sample)
    return list(chosen.values())


def _choices(found: Judged, threshold: float, filters: Mapping[str, Score]) -> Iterator[_Choice]:
    ratios, codes = found.cells.ratios.ravel(), found.codes.ravel()
    kept = np.flatnonzero(codes == 0)
    scores = {name: found.cells.values[score_column(name)].ravel() for name in filters}
    if len(kept):
        middle = kept[np.argsort(ratios[kept], kind="stable")[len(kept) // 2]]
        yield _Choice("kept", f"typical: coverage {_apart(ratios[middle], threshold)}", int(middle))
        yield _at_threshold("barely_kept", kept[ratios[kept].argmin()], ratios, threshold)
    for name, score in filters.items():
        for side, limit in _limits(score).items():
            if len(kept):
                cell = int(kept[np.abs(scores[name][kept] - limit).argmin()])
                shown = _apart(scores[name][cell], limit)
                text = f"{name} {shown}, closest to its {side} of {_text(limit)}"
                yield _Choice("barely_kept", text, cell)
    for code, reason in enumerate(found.reasons):
        cells = np.flatnonzero((codes == code) & (ratios > 0))
        if not len(cells):
            continue
        if reason == BELOW_THRESHOLD:
            cell = cells[ratios[cells].argmax()]
            yield _at_threshold("barely_dropped", cell, ratios, threshold)
        elif reason == LABEL:
            label = found.cells.values.get("label", np.full(found.codes.shape, "")).ravel()
            cell = cells[ratios[cells].argmax()]
            yield _Choice("dropped", f"label {str(label[cell]) or '(none)'} is not kept", int(cell))
        elif reason.startswith(FILTER):
            name = reason.removeprefix(FILTER)
            limits = _limits(filters[name])
            side, cell = _closest(cells, scores[name][cells], limits)
            beyond = "below its min" if side == "min" else "above its max"
            shown = _apart(scores[name][cell], limits[side])
            text = f"{name} {shown}, {beyond} of {_text(limits[side])}"
            yield _Choice("dropped", text, cell)


def _at_threshold(kind: str, cell: int, ratios: Floats, threshold: float) -> _Choice:
    text = f"coverage {_apart(ratios[cell], threshold)}, threshold {_text(threshold)}"
    return _Choice(kind, text, int(cell))


def _apart(value: float, limit: float) -> str:
    """Return a number with four digits, or with more where fewer would move it onto its limit."""
    texts = (f"{value:.{digits}g}" for digits in range(4, 18))
    side = np.sign(value - limit)
    return next((text for text in texts if np.sign(float(text) - limit) == side), repr(value))


def _text(limit: float) -> str:
    return repr(float(limit)).removesuffix(".0")


def _limits(score: Score) -> dict[str, float]:
    pairs = ("min", score.min), ("max", score.max)
    return {name: value for name, value in pairs if value is not None}


def _closest(
    cells: npt.NDArray[np.intp], scores: Floats, limits: Mapping[str, float]
) -> tuple[str, int]:
    """Return the limit that one of some dropped cells misses by least, and that cell."""
    found: list[tuple[float, str, int]] = []
    for side, limit in limits.items():
        beyond = limit - scores if side == "min" else scores - limit
        wrong = np.flatnonzero(beyond > 0)
        if len(wrong):
            nearest = wrong[beyond[wrong].argmin()]
            found.append((float(beyond[nearest]), side, int(cells[nearest])))
    _, side, cell = min(found)
    return side, cell


def read_samples(
    samples: Sequence[Sample],
    found: Judged,
    resolution: Resolution,
    source: WSIReader,
    fits: Fits,
) -> Iterator[tuple[Sample, Pixels | None]]:
    """Yield samples with the pixels that tiler writes of them; None for those that it cannot read.

    The reason of a sample says so, and also where tiles stay as they are although the run
    transforms tiles.

    Parameters
    ----------
    samples, found
        The samples and the cells that they are of.
    resolution
        The resolution of the tiles.
    source
        The slide.
    fits
        The transforms of its tiles.
    """
    cells = found.cells
    for sample in samples:
        place = Point(int(cells.x[sample.column]), int(cells.y[sample.row]))
        ratio = float(cells.ratios[sample.row, sample.column])
        region = RegionSpec(place, cells.size, resolution, ratio, cells.downsample)
        try:
            pixels = tile_pixels(source, region, None, fits.transforms)
        except SlideError as error:
            why = masked(f"{sample.reason}; it cannot be read: {error.what}")
            yield replace(sample, reason=why), None
            continue
        raw = f"; {masked(fits.raw)}" if fits.raw else ""
        yield replace(sample, reason=sample.reason + raw), pixels
