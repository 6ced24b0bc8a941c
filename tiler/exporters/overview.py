"""A picture of the slide with its mask and the tiles that were kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiler.errors import ConfigError
from tiler.exporters.encoders import make_encoder
from tiler.files import inside, write_whole
from tiler.geometry import Size
from tiler.protocols import Exported, Mask, Pixels, WSIReader
from tiler.regions import RegionSpec
from tiler.written import WrittenFile

_GRID = (20, 90, 220)
_OUTLINE = (0, 150, 60)
_GLASS_SHADE = 0.65


@dataclass(frozen=True)
class OverviewExporter:
    """Writes ``<slide>_overview.jpg``: mask outlined, what is no tissue darker, tiles framed.

    Parameters
    ----------
    max_side
        Pixels of the picture's longer side.
    """

    max_side: int = 1600

    def __post_init__(self) -> None:
        if self.max_side < 16:
            raise ConfigError(f"exporter.overview.max_side={self.max_side}: must be at least 16")

    @property
    def per_tile(self) -> bool:
        """False: one picture shows all tiles."""
        return False

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Draw and write the picture."""
        name = f"{source.name}_overview.jpg"
        data = make_encoder("jpg", 90)(draw_overview(source, regions, mask, self.max_side))
        return Exported((WrittenFile(name, *write_whole(inside(folder, name), data)),))


def draw_overview(
    source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, max_side: int
) -> Pixels:
    """The slide's bounded area at most ``max_side`` long, with mask and tiles drawn in."""
    x0, y0, width, height = source.bounds
    scale = min(1.0, max_side / max(width, height, 1))
    size = Size(max(1, round(width * scale)), max(1, round(height * scale)))
    picture = source.thumbnail(size).copy()
    tissue = _stretched(mask, size)
    shaded = picture[~tissue].astype(np.float32) * _GLASS_SHADE
    picture[~tissue] = shaded.astype(np.uint8)
    picture[_outline(tissue)] = _OUTLINE
    for region in regions:
        box = region.box0
        left, top = round((box.x - x0) * scale), round((box.y - y0) * scale)
        right = round((box.x + box.width - x0) * scale)
        bottom = round((box.y + box.height - y0) * scale)
        _frame(picture, left, top, right, bottom)
    return picture


def _stretched(mask: Mask, size: Size) -> Mask:
    """The mask at another size, by nearest pixel."""
    height, width = mask.shape
    rows = np.arange(size.height) * height // size.height
    columns = np.arange(size.width) * width // size.width
    return mask[np.ix_(rows, columns)]


def _outline(mask: Mask) -> Mask:
    """Pixels of the mask with a neighbour that is not."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _frame(picture: Pixels, left: int, top: int, right: int, bottom: int) -> None:
    height, width, _ = picture.shape
    rows = slice(max(top, 0), max(bottom, 0) + 1)
    columns = slice(max(left, 0), max(right, 0) + 1)
    for y in {top, bottom} & set(range(height)):
        picture[y, columns] = _GRID
    for x in {left, right} & set(range(width)):
        picture[rows, x] = _GRID
