"""A slide's bounded area at one scale, of which any box can be read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tiler.checks.pixels import checked_pixels
from tiler.errors import Fix, ResolutionError
from tiler.geometry import Box, Extent, Size
from tiler.pixels.area import area_mean, snapped
from tiler.protocols import Pixels, WSIReader
from tiler.resolution import LEVEL_TOLERANCE, Level, plan_read

_STRIP_BYTES = 64 << 20
"""Pixels of the slide in memory at once, besides those of the result."""


@dataclass(frozen=True)
class View:
    """A slide's bounded area in whole pixels of one scale.

    The pixels fill the bounds exactly, as those of ``WSIReader.thumbnail`` do: their sides may
    differ from the requested scale by half a pixel in all.

    Attributes
    ----------
    source
        The open slide.
    size
        Pixels of the whole area.
    level
        The level that is read.
    """

    source: WSIReader
    size: Size
    level: int

    def read(self, box: Box) -> Pixels:
        """Return the pixels of a box inside the area, each the mean of its footprint."""
        level_downsample = self.source.level_downsamples[self.level]
        left, top, width, height = (value / level_downsample for value in self.source.bounds)
        scale = Extent(width / self.size.width, height / self.size.height)
        row_bytes = 3 * max(1.0, box.width * scale.width) * max(1.0, scale.height)
        rows = max(1, int(_STRIP_BYTES / row_bytes))
        strips = [
            self._strip(
                left + box.x * scale.width,
                top + y * scale.height,
                Size(box.width, min(rows, box.bottom - y)),
                scale,
            )
            for y in range(box.y, box.bottom, rows)
        ]
        return strips[0] if len(strips) == 1 else np.concatenate(strips)

    def _strip(self, left: float, top: float, size: Size, scale: Extent) -> Pixels:
        """Average a box that begins at a position in pixels of the level."""
        left, top = snapped(left), snapped(top)
        right = snapped(left + size.width * scale.width)
        bottom = snapped(top + size.height * scale.height)
        x, y = math.floor(left), math.floor(top)
        wanted = Size(max(1, math.ceil(right) - x), max(1, math.ceil(bottom) - y))
        # A level may lack the partial pixel at the slide's end: the last whole one replaces it.
        stored = self.source.level_dimensions[self.level]
        x, y = min(x, stored.width - 1), min(y, stored.height - 1)
        there = Size(min(wanted.width, stored.width - x), min(wanted.height, stored.height - y))
        pixels = checked_pixels(
            self.source,
            "read_region",
            self.source.read_region((x, y), there, Level(self.level), bounded=False),
            there,
        )
        whole = filled(pixels, wanted)
        return area_mean(whole, left - x, top - y, scale.width, scale.height, size)


def view_at(source: WSIReader, mpp: float) -> View:
    """Return a slide's bounded area at a number of microns per pixel.

    Raises
    ------
    ResolutionError
        If the slide's mpp is unknown, or the slide is coarser.
    """
    if source.mpp is None:
        raise ResolutionError(
            source.name,
            f"mask.mpp={mpp:g} needs the slide's mpp, which is not usable:"
            f" {source.provenance['mpp']}",
            fix=Fix(
                "set reader.mpp=… (or a reader.mpp column for this slide in slides.table), or"
                " choose another mask",
                "open it with open_slide(path, mpp=…)",
            ),
        )
    downsample = mpp / source.mpp
    enlarges = getattr(source, "allow_upsampling", False)
    if downsample * (1 + LEVEL_TOLERANCE) < 1 and not enlarges:
        raise ResolutionError(
            source.name,
            f"mask.mpp={mpp:g} is finer than the scan, which has mpp={source.mpp:g}",
            fix=Fix(
                "choose a network for a coarser mpp, or reader.allow_upsampling=true to enlarge",
                "choose a network for a coarser mpp, or open_slide(path, allow_upsampling=True)",
            ),
        )
    plan = plan_read(
        downsample, source.level_downsamples, slide=source.name, allow_upsampling=enlarges
    )
    width, height = (max(1, round(side / downsample)) for side in source.bounds[2:])
    return View(source, Size(width, height), plan.level)


def filled(pixels: Pixels, size: Size) -> Pixels:
    """Repeat the last column and row of pixels up to a size."""
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    return np.pad(pixels, ((0, size.height - height), (0, size.width - width), (0, 0)), mode="edge")
