"""Differences between two runs, slide by slide, as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tiler.compare.areas import boxes_overlap
from tiler.compare.masks import LoadMask, cached_mask, mask_facts, mask_overlap
from tiler.compare.rows import Precision, Tile
from tiler.compare.runs import Facts, Run
from tiler.compare.tiles import Tiles, read_tiles
from tiler.runner.store.settings import differences
from tiler.runner.work.job import DONE


@dataclass(frozen=True)
class TileChange:
    """Differences between the tiles of one slide in two runs.

    Attributes
    ----------
    a, b
        The tiles in A and in B.
    kept, gained, lost
        Tiles in both, only in B, and only in A, in the order of the tables.
    overlap
        Intersection over union of the areas that the two selections cover on level 0.
    ratio_change
        Largest difference of a ratio among the tiles in both; None when no tile is in both, or one
        of the formats has no ratios.
    """

    a: Tiles
    b: Tiles
    kept: tuple[Tile, ...]
    gained: tuple[Tile, ...]
    lost: tuple[Tile, ...]
    overlap: float
    ratio_change: float | None

    @property
    def equal(self) -> bool:
        """Return whether both runs kept the same tiles with the same ratios."""
        return not (self.gained or self.lost or self.ratio_change)


@dataclass(frozen=True)
class SlideChange:
    """Differences between the results of one slide in two runs.

    Attributes
    ----------
    slide_id
        The slide's id.
    status
        Status in A and in B; empty where the run does not contain the slide.
    reason
        Reason in A and in B for a status other than ``done``.
    tiles
        None unless both runs finished the slide.
    mask_overlap
        Intersection over union of the two masks; None when unknown.
    mask_note
        Reason why ``mask_overlap`` is unknown.
    settings
        Settings that differ for this slide only.
    notes
        Further remarks, such as a changed slide file.
    record
        B's record of the slide.
    """

    slide_id: str
    status: tuple[str, str]
    reason: tuple[str, str] = ("", "")
    tiles: TileChange | None = None
    mask_overlap: float | None = None
    mask_note: str = ""
    settings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    record: Facts | None = None

    @property
    def equal(self) -> bool:
        """Return whether status, tiles and ratios are equal; False for an unfinished slide."""
        ended = self.status[0] == self.status[1] != "interrupted"
        return ended and (self.tiles is None or self.tiles.equal)


def setting_changes(a: Run, b: Run) -> list[str]:
    """Return the settings and versions that differ between two runs, except ``out``."""

    def shown(run: Run) -> Facts:
        config = run.facts.get("config") or {}
        settings = {key: value for key, value in config.items() if key != "out"}
        return {**settings, "versions": run.facts.get("versions") or {}}

    return list(differences(shown(a), shown(b)))


def slide_changes(a: Run, b: Run, load_mask: LoadMask = cached_mask) -> Iterator[SlideChange]:
    """Compare the slides of two runs one by one: those of A, then those only in B.

    Raises
    ------
    ConfigError
        If files of a run are missing or damaged.
    """
    common = set(setting_changes(a, b))
    for slide_id in dict.fromkeys([*a.rows, *b.rows]):
        in_a, in_b = a.rows.get(slide_id, {}), b.rows.get(slide_id, {})
        change = SlideChange(
            slide_id,
            status=(in_a.get("status", ""), in_b.get("status", "")),
            reason=(in_a.get("reason", ""), in_b.get("reason", "")),
        )
        done = all(status in DONE for status in change.status)
        yield _with_tiles(change, a, b, common, load_mask) if done else change


def _with_tiles(
    change: SlideChange, a: Run, b: Run, common: set[str], load_mask: LoadMask
) -> SlideChange:
    """Add tiles, masks and settings to the change of a slide that both runs finished."""
    name = change.slide_id
    records = a.record(name), b.record(name)
    tiles = [
        read_tiles(run.slide_folder(name), name, record)
        for run, record in zip((a, b), records, strict=True)
    ]
    masks = mask_facts(records[0]), mask_facts(records[1])
    overlap, why = mask_overlap(*masks, (a.cache, b.cache), load_mask)
    notes = [f"{side}: {note}" for side, t in zip("AB", tiles, strict=True) for note in t.notes]
    sources = [record.get("source") or {} for record in records]
    if sources[0].get("content") != sources[1].get("content"):
        notes.append("A and B used different files for this slide")
    settings = differences(records[0]["settings"], records[1]["settings"])
    return replace(
        change,
        tiles=tile_change(*tiles),
        mask_overlap=overlap,
        mask_note=why,
        settings=tuple(line for line in settings if line not in common),
        notes=tuple(notes),
        record=records[1],
    )


def tile_change(a: Tiles, b: Tiles) -> TileChange:
    """Compare two lists of tiles of one slide."""
    kept = tuple(tile for tile in a.ratios if tile in b.ratios)
    both = max(a.precision, b.precision)
    changes = [abs(both.of(a.ratios[tile]) - both.of(b.ratios[tile])) for tile in kept]
    return TileChange(
        a,
        b,
        kept=kept,
        gained=tuple(tile for tile in b.ratios if tile not in a.ratios),
        lost=tuple(tile for tile in a.ratios if tile not in b.ratios),
        overlap=boxes_overlap(a.boxes0, b.boxes0),
        ratio_change=None if both is Precision.NONE else max(changes, default=None),
    )
