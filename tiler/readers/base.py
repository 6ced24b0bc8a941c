"""Base classes of readers: any region at any resolution from the levels of a slide.

A reader of a format lists the levels and reads whole pixels of one level.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from tiler.errors import ConfigError
from tiler.geometry import Box, Size, finite_pair, whole_box, whole_pair
from tiler.pixels.area import SNAP, area_mean, snapped
from tiler.protocols import Pixels
from tiler.readers.limits import check_read
from tiler.readers.sparse import SparseTiles
from tiler.resolution import Resolution, plan_read

_STRIP_BYTES = 64 << 20  # source pixels in memory during a thumbnail


@dataclass(frozen=True)
class Facts:
    """Facts of a slide, from the file or from overrides.

    ``mpp`` and ``magnification`` are None if unknown; ``provenance`` states the origin of each, or
    why it is missing. ``background`` is the colour of unscanned areas, RGB. ``sparse`` contains
    the native tiles that the file omits from each level; None if the file does not list them.
    """

    level_dimensions: tuple[Size, ...]
    level_downsamples: tuple[float, ...]
    bounds: Box
    mpp: float | None
    magnification: float | None
    provenance: Mapping[str, str]
    properties: Mapping[str, str]
    background: tuple[int, int, int] = (255, 255, 255)
    sparse: tuple[SparseTiles, ...] | None = None


class FactsReader(ABC):
    """The part of a ``WSIReader`` that needs no pixels.

    To pickle or copy a reader opens its file again with the same arguments.
    """

    _given: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Keep the arguments, so that the reader pickles: see ``__reduce__``."""
        reader = super().__new__(cls)
        reader._given = args, settings
        return reader

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path and the settings: unpickling opens the file again."""
        return _reopened, (type(self), *self._given)

    def __init__(self, path: Path, name: str | None, facts: Facts) -> None:
        self.path = path
        self.name = path.stem if name is None else name
        self.facts = facts

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    @property
    def dimensions(self) -> Size:
        """The size of level 0, in pixels."""
        return self.facts.level_dimensions[0]

    @property
    def bounds(self) -> Box:
        """The scanned area in level-0 pixels."""
        return self.facts.bounds

    @property
    def level_dimensions(self) -> tuple[Size, ...]:
        """Each level's size in its own pixels, finest first."""
        return self.facts.level_dimensions

    @property
    def level_downsamples(self) -> tuple[float, ...]:
        """Level-0 pixels per pixel of each level, finest first."""
        return self.facts.level_downsamples

    @property
    def mpp(self) -> float | None:
        """Microns per level-0 pixel, or None."""
        return self.facts.mpp

    @property
    def magnification(self) -> float | None:
        """Objective power of level 0, or None."""
        return self.facts.magnification

    @property
    def provenance(self) -> Mapping[str, str]:
        """The origin of mpp and magnification, or the reason why they are missing."""
        return self.facts.provenance

    @property
    def properties(self) -> Mapping[str, str]:
        """All metadata of the file, as text."""
        return self.facts.properties

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _reopened(
    kind: type[FactsReader], args: tuple[Any, ...], settings: dict[str, Any]
) -> FactsReader:
    return kind(*args, **settings)


