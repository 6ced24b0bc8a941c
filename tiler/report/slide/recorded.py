"""The record of a slide, compared with the slide as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tiler.runner.store.fingerprint import Fingerprint
from tiler.runner.store.record import Record, mask_facts
from tiler.runner.work.job import DroppedTile
from tiler.runner.work.plan import SlidePlan
from tiler.storage.safe_text import listed


@dataclass(frozen=True)
class Recorded:
    """The facts of a slide's record that the report needs; small to send.

    Attributes
    ----------
    source, inputs
        The fingerprint of the slide, and the hashes of other files.
    mask_sha256, mask_size
        The SHA-256 of its mask's pixels, and the mask's (width, height).
    planned, kept
        The number of cells, and of those that passed all rules: written or not readable.
    dropped
        Tiles that could not be read.
    code
        Versions of the user's own components.
    """

    source: Fingerprint
    inputs: Mapping[str, str]
    mask_sha256: str
    mask_size: tuple[int, int]
    planned: int
    kept: int
    dropped: tuple[DroppedTile, ...] = ()
    code: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Record) -> Recorded:
        """Return the facts of a record that the report needs."""
        mask, counts = record.mask, record.counts
        return cls(
            record.source,
            dict(record.inputs),
            mask.sha256,
            (mask.width, mask.height),
            counts.planned,
            counts.written + counts.failed,
            tuple(record.dropped),
            dict(record.code),
        )


def staleness(recorded: Recorded | None, plan: SlidePlan, code: Mapping[str, str]) -> str:
    """Return why a plan may differ from what the run recorded, in words; empty if it does not.

    Parameters
    ----------
    recorded
        The slide's record; None for none.
    plan
        The plan of now.
    code
        Versions of the user's own components: see ``SlideJob``.
    """
    if recorded is None:
        return ""
    shared = plan.shared
    facts = shared.known.facts
    reasons: list[str] = []
    if shared.source != recorded.source:
        reasons.append("the slide's file changed")
    names = sorted({*shared.inputs, *recorded.inputs})
    changed = [name for name in names if shared.inputs.get(name) != recorded.inputs.get(name)]
    if changed:
        reasons.append(f"other files changed: {listed(changed)}")
    both = sorted(code.keys() & recorded.code.keys())
    if own := [name for name in both if code[name] != recorded.code[name]]:
        reasons.append(f"your own code changed: {listed(own)}")
    mask = mask_facts(shared.mask, *shared.keys, facts.bounds, facts.mpp)
    if (mask.sha256, (mask.width, mask.height)) != (recorded.mask_sha256, recorded.mask_size):
        reasons.append("the mask differs")
    now = plan.row.candidates, len(plan.regions) + len(plan.unreadable)
    if now != (recorded.planned, recorded.kept):
        reasons.append(
            f"{now[1]:,} of {now[0]:,} cells pass all rules now, and"
            f" {recorded.kept:,} of {recorded.planned:,} did"
        )
    if not reasons:
        return ""
    return f"since the run, {'; '.join(reasons)}; run again to see what tiler would write now"
