"""The decision about every grid cell: a pure function of its columns.

A cell is kept if it passes all rules: coverage threshold, limits of every filter, labels that are
kept, and sampler, in this order. The first rule that drops a cell is its reason.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.checks.rule_results import checked_choice, checked_labels, checked_notes
from tiler.errors import SlideError
from tiler.geometry import Box
from tiler.grid import Axes, Cells, Floats
from tiler.protocols import Labels, Mask, Sampler, Score, Tiles
from tiler.protocols.sampler import ColumnError
from tiler.regions import Regions
from tiler.resolution import Resolution
from tiler.scores.limits import passes
from tiler.storage.safe_text import listed

KEPT = "kept"
BELOW_THRESHOLD = "below_threshold"
LABEL = "label"
NOT_SAMPLED = "not_sampled"
UNREADABLE = "unreadable"
_SHARE = "label_"
"""Begins the column of a class's share."""

FILTER = "filter:"
"""Begins the reason of cells that a filter drops; its name follows."""


@dataclass(frozen=True)
class Rules:
    """The rules that decide which cells are kept, in this order.

    Attributes
    ----------
    threshold
        The minimum coverage, 0 to 1.
    filters
        Scores by name; the limits of each count.
    labels
        Gives each cell a label, and lists the labels that are kept; None for no labels.
    sampler
        Chooses among the cells that are left; None keeps all.
    """

    threshold: float
    filters: Mapping[str, Score] = field(default_factory=dict)
    labels: Labels | None = None
    sampler: Sampler | None = None


@dataclass(frozen=True, eq=False)
class Decision:
    """The decision about every cell of a grid.

    Attributes
    ----------
    reasons
        ``kept``, ``below_threshold``, then ``unreadable`` for cells that have no score because
        they cannot be read, ``filter:<name>`` for each filter, ``label`` and ``not_sampled``, as
        far as there are such rules.
    codes
        uint8 (ny, nx): the index of each cell's reason.
    notes
        Remarks on labels and the sampler for the slide's row.
    """

    reasons: tuple[str, ...]
    codes: npt.NDArray[np.uint8]
    notes: tuple[str, ...] = ()

    @property
    def kept(self) -> Mask:
        """The kept cells, bool (ny, nx)."""
        return np.asarray(self.codes == 0)

    @property
    def counts(self) -> dict[str, int]:
        """The number of cells for each reason; together all cells."""
        found = np.bincount(self.codes.ravel(), minlength=len(self.reasons))
        return dict(zip(self.reasons, found.tolist(), strict=True))

    def text(self) -> npt.NDArray[Any]:
        """Return the reason of every cell as text, (ny, nx)."""
        return np.array(self.reasons, object)[self.codes]


@dataclass(frozen=True, eq=False)
class Candidates:
    """All cells of a slide's grid, and the decision about each."""

    cells: Cells
    decision: Decision

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return one array (N,) for each column, row by row: a table of all cells."""
        cells = self.cells
        rows, columns = np.divmod(np.arange(cells.ratios.size), max(len(cells.x), 1))
        return {
            "x": cells.x[columns],
            "y": cells.y[rows],
            "row": rows,
            "column": columns,
            "ratio": cells.ratios.ravel(),
            **{name: values.ravel() for name, values in cells.values.items()},
            "decision": self.decision.text().ravel(),
        }

    def regions(
        self, resolution: Resolution, unreadable: Container[tuple[int, int]] = ()
    ) -> Regions:
        """Return all cells as regions with the column ``decision``, row by row.

        ``unreadable`` are the locations of kept tiles that could not be read.
        """
        columns = self.columns()
        locations = np.stack([columns.pop("x"), columns.pop("y")], axis=1)
        if unreadable:
            kept = np.flatnonzero(columns["decision"] == KEPT)
            bad = [tuple(place) in unreadable for place in locations[kept].tolist()]
            columns["decision"][kept[bad]] = UNREADABLE
        ratios = columns.pop("ratio")
        cells = self.cells
        return Regions(locations, ratios, cells.size, resolution, cells.downsample, columns)


def level0_edges(cells: Axes, mask: Mask, bounds: Box) -> tuple[Floats, Floats]:
    """Return where columns and rows of cells begin and end, in level-0 pixels from the bounds.

    Parameters
    ----------
    cells
        The grid.
    mask
        bool (h, w): the mask in whose pixels the grid's edges are.
    bounds
        The slide's bounded area, over which the mask is stretched.

    Returns
    -------
    tuple of numpy.ndarray
        float64 (nx, 2) and (ny, 2).
    """
    height, width = mask.shape
    return cells.columns * (bounds.width / width), cells.rows * (bounds.height / height)


def label_columns(
    labels: Labels, shares: Mapping[str, Floats], cells: Axes, slide: str
) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of cells that come from shares of classes, (ny, nx) each."""
    columns: dict[str, npt.NDArray[Any]] = {_SHARE + name: share for name, share in shares.items()}
    assigned = labels.assigned(shares)
    if assigned is None:
        return columns
    shape = len(cells.y), len(cells.x)
    return {**columns, "label": checked_labels(labels, assigned, shape, slide)}


