"""Regions: the place of a tile, and its coverage."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from tiler.errors import ConfigError
from tiler.geometry import Box, Point, Size, is_number, whole_pair
from tiler.resolution import MPP, Level, Magnification, Resolution

_AT_ONCE = 1024
"""Tiles converted to objects at once: all objects of a large slide would fill the memory."""


@dataclass(frozen=True)
class RegionSpec:
    """One tile of a slide.

    Parameters
    ----------
    location
        Top-left corner (x, y) in whole pixels of the target resolution, absolute: the offset
        of the slide's bounds is included.
    shape
        (width, height) in the same pixels.
    resolution
        The target resolution.
    ratio
        The tile's coverage: mean mask value over the whole tile, 0 to 1.
    downsample
        Level-0 pixels per target pixel; None when no slide is known.
    columns
        Further columns of tables by name, as plain values: ``row``, ``column``, ``tissue_id``,
        labels and scores. Two regions that differ in them alone are equal.
    """

    location: Point
    shape: Size
    resolution: Resolution
    ratio: float
    downsample: float | None = None
    columns: Mapping[str, Any] = field(
        default_factory=dict, compare=False, repr=False, kw_only=True
    )

    def __post_init__(self) -> None:
        location, shape = (
            Point(*whole_pair(self.location, "location")),
            Size(*whole_pair(self.shape, "shape")),
        )
        if min(shape) <= 0:
            raise ConfigError(f"shape={tuple(shape)} is invalid; use positive sides")
        if not is_number(self.ratio) or not 0 <= self.ratio <= 1:
            raise ConfigError(f"ratio={self.ratio!r} is out of range; use a value from 0 to 1")
        if not isinstance(self.resolution, Level | Magnification | MPP):
            raise ConfigError(
                f"resolution={self.resolution!r} is invalid; use Level(…), Magnification(…) or"
                " MPP(…)"
            )
        if self.downsample is not None and not (
            is_number(self.downsample) and 0 < self.downsample < math.inf
        ):
            raise ConfigError(f"downsample={self.downsample!r} is invalid; use a positive number")
        object.__setattr__(self, "ratio", float(self.ratio))
        object.__setattr__(self, "location", location)
        object.__setattr__(self, "shape", shape)

    @property
    def box0(self) -> Box:
        """The box in whole level-0 pixels: its two corners, rounded.

        Adjacent tiles stay adjacent, and tiles inside the slide stay inside. So the widths of two
        tiles may differ by one pixel.
        """
        if self.downsample is None:
            raise ConfigError("box0 needs the downsample, which this region does not have")
        end: Point = self.location + self.shape
        x0, y0 = (round(place * self.downsample) for place in self.location)
        x1, y1 = (round(place * self.downsample) for place in end)
        return Box(x0, y0, x1 - x0, y1 - y0)


@dataclass(frozen=True, eq=False)
class Regions(Sequence[RegionSpec]):
    """Tiles of one shape as arrays: small to keep and to send, converted to objects lazily.

    Parameters
    ----------
    locations
        int64 (N, 2): x, y as in ``RegionSpec.location``.
    ratios
        float64 (N,).
    shape, resolution, downsample
        The same for all of them, as in ``RegionSpec``.
    columns
        Further columns by name, (N,) each.
    """

    locations: npt.NDArray[np.int64]
    ratios: npt.NDArray[np.float64]
    shape: Size
    resolution: Resolution
    downsample: float | None = None
    columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index in (0, -1)[: len(self.ratios)]:  # the others differ in their numbers alone
            RegionSpec(
                self.locations[index].tolist(),
                self.shape,
                self.resolution,
                float(self.ratios[index]),
                self.downsample,
            )

    def __len__(self) -> int:
        return len(self.ratios)

    @overload
    def __getitem__(self, index: int) -> RegionSpec: ...

    @overload
    def __getitem__(self, index: slice) -> Regions: ...

    def __getitem__(self, index: int | slice) -> RegionSpec | Regions:
        if isinstance(index, slice):
            return self.take(index)
        if not 0 <= index < len(self):
            index = range(len(self))[index]  # counts from the end, or raises IndexError
        return next(iter(self.take(slice(index, index + 1))))

    def __iter__(self) -> Iterator[RegionSpec]:
        names = tuple(self.columns)
        for start in range(0, len(self), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            xs, ys = self.locations[some].T.tolist()
            ratios = self.ratios[some].tolist()
            rows = zip(*(column[some].tolist() for column in self.columns.values()), strict=True)
            columns = [dict(zip(names, row, strict=True)) for row in rows] or [{} for _ in ratios]
            for x, y, ratio, more in zip(xs, ys, ratios, columns, strict=True):
                yield self._region(Point(x, y), ratio, more)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def take(self, chosen: npt.NDArray[np.generic] | slice) -> Regions:
        """Return the tiles at some indices, of a slice, or at True in a bool array."""
        return Regions(
            self.locations[chosen],
            self.ratios[chosen],
            self.shape,
            self.resolution,
            self.downsample,
            {name: column[chosen] for name, column in self.columns.items()},
        )

    def without(self, locations: Collection[tuple[int, int]]) -> Regions:
        """Return the regions whose location is not among some."""
        if not locations:
            return self
        places = map(tuple, self.locations.tolist())
        return self.take(np.array([place not in locations for place in places], bool))

    def boxes0(self) -> npt.NDArray[np.int64]:
        """``RegionSpec.box0`` of all tiles: int64 (N, 4), x, y, width, height."""
        if self.downsample is None:
            raise ConfigError("box0 needs the downsample, which these regions do not carry")
        return np.concatenate(spans0(self.locations, self.shape, self.downsample), axis=1)

    @property
    def varying(self) -> dict[str, npt.NDArray[Any]]:
        """All columns of tables in which tiles may differ, (N,) each, in their order."""
        x, y = self.locations.T
        boxes0 = dict(zip(("x0", "y0", "width0", "height0"), self.boxes0().T, strict=True))
        return {"x": x, "y": y, "ratio": self.ratios, **boxes0, **self.columns}

    def _region(self, location: Point, ratio: float, columns: Mapping[str, Any]) -> RegionSpec:
        region = object.__new__(RegionSpec)  # the checks of its constructor were done for all
        region.__dict__.update(
            location=location,
            shape=self.shape,
            resolution=self.resolution,
            ratio=ratio,
            downsample=self.downsample,
            columns=columns,
        )
        return region


def spans0(
    begins: npt.NDArray[np.int64], lengths: int | tuple[int, int], downsample: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return begins and lengths of spans in whole level-0 pixels: see ``RegionSpec.box0``.

    Parameters
    ----------
    begins, lengths
        In target pixels; the spans of one axis, (N,), or of both, (N, 2).
    downsample
        Level-0 pixels per target pixel.
    """
    first, last = (
        np.rint(place * downsample).astype(np.int64) for place in (begins, begins + lengths)
    )
    return first, last - first


def batches(regions: Iterable[RegionSpec]) -> Iterator[Regions]:
    """Yield regions as arrays, in order, a thousand or fewer at a time.

    Use it where something is made of each region: that of all would fill the memory.
    """
    for part in packed(regions):
        for start in range(0, len(part), _AT_ONCE):
            yield part[start : start + _AT_ONCE] if len(part) > _AT_ONCE else part


def packed(regions: Iterable[RegionSpec]) -> list[Regions]:
    """Return regions as arrays, in order: one ``Regions`` per sequence of equal kinds."""
    if isinstance(regions, Regions):
        return [regions]
    groups = groupby(regions, key=lambda r: (r.shape, r.resolution, r.downsample, (*r.columns,)))
    parts: list[Regions] = []
    for (shape, resolution, downsample, names), group in groups:
        tiles = list(group)
        locations = np.array([tile.location for tile in tiles], np.int64)
        ratios = np.array([tile.ratio for tile in tiles], np.float64)
        columns = {name: np.array([tile.columns[name] for tile in tiles]) for name in names}
        parts.append(Regions(locations, ratios, shape, resolution, downsample, columns))
    return parts
