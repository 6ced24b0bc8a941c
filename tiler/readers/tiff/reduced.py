"""Virtual levels: JPEG tiles that libjpeg decodes at a reduced size."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace

from tiler.geometry import Size
from tiler.readers.tiff.layout import NativeLevel

_FACTORS = (8, 4, 2)  # libjpeg's reductions, coarsest first


def reduced_levels(levels: Sequence[NativeLevel]) -> Iterator[tuple[int, int, NativeLevel]]:
    """Yield each level of JPEG tiles at 1/8, 1/4 and 1/2, if the reduced tiles have whole sizes.

    Yields
    ------
    tuple
        The level's index, the factor, and the reduced level.
    """
    for index, level in enumerate(levels):
        for factor in _FACTORS:
            whole = not (level.tile.width % factor or level.tile.height % factor)
            if level.coding.is_jpeg and whole:
                size, tile = _part(level.size, factor), _part(level.tile, factor)
                yield index, factor, replace(level, size=size, tile=tile)


def best_factor(scale_x: float, scale_y: float, factors: Container[int]) -> int:
    """Return the factor by which libjpeg reduces a level, for a reduction by these scales."""
    for factor in _FACTORS:
        if factor in factors and factor <= min(scale_x, scale_y):
            # Whole scales stay whole: 3 is not split into 2 and 1.5, which is slower and blurs.
            scales = (float(scale_x), float(scale_y))
            if not any(scale.is_integer() and scale % factor for scale in scales):
                return factor
    return 1


def _part(size: Size, factor: int) -> Size:
    return Size(-(-size.width // factor), -(-size.height // factor))
