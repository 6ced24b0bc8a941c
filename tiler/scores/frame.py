"""The resolution at which scores are measured on a slide, and its pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tiler.checks.pixels import checked_pixels
from tiler.errors import Fix, ResolutionError
from tiler.grid import Axes
from tiler.protocols import Pixels, WSIReader
from tiler.resolution import LEVEL_TOLERANCE, MPP, Resolution, level_at, plan_read
from tiler.scores.footprints import Footprints

_DUST = 1e-6  # pixels; a slide of exactly n pixels must not gain one by float arithmetic


@dataclass(frozen=True)
class Frame:
    """A slide at the resolution of some scores.

    Attributes
    ----------
    source
        The open slide.
    resolution
        The resolution at which it is read.
    level_scale
        Pixels of the level that is read for each pixel.
    width, height
        The size of the slide in pixels, fractional.
    across, down
        The columns and rows of cells.
    """

    source: WSIReader
    resolution: Resolution
    level_scale: float
    width: float
    height: float
    across: Footprints
    down: Footprints

    @classmethod
    def of(cls, source: WSIReader, axes: Axes, resolution: Resolution) -> Frame:
        """Return the frame of a slide's cells at a resolution."""
        downsample = resolution.downsample(source)
        level = level_at(downsample, source.level_downsamples)
        width, height = (
            map(float, source.level_dimensions[level])
            if level is not None
            else (_settled(side / downsample) for side in source.dimensions)
        )
        scale = downsample / axes.downsample
        plan = plan_read(
            downsample, source.level_downsamples, slide=source.name, allow_upsampling=True
        )
        return cls(
            source,
            resolution,
            plan.scale,
            width,
            height,
            Footprints.of(axes.x, axes.size.width, scale, width),
            Footprints.of(axes.y, axes.size.height, scale, height),
        )

    def read(self, left: int, top: int, right: int, bottom: int, margin: int) -> Pixels:
        """Return the pixels of a box, and those around it that are inside the slide.

        The last column or row of the slide may be a part of a pixel. It then has the colour of the
        one before: otherwise background would be averaged into it.
        """
        left, top = max(0, left - margin), max(0, top - margin)
        right = min(right + margin, math.ceil(self.width))
        bottom = min(bottom + margin, math.ceil(self.height))
        whole_right = min(right, max(1, math.floor(self.width)))
        whole_bottom = min(bottom, max(1, math.floor(self.height)))
        x, y = min(left, whole_right - 1), min(top, whole_bottom - 1)
        shape = whole_right - x, whole_bottom - y
        pixels = checked_pixels(
            self.source,
            "read_region",
            self.source.read_region((x, y), shape, self.resolution, bounded=False),
            shape,
        )
        if (right, bottom) != (whole_right, whole_bottom):
            more = (0, bottom - whole_bottom), (0, right - whole_right), (0, 0)
            pixels = np.pad(pixels, more, mode="edge")[top - y :, left - x :]
        return pixels

    def background(self) -> Pixels:
        """Return the colour beyond the slide, (1, 1, 3)."""
        beyond = math.ceil(self.width) + 1, math.ceil(self.height) + 1
        pixels = self.source.read_region(beyond, (1, 1), self.resolution, bounded=False)
        return checked_pixels(self.source, "read_region", pixels, (1, 1))


def resolution_of(
    name: str, mpp: float | None, source: WSIReader, axes: Axes, target: Resolution
) -> Resolution:
    """Return the resolution at which a filter is measured.

    Raises
    ------
    ResolutionError
        If the slide's mpp is unknown, or the filter's is finer than the scan; it names the filter.
    """
    if mpp is None:
        return target
    key, other = f"filter.{name}.mpp", f"set filter.{name}.mpp=null (the tiles' own resolution)"
    if source.mpp is None:
        raise ResolutionError(
            source.name,
            f"{key}={mpp:g} needs the slide's mpp, which is not usable: {source.provenance['mpp']}",
            fix=Fix(
                f"{other}, or reader.mpp=…",
                "measure it with mpp=None, or open the slide with open_slide(path, mpp=…)",
            ),
        )
    wanted = MPP(mpp, LEVEL_TOLERANCE)
    downsample = wanted.downsample(source)
    if math.isclose(downsample, axes.downsample, rel_tol=1e-9):
        return target
    if downsample < min(source.level_downsamples):
        _check_fineness(source, wanted, f"{key}={mpp:g}", other)
    return wanted


def _check_fineness(source: WSIReader, resolution: Resolution, what: str, other: str) -> None:
    """Refuse a resolution finer than the scan, unless the reader enlarges."""
    try:
        source.read_region((0, 0), (1, 1), resolution, bounded=False)
    except ResolutionError as error:
        raise ResolutionError(
            source.name,
            f"{what} is finer than the scan ({source.mpp:.4g} µm per pixel)",
            fix=Fix(f"{other}, or a coarser one", "measure it with mpp=None, or a coarser one"),
        ) from error


def by_resolution(
    scores: Sequence[tuple[str, float | None]], source: WSIReader, axes: Axes, target: Resolution
) -> dict[Resolution, list[str]]:
    """Return the names of scores that share a resolution, for names and their mpp."""
    groups: dict[Resolution, list[str]] = {}
    for name, mpp in scores:
        groups.setdefault(resolution_of(name, mpp, source, axes, target), []).append(name)
    return groups


def _settled(length: float) -> float:
    nearest = round(length)
    return float(nearest) if abs(length - nearest) < _DUST else length
