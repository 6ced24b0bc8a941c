"""A slide's mask as an image that ``mask=file`` reads back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiler.exporters.tiles.png import png_bytes
from tiler.files import write_whole
from tiler.geometry import Box
from tiler.protocols import Exported, Mask, WSIReader
from tiler.regions import RegionSpec
from tiler.storage.destinations import inside
from tiler.written import WrittenFile

_LEVEL = 1  # of deflate: higher ones gain little on areas of two values
_MOST = 2**31 - 1  # of a number in a PNG


@dataclass(frozen=True)
class MaskExporter:
    """Writes ``<slide>_mask.png``: the mask in 8-bit grey, tissue 255 and the rest 0.

    The picture covers the slide's bounded area. The slide's record contains its frame, and the
    picture states the shape of its pixels, which are rarely square on small slides. Read back by
    ``mask=file``, it gives the same coverage of every cell. It is an approximation only for masks
    with polygons and for combined rasters of different sizes: see ``Cover.rendered``.
    """

    @property
    def per_tile(self) -> bool:
        """False: one picture shows the whole mask."""
        return False

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write the picture."""
        name = f"{source.name}_mask.png"
        grey = np.where(mask, np.uint8(255), np.uint8(0))
        data = png_bytes(grey, _LEVEL, density=_density(mask, source.bounds))
        return Exported((WrittenFile(name, *write_whole(inside(folder, name), data)),))


def _density(mask: Mask, bounds: Box) -> tuple[int, int] | None:
    """Return the pixels of a mask across and down per length, reduced; None if they are square."""
    height, width = mask.shape
    across, down = width * bounds.height, height * bounds.width
    if across == down or not (across and down):
        return None
    least = max(math.gcd(across, down), -(-max(across, down) // _MOST))
    return max(1, across // least), max(1, down // least)
