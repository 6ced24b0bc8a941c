"""Overlap of the masks of two runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tiler.checks.hints import made_of
from tiler.compare.areas import masks_overlap
from tiler.compare.runs import Facts
from tiler.errors import ConfigError
from tiler.protocols import Mask
from tiler.runner.store.arrays import load
from tiler.runner.store.record import MaskFacts

LoadMask = Callable[[Path, str], Mask | None]
"""Loads a mask, (h, w), by the cache's folder and its key; None if the cache has none."""


def mask_facts(record: Facts) -> MaskFacts | None:
    """Return the facts of a slide's mask; None if the record contains none.

    Raises
    ------
    ConfigError
        If these facts are invalid.
    """
    facts = record.get("mask")
    if not facts:
        return None
    try:
        return made_of(MaskFacts, facts)
    except ValueError as error:
        raise ConfigError(
            f"{record['slide_id']}: the mask entry of its record is invalid; run tiler again"
        ) from error


def cached_mask(folder: Path, key: str) -> Mask | None:
    """Load a mask from a run's cache; None if it is missing or damaged."""
    try:
        entry = load(folder, key)
    except ValueError:
        return None
    return None if entry is None else entry.get("mask")


def mask_overlap(
    a: MaskFacts | None,
    b: MaskFacts | None,
    caches: tuple[Path | None, Path | None],
    load_mask: LoadMask = cached_mask,
) -> tuple[float | None, str]:
    """Return the overlap of the masks that two runs used for a slide.

    Parameters
    ----------
    a, b
        The masks' facts in the two records.
    caches
        The folders of the two runs' caches.
    load_mask
        Loads the pixels; called only for masks that differ.

    Returns
    -------
    tuple
        The intersection over union, 0 to 1, or None; and the reason why it is unknown.
    """
    if a is None or b is None:
        return None, "a record contains no mask"
    if (a.sha256, a.width, a.height) == (b.sha256, b.width, b.height):
        return 1.0, ""
    first, second = (
        load_mask(folder, mask.key) if folder else None
        for folder, mask in zip(caches, (a, b), strict=True)
    )
    if first is None or second is None:
        return None, "the cache contains no such mask"
    return masks_overlap(first, second), ""
