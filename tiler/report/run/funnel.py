"""The funnel of a run: how many grid cells each rule leaves, from candidates to kept tiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiler.report.run.rows import Row, count_of
from tiler.runner.work.job import DONE, DROPPED
from tiler.selection import BELOW_THRESHOLD, FILTER, LABEL, NOT_SAMPLED, UNREADABLE


def funnel(rows: Iterable[Row], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the stages of all slides with output together, in the order of decision.

    Parameters
    ----------
    rows
        The rows of ``slides.csv``. Slides without output of this run are left out, because their
        counts are not final. A slide that failed for too many unreadable tiles has output.
    labels
        The rules in words, by reason.

    Returns
    -------
    list of dict
        For each stage ``label``, ``reason``, and the cells that it ``dropped`` and ``left``.
        The first one is that of all cells, and the last one leaves the kept tiles.
    """
    done = [row for row in rows if row["status"] in DONE or _failed_late(row)]
    columns = dict.fromkeys(name for row in done for name in row if name.startswith(DROPPED))
    columns.pop(DROPPED + LABEL, None)  # labels come after the filters
    rules = {BELOW_THRESHOLD: "below_threshold"}
    rules |= {FILTER + name.removeprefix(DROPPED): name for name in columns}
    if any(DROPPED + LABEL in row for row in done):
        rules[LABEL] = DROPPED + LABEL
    rules |= {NOT_SAMPLED: "not_sampled", UNREADABLE: "dropped"}
    left = sum(count_of(row, "candidates") for row in done)
    stages = [{"label": "Grid cells", "reason": "", "left": left, "dropped": 0}]
    for reason, column in rules.items():
        dropped = sum(count_of(row, column) for row in done)
        if reason in (NOT_SAMPLED, UNREADABLE) and not dropped:
            continue
        left -= dropped
        label = labels.get(reason) or _LABELS.get(reason) or reason.removeprefix(FILTER)
        stages.append({"label": label, "reason": reason, "left": left, "dropped": dropped})
    return stages


def _failed_late(row: Row) -> bool:
    """Return whether a slide failed, but has the tiles that could be read."""
    return row["status"] == "failed" and row.get("output") == "current"


_LABELS = {
    BELOW_THRESHOLD: "At or above the threshold",
    LABEL: "Label is kept",
    NOT_SAMPLED: "Chosen by the sampler",
    UNREADABLE: "Readable",
}
