"""The tile specification: size, stride and resolution of tiles, for any slide."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TypeVar

from tiler.errors import ConfigError
from tiler.geometry import Extent, is_number, positive_extent
from tiler.resolution import MPP, Level, Magnification, Resolution

_E = TypeVar("_E", bound=Enum)


class MeasurementUnit(StrEnum):
    """The unit of a tile's size and stride."""

    PIXELS = "pixels"
    """Pixels of the target resolution."""
    UM = "um"
    """Microns on the glass."""


class Edge(StrEnum):
    """The policy for tiles that would cross the far edges of the area."""

    DROP = "drop"
    """They are dropped: every tile is wholly inside."""
    PAD = "pad"
    """They cross the edge, padded with background: the tiles cover the whole area."""
    SHIFT = "shift"
    """They are moved inside: the tiles cover the whole area, and none crosses the edge."""


@dataclass(frozen=True)
class TileSpec:
    """The tiles to cut a slide into.

    Parameters
    ----------
    size
        One number or (width, height), in ``unit``.
    stride
        The distance between the corners of neighbouring tiles, in ``unit``; if None it follows
        from ``size`` and ``overlap``.
    resolution
        The target resolution: a ``Level``, a ``Magnification`` or an ``MPP``.
    unit
        ``pixels`` of the target resolution, or ``um``.
    edge
        ``drop``, ``pad`` or ``shift``.
    overlap
        The share of a tile's width and height that neighbours have in common, from 0 to less than
        1, where no stride is given. In pixels it is rounded up to whole ones: tiles of 255 pixels
        with an overlap of 0.5 share 128, and the stride is 127, never less than 1.

    Raises
    ------
    ConfigError
        A ``ValueError`` that names the field and the value.
    """

    size: Extent
    stride: Extent
    resolution: Resolution
    unit: MeasurementUnit
    edge: Edge

    def __init__(
        self,
        size: float | tuple[float, float],
        stride: float | tuple[float, float] | None = None,
        resolution: Resolution | None = None,
        unit: MeasurementUnit | str = MeasurementUnit.PIXELS,
        edge: Edge | str = Edge.DROP,
        overlap: float = 0.0,
    ) -> None:
        if not isinstance(resolution, Level | Magnification | MPP):
            raise ConfigError(
                f"tile.resolution={resolution!r} is invalid; use Level(…), Magnification(…) or"
                " MPP(…)"
            )
        unit, edge = _choice(MeasurementUnit, unit, "unit"), _choice(Edge, edge, "edge")
        whole = unit is MeasurementUnit.PIXELS
        extent = positive_extent(size, "tile.size", whole=whole)
        if not is_number(overlap) or not 0 <= overlap < 1:
            raise ConfigError(
                f"tile.overlap={overlap!r} is invalid; use a share from 0 to less than 1"
            )
        step = Extent(*(_step(side, overlap, whole) for side in extent))
        if stride is not None:
            step = positive_extent(stride, "tile.stride", whole=whole)
        for field, value in (
            ("size", extent),
            ("stride", step),
            ("resolution", resolution),
            ("unit", unit),
            ("edge", edge),
        ):
            object.__setattr__(self, field, value)


def _step(side: float, overlap: float, whole: bool) -> float:
    """Return the stride of overlapping tiles along one side."""
    if not whole:
        return side * (1 - overlap)
    # Rounded before it is rounded up: 0.55 * 100 is 55.00000000000001.
    return max(1, int(side) - math.ceil(round(side * overlap, 6)))


def _choice(kind: type[_E], value: object, field: str) -> _E:
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(str(member.value) for member in kind)
        raise ConfigError(f"tile.{field}={value!r}: choose one of {choices}") from None
