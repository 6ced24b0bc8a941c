"""The wish: how large the tiles are, how far apart, at which resolution. Knows no slide."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TypeVar

from tiler.errors import ConfigError
from tiler.geometry import Extent, positive_extent
from tiler.resolution import MPP, Level, Magnification, Resolution

_E = TypeVar("_E", bound=Enum)


class MeasurementUnit(StrEnum):
    """The unit of a tile's size and stride."""

    PIXELS = "pixels"
    """Pixels of the target resolution."""
    UM = "um"
    """Microns on the glass."""


class Edge(StrEnum):
    """What happens to tiles that would cross the far edges of the area."""

    DROP = "drop"
    """They are left out: every tile lies wholly inside."""
    PAD = "pad"
    """They run over, filled with background: the tiles cover the whole area."""
    SHIFT = "shift"
    """They are moved back inside: nothing runs over, nothing is left out."""


@dataclass(frozen=True)
class TileSpec:
    """What to cut a slide into.

    Parameters
    ----------
    size
        One number or (width, height), in ``unit``.
    stride
        The distance between the corners of neighbouring tiles, in ``unit``; ``size`` if None.
    resolution
        The target resolution: a ``Level``, a ``Magnification`` or an ``MPP``.
    unit
        ``pixels`` of the target resolution, or ``um``.
    edge
        ``drop``, ``pad`` or ``shift``.

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
    ) -> None:
        if not isinstance(resolution, Level | Magnification | MPP):
            raise ConfigError(
                f"tile.resolution={resolution!r}: give Level(…), Magnification(…) or MPP(…)"
            )
        unit, edge = _choice(MeasurementUnit, unit, "unit"), _choice(Edge, edge, "edge")
        whole = unit is MeasurementUnit.PIXELS
        extent = positive_extent(size, "tile.size", whole=whole)
        step = extent if stride is None else positive_extent(stride, "tile.stride", whole=whole)
        for field, value in (
            ("size", extent),
            ("stride", step),
            ("resolution", resolution),
            ("unit", unit),
            ("edge", edge),
        ):
            object.__setattr__(self, field, value)


def _choice(kind: type[_E], value: object, field: str) -> _E:
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(str(member.value) for member in kind)
        raise ConfigError(f"tile.{field}={value!r}: choose one of {choices}") from None