class LevelReader(FactsReader):
    """A ``WSIReader`` over ``_read_level``."""

    def __init__(self, path: Path, name: str | None, facts: Facts, allow_upsampling: bool) -> None:
        super().__init__(path, name, facts)
        self.allow_upsampling = allow_upsampling

    @abstractmethod
    def _read_level(self, level: int, x: int, y: int, size: Size) -> Pixels:
        """Return whole pixels of one level; background outside it."""

    def read_region(
        self,
        location: tuple[float, float],
        shape: tuple[int, int],
        resolution: Resolution,
        bounded: bool = True,
    ) -> Pixels:
        """Return pixels of a box at a resolution: see ``WSIReader.read_region``."""
        x, y = finite_pair(location, "location")
        size = Size(*whole_pair(shape, "shape"))
        if min(size) <= 0:
            raise ConfigError(f"shape={tuple(shape)} is invalid; use positive sides")
        downsample = resolution.downsample(self)
        if bounded:
            corner = whole_box(self.bounds, downsample, inside=True)
            x, y = x + corner.x, y + corner.y
        plan = plan_read(
            downsample,
            self.level_downsamples,
            slide=self.name,
            allow_upsampling=self.allow_upsampling,
        )
        check_read(self.name, size, max(1.0, plan.scale), f"a region at {resolution.token}")
        whole_x, whole_y = round(x), round(y)
        if plan.scale == 1 and max(abs(x - whole_x), abs(y - whole_y)) < SNAP:
            return self._read_level(plan.level, whole_x, whole_y, size)
        return self._read_area(plan.level, x * plan.scale, y * plan.scale, plan.scale, size)

    def thumbnail(self, size: Size) -> Pixels:
        """Return the whole bounded area, area-averaged to exactly ``size``."""
        width, height = whole_pair(size, "thumbnail size")
        if min(width, height) <= 0:
            raise ConfigError(f"thumbnail size={tuple(size)} is invalid; use positive sides")
        if not (self.bounds.width and self.bounds.height):
            return np.full((height, width, 3), self.facts.background, np.uint8)
        downsample = max(1.0, min(self.bounds.width / width, self.bounds.height / height))
        plan = plan_read(downsample, self.level_downsamples, slide=self.name, allow_upsampling=True)
        level_downsample = self.level_downsamples[plan.level]
        x, y, bounds_width, bounds_height = (v / level_downsample for v in self.bounds)
        scale_x, scale_y = bounds_width / width, bounds_height / height
        check_read(self.name, Size(width, height), 1.0, "a thumbnail")
        rows = max(1, int(_STRIP_BYTES / (3 * max(1.0, bounds_width) * max(1.0, scale_y))))
        strips = [
            self._read_area(
                plan.level,
                x,
                y + row * scale_y,
                scale_x,
                Size(width, min(rows, height - row)),
                scale_y=scale_y,
            )
            for row in range(0, height, rows)
        ]
        return np.concatenate(strips)

    def _read_area(
        self,
        level: int,
        left: float,
        top: float,
        scale_x: float,
        size: Size,
        scale_y: float | None = None,
    ) -> Pixels:
        """Average a fractional box of a level; ``left`` and ``top`` in pixels of that level."""
        scale_y = scale_x if scale_y is None else scale_y
        left, top = snapped(left), snapped(top)
        x0, y0 = math.floor(left), math.floor(top)
        x1 = math.ceil(snapped(left + size.width * scale_x))
        y1 = math.ceil(snapped(top + size.height * scale_y))
        pixels = self._read_covering(level, Box(x0, y0, max(1, x1 - x0), max(1, y1 - y0)))
        return area_mean(pixels, left - x0, top - y0, scale_x, scale_y, size)

    def _read_covering(self, level: int, box: Box) -> Pixels:
        """Return whole pixels of a level, and pixels at the slide's end that the level lacks.

        Many pyramids omit partial pixels at the right and at the bottom. The last whole pixel
        replaces them, because background would be averaged into the slide's edge.
        """
        (width, height), downsample = self._level_facts(level)
        across, down = (length / downsample - SNAP for length in self.dimensions)
        lacks_column = box.x <= width < min(box.x + box.width, across)
        lacks_row = box.y <= height < min(box.y + box.height, down)
        x, y = box.x - (lacks_column and box.x == width), box.y - (lacks_row and box.y == height)
        left, top = box.x - x, box.y - y
        pixels = self._read_level(level, x, y, Size(box.width + left, box.height + top))
        if lacks_column or lacks_row:
            pixels = pixels.copy()
        if lacks_column:
            pixels[:, width - x] = pixels[:, width - x - 1]
        if lacks_row:
            pixels[height - y] = pixels[height - y - 1]
        return pixels[top:, left:]

    def _level_facts(self, level: int) -> tuple[Size, float]:
        """Return the size and the downsample of a level that ``_read_level`` reads."""
        return self.level_dimensions[level], self.level_downsamples[level]
