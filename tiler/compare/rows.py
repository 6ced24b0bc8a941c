"""A tile as it is compared, and tiles that are given by their level-0 corners alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tiler.compare.areas import Ints
from tiler.compare.runs import Facts
from tiler.geometry import Size
from tiler.regions import Regions
from tiler.resolution import Level

_MOST_TILES = 50_000_000

DIGITS = 15
"""Maximum digits of an integer: more than any slide needs, and exact as a float."""


class Tile(NamedTuple):
    """The identity of a tile: its resolution, and its box in pixels of that resolution."""

    resolution: str
    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"x{self.x}_y{self.y}_w{self.width}_h{self.height}_{self.resolution}"


Row = tuple[Tile, float, Sequence[int]]
"""A tile, its ratio, and its box in level-0 pixels; a format without ratios has 0."""


class Precision(IntEnum):
    """The precision of the ratios in a format, the finest first."""

    EXACT = 0
    SINGLE = 1
    """Numbers of 32 bits."""
    TWO_DECIMALS = 2
    NONE = 3
    """The format has no ratios."""

    def of(self, ratio: float) -> float:
        """Return a ratio in this precision."""
        if self is Precision.SINGLE:
            return float(np.float32(ratio))
        if self is Precision.TWO_DECIMALS:
            return float(f"{ratio:.2f}")  # as in the names of images
        return ratio if self is Precision.EXACT else 0.0


SAID = {
    Precision.EXACT: "",
    Precision.SINGLE: "ratios have 32 bits",
    Precision.TWO_DECIMALS: "ratios have two decimals",
    Precision.NONE: "it has no ratios, so these are not compared",
}
"""The remark on the precision of a format."""


def whole(text: str) -> int:
    """Return a whole number of pixels.

    Raises
    ------
    ValueError
        If the text is no number, or a very long one.
    """
    if len(text) > DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def table_row(cells: Sequence[Any]) -> Row:
    """Return a row of a table whose first cells are those of the CSV.

    Raises
    ------
    ValueError
        If a number is none.
    """
    _, x, y, width, height, resolution, ratio, *box = cells[:11]
    x, y, width, height, *box = (whole(str(n)) for n in (x, y, width, height, *box))
    return Tile(str(resolution), x, y, width, height), float(ratio), box


def checked_count(count: int) -> int:
    """Return a number of tiles that fits into memory.

    Raises
    ------
    ValueError
        If the number is negative or too large.
    """
    if not 0 <= count <= _MOST_TILES:
        raise ValueError(f"{count} tiles")
    return count


def rows_of_corners(
    corners: Ints,
    size: tuple[int, int],
    ratios: npt.NDArray[Any] | None,
    record: Facts,
) -> Iterator[Row]:
    """Yield tiles from their level-0 corners.

    A corner in target pixels is found exactly unless the tiles are finer than level 0.

    Parameters
    ----------
    corners
        (N, 2): x0 and y0.
    size
        Width and height of every tile in target pixels.
    ratios
        (N,); None for a format without.
    record
        The slide's record, with the resolution.

    Raises
    ------
    ValueError
        If corners are not those of tiles.
    """
    downsample, token = frame_of(record)
    found = Regions(
        np.rint(corners / downsample).astype(np.int64).reshape(-1, 2),
        np.zeros(len(corners)) if ratios is None else np.asarray(ratios, np.float64),
        Size(*size),
        Level(0),  # the box depends on the downsample alone
        downsample,
    )
    boxes = found.boxes0()
    if len(wrong := np.flatnonzero((boxes[:, :2] != corners).any(axis=1))):
        raise ValueError(f"({corners[wrong[0]].tolist()}) is not the corner of a tile")
    values = found.locations.tolist(), found.ratios.tolist(), boxes.tolist()
    for (x, y), ratio, box in zip(*values, strict=True):
        yield Tile(token, x, y, *size), ratio, box


def frame_of(record: Facts) -> tuple[float, str]:
    """Return downsample and token of a slide's tiles.

    Raises
    ------
    ValueError
        If tiles cannot be found from level-0 pixels.
    """
    row: Mapping[str, Any] = record["row"]
    downsample, token = row.get("downsample"), str(row.get("requested", ""))
    if not isinstance(downsample, float | int) or not 1 <= downsample < math.inf:
        raise ValueError(
            f"it has level-0 pixels alone, which do not tell tiles of downsample {downsample}"
        )
    return float(downsample), token
