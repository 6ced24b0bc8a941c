"""Reasons why a slide has no tiles."""

from __future__ import annotations

from tiler.cover.slide_mask import SlideMask
from tiler.protocols import MaskProvider, WSIReader
from tiler.selection import BELOW_THRESHOLD, FILTER, KEPT, LABEL, Candidates
from tiler.spec import TileSpec

_LISTED = 10
"""Maximum number of labels in a reason."""


def why_empty(
    provider: MaskProvider | None,
    source: WSIReader,
    mask: SlideMask,
    candidates: Candidates,
    spec: TileSpec,
    threshold: float,
) -> str:
    """Return the reason why no cell of a slide is kept."""
    ratios = candidates.cells.ratios
    if not (source.bounds.width and source.bounds.height):
        return "the slide's bounds are empty"
    if (ratios >= threshold).any():
        return _all_dropped(candidates)
    if not ratios.size:
        return f"the slide is smaller than one tile of {tuple(spec.size)} {spec.unit.value}"
    if mask.is_empty:
        explain = getattr(provider, "why_empty", None)
        why = explain(source) if explain else ""
        return f"mask: no tissue on the slide ({ratios.size} candidates){why and f': {why}'}"
    return (
        f"threshold: no tile reaches {threshold}; the best of {ratios.size} has {ratios.max():.4f}"
    )


def _all_dropped(candidates: Candidates) -> str:
    """Name the rules that drop all cells which reach the threshold."""
    decision = candidates.decision
    counts = decision.counts
    reached = sum(counts.values()) - counts[BELOW_THRESHOLD]
    dropped = [
        f"{reason.removeprefix(FILTER)} {count}"
        for reason, count in counts.items()
        if count and reason not in (KEPT, BELOW_THRESHOLD)
    ]
    why = f"selection: {reached} tiles reach the threshold, all dropped ({', '.join(dropped)})"
    if not counts.get(LABEL):
        return why
    labels = candidates.cells.values["label"][decision.codes == decision.reasons.index(LABEL)]
    found = sorted(set(labels.tolist()) - {""})
    more = ", …" if len(found) > _LISTED else ""
    return f"{why}; their labels: {', '.join(found[:_LISTED]) or 'none'}{more}"
