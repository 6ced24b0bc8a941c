"""How far the masks of two runs agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tiler.compare.areas import masks_overlap
from tiler.compare.runs import Facts
from tiler.errors import ConfigError
from tiler.hints import made_of
from tiler.protocols import Mask
from tiler.runner.cache import load
from tiler.runner.record import MaskFacts

LoadMask = Callable[[Path, str], Mask | None]
"""From a cache's folder and a key to the mask, (h, w); None where it is not at hand."""


def mask_of(record: Facts) -> MaskFacts | None:
    """The mask that a slide was tiled with; None where the record is too old to say.

    Raises
    ------
    ConfigError
        When the record is damaged.
    """
    facts = record.get("mask")
    if not facts:
        return None
    try:
        return made_of(MaskFacts, facts)
    except ValueError as error:
        raise ConfigError(f"{record['slide_id']}: the mask in its record is damaged") from error


def cached_mask(folder: Path, key: str) -> Mask | None:
    """A mask from a run's cache."""
    try:
        entry = load(folder, key)
    except ValueError:  # damaged: as good as none
        return None
    return None if entry is None else entry.get("mask")


def mask_overlap(
    a: MaskFacts | None,
    b: MaskFacts | None,
    caches: tuple[Path | None, Path | None],
    load_mask: LoadMask = cached_mask,
) -> tuple[float | None, str]:
    """The overlap of the masks that two runs made of a slide.

    Parameters
    ----------
    a, b
        What the records say of them.
    caches
        The folders of the two runs' caches.
    load_mask
        Gets their pixels, which only masks that differ need.

    Returns
    -------
    tuple
        The intersection over union, 0 to 1, or None; and why it is not known.
    """
    if a is None or b is None:
        return None, "no mask in the record"
    if (a.sha256, a.width, a.height) == (b.sha256, b.width, b.height):
        return 1.0, ""
    first, second = (
        load_mask(folder, mask.key) if folder else None
        for folder, mask in zip(caches, (a, b), strict=True)
    )
    if first is None or second is None:
        return None, "no cached mask"
    return masks_overlap(first, second), ""
