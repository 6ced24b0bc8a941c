"""A picture of the slide with its mask, the kept tiles and the other cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tiler.checks.pixels import checked_pixels
from tiler.errors import ConfigError
from tiler.exporters.pictures.drawing import (
    BELOW,
    DROPPED,
    HATCHES,
    KEPT,
    MASK,
    UNREADABLE,
    Boxes,
    are_small,
    box_lines,
    crosses,
    draw_line,
    frames,
    hatched,
    is_dark,
    outline,
    stretched,
    union,
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

_FILTER = "filter:"
_GLASS_SHADE = 0.65
_ENLARGED = 256  # pixels: a smaller picture is enlarged to about so many
_FINE, _COARSE, _COARSE_FROM = 4, 9, 24  # pixels between lines of patterns, for sizes of tiles


@dataclass(frozen=True)
class OverviewExporter:
    """Writes ``<slide>_overview.jpg``: the slide, other areas darker, with lines.

    Solid frames are kept tiles. Dashed frames are cells with some tissue below the threshold. Cells
    that a filter, a label rule or the sampler drops have dashed frames in another colour, and a
    pattern for each reason. A cross marks a tile that could not be read. A legend lies below the
    picture, with a scale bar if the slide's mpp is known.

    Parameters
    ----------
    max_side
        Maximum pixels of the slide's longer side in the picture. Very small slides are enlarged.
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
    times = max(1, min(max_side, _ENLARGED) // max(size))
    picture, scale = picture.repeat(times, axis=0).repeat(times, axis=1), scale * times
    size = Size(size.width * times, size.height * times)
    dark = is_dark(picture)
    tissue = stretched(mask, size)
    picture[~tissue] = (picture[~tissue] * np.float32(_GLASS_SHADE)).astype(np.uint8)
    below, unreadable = left_out.get("below_threshold", ()), left_out.get("unreadable", ())
    others = {name: some for name, some in left_out.items() if name not in _WITH_ENTRIES}
    boxes = _boxes(regions, source.bounds, scale)
    together = " (outlined together)" if are_small(boxes) else ""
    fine = len(boxes) and boxes[:, 2:].min() < _COARSE_FROM
    thin = fine and not are_small(boxes)  # wide frames would hide the tissue
    line = replace(KEPT, width=1) if thin else KEPT
    entries = [
        Entry(MASK, "tissue mask", "line"),
        Entry(line, f"kept: {len(regions):,}{together}"),
    ]
    kept = line.drawn(box_lines(boxes, size))
    draw_line(picture, MASK.drawn(outline(tissue)), MASK, dark)
    if below:
        where = box_lines(_boxes(below, source.bounds, scale), size)
        draw_line(picture, BELOW.drawn(where) & ~kept, BELOW, dark)
        entries.append(Entry(BELOW, f"some tissue, below the threshold: {len(below):,}"))
    entries += _draw_dropped(picture, _by_pattern(others), boxes, kept, dark, source.bounds, scale)
    draw_line(picture, kept, KEPT, dark)
    if unreadable:
        boxes = _boxes(unreadable, source.bounds, scale)
        where = UNREADABLE.drawn(frames(boxes, size)) | crosses(boxes, size, UNREADABLE.width)
        draw_line(picture, where, UNREADABLE, dark)
        entries.append(Entry(UNREADABLE, f"unreadable: {len(unreadable):,}", "crossed"))
    mpp = None if source.mpp is None else source.mpp / scale
    return with_legend(picture, entries, mpp, dark=bool(dark.mean() > 0.5))


def _draw_dropped(
    picture: Pixels,
    dropped: Mapping[str, Sequence[RegionSpec]],
    kept_boxes: Boxes,
    kept: Mask,
    dark: Mask,
    bounds: Box,
    scale: float,
) -> list[Entry]:
    """Draw cells that a rule drops, with a pattern for each reason; return their meaning."""
    size = Size(picture.shape[1], picture.shape[0])
    free = ~union(kept_boxes, size)
    entries = []
    for pattern, (text, cells) in enumerate(dropped.items()):
        boxes = _boxes(cells, bounds, scale)
        period = _FINE if boxes[:, 2:].min() < _COARSE_FROM else _COARSE
        hatch = hatched(size, pattern, period) & union(boxes, size) & free
        where = DROPPED.drawn(box_lines(boxes, size)) & ~kept | hatch
        draw_line(picture, where, DROPPED, dark)
        entries.append(Entry(DROPPED, text, hatch=(pattern, period)))
    return entries


def _by_pattern(
    others: Mapping[str, Sequence[RegionSpec]],
) -> dict[str, Sequence[RegionSpec]]:
    """Return dropped cells by the text of the legend, at most as many as there are patterns."""
    some = {name: cells for name, cells in others.items() if cells}
    names = [*some]
    own = names if len(names) <= HATCHES else names[: HATCHES - 1]
    found = {f"{_why(name)}: {len(some[name]):,}": some[name] for name in own}
    if rest := names[len(own) :]:
        counts = ", ".join(f"{name.removeprefix(_FILTER)} {len(some[name]):,}" for name in rest)
        found[f"dropped by others: {counts}"] = [cell for name in rest for cell in some[name]]
    return found


def _why(name: str) -> str:
    return "not sampled" if name == "not_sampled" else f"dropped by {name.removeprefix(_FILTER)}"


def _boxes(regions: Iterable[RegionSpec], bounds: Box, scale: float) -> Boxes:
    """Return regions as boxes in the picture."""
    parts = [part.boxes0() for part in packed(regions)]
    boxes0 = np.concatenate([np.zeros((0, 4), np.int64), *parts])
    first = np.rint((boxes0[:, :2] - bounds[:2]) * scale)
    last = np.rint((boxes0[:, :2] + boxes0[:, 2:] - bounds[:2]) * scale)
    return np.concatenate([first, last - first], axis=1).astype(np.int64)