def score_column(name: str) -> str:
    """Return the column of a filter's scores."""
    return f"score_{name}"


def decide(cells: Cells, rules: Rules, slide: str) -> Decision:
    """Decide about every cell of a slide's grid.

    Parameters
    ----------
    cells
        The grid with its columns; a score is NaN where the threshold is not reached, or where the
        cell cannot be read.
    rules
        The rules.
    slide
        The slide's name in outputs, on which samples depend.

    Raises
    ------
    SlideError
        If the sampler needs a column that the slide does not have.
    ComponentError
        If a sampler returns anything but one boolean per tile.
    """
    notes: list[str] = []
    reasons = [KEPT, BELOW_THRESHOLD]
    codes = np.where(cells.ratios >= rules.threshold, np.uint8(0), np.uint8(1))

    def drop(cells_out: Mask, reason: str) -> None:
        codes[(codes == 0) & cells_out] = len(reasons)
        reasons.append(reason)

    if rules.filters:
        scores = [cells.values[score_column(name)] for name in rules.filters]
        drop(np.asarray(np.isnan(scores).any(axis=0)), UNREADABLE)
    for name, score in rules.filters.items():
        drop(~passes(score, cells.values[score_column(name)]), FILTER + name)
    if rules.labels is not None and rules.labels.keep is not None:
        labels = cells.values.get("label", np.full(codes.shape, ""))  # without it, none has one
        drop(~np.isin(labels, list(rules.labels.keep)), LABEL)
        notes += _unknown(rules.labels.keep, cells.values)
    if rules.sampler is not None:
        left = codes == 0
        tiles = tiles_of(cells, left, slide)
        chosen = np.zeros(codes.shape, bool)
        chosen[left] = _chosen(rules.sampler, tiles)
        notes += checked_notes(rules.sampler, tiles, slide)
        drop(~chosen, NOT_SAMPLED)
    return Decision(tuple(reasons), codes, tuple(notes))


def _unknown(keep: Sequence[str], columns: Mapping[str, npt.NDArray[Any]]) -> Iterator[str]:
    """Yield a remark if labels that are kept are neither classes nor labels of the slide."""
    classes = [name.removeprefix(_SHARE) for name in columns if name.startswith(_SHARE)]
    known = {"", *classes, *np.unique(columns.get("label", "")).tolist()}
    unknown = [name for name in keep if name not in known]
    if classes and unknown:
        yield f"label.keep: no class {listed(unknown)}; the classes are {listed(classes)}"


def tiles_of(cells: Cells, chosen: Mask, slide: str) -> Tiles:
    """Return some cells of a grid, (ny, nx), as the tiles that a sampler chooses from."""
    rows, columns = np.nonzero(chosen)
    locations = np.stack([cells.x[columns], cells.y[rows]], axis=1)
    values = {name: values[chosen] for name, values in cells.values.items()}
    found = {"ratio": cells.ratios[chosen], "row": rows, "column": columns, **values}
    return Tiles(slide, locations, found)


def _chosen(sampler: Sampler, tiles: Tiles) -> Mask:
    try:
        chosen: object = sampler.choose(tiles)
    except ColumnError as error:
        raise SlideError(tiles.slide_id, str(error)) from error
    return checked_choice(sampler, chosen, len(tiles), tiles.slide_id)
