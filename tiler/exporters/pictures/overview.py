"""A picture of the slide with its mask, the kept tiles and the other cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiler.checks.pixels import checked_pixels
from tiler.errors import ConfigError
from tiler.exporters.pictures.drawing import (
    BELOW,
    DROPPED,
    KEPT,
    MASK,
    UNREADABLE,
    Boxes,
    are_small,
    box_lines,
    crosses,
    draw_line,
    frames,
    is_dark,
    outline,
    stretched,
)
from tiler.exporters.pictures.legend import Entry, with_legend
from tiler.exporters.tiles.encoders import make_encoder
from tiler.files import write_whole
from tiler.geometry import Box, Size
from tiler.protocols import Exported, Mask, Pixels, WSIReader
from tiler.regions import RegionSpec, packed
from tiler.storage.destinations import inside
from tiler.written import WrittenFile

_WITH_ENTRIES = ("below_threshold", "unreadable")
"""Decisions with lines of their own."""

_GLASS_SHADE = 0.65


@dataclass(frozen=True)
class OverviewExporter:
    """Writes ``<slide>_overview.jpg``: the slide, other areas darker, with lines.

    Solid frames are kept tiles. Dashed frames are cells with some tissue below the
    threshold, and in another colour cells that a filter, a label rule or the sampler
    drops; a cross marks a tile that could not be read. A legend and, where the
    slide's mpp is known, a scale bar lie below the picture.

    Parameters
    ----------
    max_side
        Pixels of the slide's longer side in the picture.
    """

    max_side: int = 1600

    def __post_init__(self) -> None:
        if self.max_side < 16:
            raise ConfigError(
                f"exporter.overview.max_side={self.max_side} is too small; use at least 16"
            )

    @property
    def per_tile(self) -> bool:
        """False: one picture shows all tiles."""
        return False

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Draw and write the picture with the kept tiles only."""
        return self.export_all(source, regions, {}, mask, folder)

    def export_all(
        self,
        source: WSIReader,
        regions: Sequence[RegionSpec],
        left_out: Mapping[str, Sequence[RegionSpec]],
        mask: Mask,
        folder: Path,
    ) -> Exported:
        """Draw and write the picture."""
        name = f"{source.name}_overview.jpg"
        picture = draw_overview(source, regions, left_out, mask, self.max_side)
        data = make_encoder("jpg", 90, "444")(picture)  # thin lines of colour stay sharp
        return Exported((WrittenFile(name, *write_whole(inside(folder, name), data)),))


def draw_overview(
    source: WSIReader,
    regions: Sequence[RegionSpec],
    left_out: Mapping[str, Sequence[RegionSpec]],
    mask: Mask,
    max_side: int,
) -> Pixels:
    """Draw the slide's bounded area, at most ``max_side`` long, and a legend below it.

    Parameters
    ----------
    source
        The slide.
    regions
        The tiles that are kept.
    left_out
        Cells that are not kept, by their decision.
    mask
        The tissue.
    max_side
        Pixels of the longer side.
    """
    scale = min(1.0, max_side / max(*source.bounds[2:], 1))
    size = Size(*(max(1, round(side * scale)) for side in source.bounds[2:]))
    picture = checked_pixels(source, "thumbnail", source.thumbnail(size), size).copy()
    dark = is_dark(picture)
    tissue = stretched(mask, size)
    picture[~tissue] = (picture[~tissue] * np.float32(_GLASS_SHADE)).astype(np.uint8)
    below, unreadable = left_out.get("below_threshold", ()), left_out.get("unreadable", ())
    others = {name: some for name, some in left_out.items() if name not in _WITH_ENTRIES}
    boxes = _boxes(regions, source.bounds, scale)
    together = " (outlined together)" if are_small(boxes) else ""
    entries = [
        Entry(MASK, "tissue mask", "line"),
        Entry(KEPT, f"kept: {len(regions):,}{together}"),
    ]
    kept = KEPT.drawn(box_lines(boxes, size))
    draw_line(picture, MASK.drawn(outline(tissue)), MASK, dark)
    if below:
        where = box_lines(_boxes(below, source.bounds, scale), size)
        draw_line(picture, BELOW.drawn(where) & ~kept, BELOW, dark)
        entries.append(Entry(BELOW, f"some tissue, below the threshold: {len(below):,}"))
    if others:
        cells = [region for some in others.values() for region in some]
        where = box_lines(_boxes(cells, source.bounds, scale), size)
        draw_line(picture, DROPPED.drawn(where) & ~kept, DROPPED, dark)
        names = (f"{name.removeprefix('filter:')} {len(some):,}" for name, some in others.items())
        entries.append(Entry(DROPPED, f"dropped: {', '.join(names)}"))
    draw_line(picture, kept, KEPT, dark)
    if unreadable:
        boxes = _boxes(unreadable, source.bounds, scale)
        where = UNREADABLE.drawn(frames(boxes, size)) | crosses(boxes, size, UNREADABLE.width)
        draw_line(picture, where, UNREADABLE, dark)
        entries.append(Entry(UNREADABLE, f"unreadable: {len(unreadable):,}", "crossed"))
    mpp = None if source.mpp is None else source.mpp / scale
    return with_legend(picture, entries, mpp, dark=bool(dark.mean() > 0.5))


def _boxes(regions: Iterable[RegionSpec], bounds: Box, scale: float) -> Boxes:
    """Return regions as boxes in the picture."""
    parts = [part.boxes0() for part in packed(regions)]
    boxes0 = np.concatenate([np.zeros((0, 4), np.int64), *parts])
    first = np.rint((boxes0[:, :2] - bounds[:2]) * scale)
    last = np.rint((boxes0[:, :2] + boxes0[:, 2:] - bounds[:2]) * scale)
    return np.concatenate([first, last - first], axis=1).astype(np.int64)
