"""The tiles of a dataset: those of all slides in one sequence, or some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tiler.dataset.runs import Slide, chosen, read_source
from tiler.dataset.tables import column_names
from tiler.dataset.where.expression import Where, parse
from tiler.dataset.where.tokens import unknown_column
from tiler.errors import ConfigError

Ints = npt.NDArray[np.int64]

Source = str | Path | list[str | Path] | tuple[str | Path, ...]

_SHARED = ("slide", "slide_id", "width", "height", "resolution")
"""Columns that are equal for all tiles of a slide: ``Table.columns`` does not contain them."""


@dataclass(frozen=True, eq=False)
class Index:
    """Tiles in the order of the dataset.

    Attributes
    ----------
    slides
        All slides that have tiles.
    rows
        The place of each tile in the sequence of all tiles of all slides; None for all of them.
    """

    slides: tuple[Slide, ...]
    rows: Ints | None = None

    @cached_property
    def starts(self) -> Ints:
        """The place of the first tile of each slide, and the number of all tiles."""
        counts = np.array([0, *(slide.tiles for slide in self.slides)], np.int64)
        starts: Ints = counts.cumsum()
        return starts

    def __len__(self) -> int:
        return int(self.starts[-1]) if self.rows is None else len(self.rows)

    def places(self, indices: Ints) -> tuple[Ints, Ints]:
        """Return the number of the slide, and the row in its table, of some tiles."""
        rows = indices if self.rows is None else self.rows[indices]
        slides = np.searchsorted(self.starts, rows, side="right") - 1
        return slides, rows - self.starts[slides]

    @cached_property
    def _sorted(self) -> tuple[Ints, Ints]:
        assert self.rows is not None, "only some of the tiles"
        rows = np.sort(self.rows)
        return rows, np.searchsorted(rows, self.starts)

    def counts(self) -> Ints:
        """Return the number of tiles of each slide."""
        counts: Ints = np.diff(self.starts if self.rows is None else self._sorted[1])
        return counts

    def rows_of(self, slide: int) -> Ints:
        """Return the rows of a slide's tiles in its table, ascending."""
        if self.rows is None:
            return np.arange(self.slides[slide].tiles)
        rows, starts = self._sorted
        own: Ints = rows[starts[slide] : starts[slide + 1]] - self.starts[slide]
        return own


def index_of(run: Source, slides: Sequence[str] | None, where: str | None) -> Index:
    """Return the tiles of one or several runs.

    Raises
    ------
    ConfigError
        If a run, a slide id or the expression is invalid.
    """
    sources = list(run) if isinstance(run, list | tuple) else [run]
    if not sources:
        raise ConfigError("run=[] names no run; give a folder or a table")
    condition = None if where is None else parse(where)
    read = [read_source(source) for source in sources]
    index = Index(tuple(slide for some, _ in read for slide in some))
    keep: npt.NDArray[np.bool_] | None = None
    if slides is not None:
        keep = np.repeat(np.array(chosen(index.slides, slides), bool), np.diff(index.starts))
    if condition is not None:
        fits = _fulfilling(index, condition, keep)
        keep = fits if keep is None else keep & fits
    if any(order is not None for _, order in read):
        rows = _joined(read)
        return Index(index.slides, rows if keep is None else rows[keep[rows]])
    return index if keep is None else Index(index.slides, np.flatnonzero(keep))


def _joined(read: Sequence[tuple[Sequence[Slide], Ints | None]]) -> Ints:
    """Return the places of the tiles of sources, one source after the other."""
    rows: list[Ints] = []
    total = 0
    for slides, order in read:
        count = sum(slide.tiles for slide in slides)
        rows.append(total + (np.arange(count) if order is None else order))
        total += count
    return np.concatenate(rows)


def _fulfilling(
    index: Index, condition: Where, keep: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.bool_]:
    """Return which tiles fulfil a condition; slides without kept tiles are not read."""
    found = np.zeros(int(index.starts[-1]), bool)
    lacking: set[str] = set(condition.names)
    known: set[str] = set()
    for number, slide in enumerate(index.slides):
        span = slice(int(index.starts[number]), int(index.starts[number + 1]))
        if keep is not None and not keep[span].any():
            continue
        table = slide.read_table()
        known.update(table.columns, _SHARED)
        columns = {}
        for name in condition.names:
            if name in ("slide", "slide_id"):
                columns[name] = np.full(len(table), slide.slide_id, object)
            else:
                try:
                    columns[name] = table.column(name)
                except KeyError:
                    raise unknown_column("where", name, known) from None
            lacking -= {*table.columns, *_SHARED}
        found[span] = condition(columns)
    if lacking and known:
        raise unknown_column("where", min(lacking), known)
    return found


def check_columns(index: Index, columns: Sequence[str]) -> None:
    """Refuse names that no table has; usually one table is opened.

    Raises
    ------
    ConfigError
        If there is such a name.
    """
    lacking = set(columns)
    known: set[str] = set()
    for slide in index.slides:
        if not lacking:
            return
        if slide.table is not None:
            there = [*slide.table.columns, *_SHARED]
        else:
            there = column_names(slide.table_path())
        lacking.difference_update(there)
        known.update(there)
    if lacking and index.slides:
        raise unknown_column("columns", min(lacking), known)
