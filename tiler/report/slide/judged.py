"""The cells of a slide with all their columns, and the decision about each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tiler.grid import Cells
from tiler.report.slide.low_scores import LowScores
from tiler.runner.work.job import DroppedTile
from tiler.selection import UNREADABLE, Candidates


@dataclass(frozen=True, eq=False)
class Judged:
    """The cells of a slide and the decision about each, as the run has it.

    Attributes
    ----------
    cells
        The grid; scores below the threshold are there where they are known.
    reasons
        As in ``Decision``; ``unreadable`` is added at the end if only the run found such tiles.
    codes
        uint8 (ny, nx): the index of each cell's reason.
    """

    cells: Cells
    reasons: tuple[str, ...]
    codes: npt.NDArray[np.uint8]


def judged(candidates: Candidates, low: LowScores, dropped: Sequence[DroppedTile]) -> Judged:
    """Return the cells of a slide with all scores, and the decision with the run's lost tiles.

    Parameters
    ----------
    candidates
        The cells of the plan.
    low
        The scores of all cells.
    dropped
        Kept tiles that the run could not read.
    """
    cells, decision = candidates.cells, candidates.decision
    reasons, codes = decision.reasons, decision.codes
    columns = {int(x): number for number, x in enumerate(cells.x.tolist())}
    rows = {int(y): number for number, y in enumerate(cells.y.tolist())}
    lost = [
        (rows[tile.y], columns[tile.x])
        for tile in dropped
        if tile.x in columns and tile.y in rows and not codes[rows[tile.y], columns[tile.x]]
    ]
    if lost:
        if UNREADABLE not in reasons:
            reasons = (*reasons, UNREADABLE)
        codes = codes.copy()
        codes[tuple(np.transpose(lost))] = reasons.index(UNREADABLE)
    return Judged(replace(cells, values={**cells.values, **low.columns}), reasons, codes)
