"""Limits of a slide's size, which the configuration can change."""

from __future__ import annotations

from collections.abc import Iterable

from tiler.errors import Fix, LimitError
from tiler.geometry import Size

MAX_PIXELS = 400_000_000_000
"""Default maximum of level-0 pixels of a slide: about ten times the largest scans."""

MAX_TILE_BYTES = 1 << 28
"""Default maximum bytes of one native tile in memory: 8192 x 8192 RGBA."""

MAX_READ_PIXELS = 1 << 29
"""Maximum pixels that are read or returned at once: 1.6 GB of RGB, 23,170 x 23,170 pixels."""

CACHE_BYTES = 32 << 20
"""Default bytes of the cache of decoded tiles: 170 of 256 x 256; more exceeds the CPU's cache."""

_SCALES = 1e-6, 1e6
"""The smallest and the largest mpp and magnification that a user may set: areas stay finite."""


def scale_problem(quantity: str, value: float) -> str:
    """Return a line for an mpp or a magnification that a user may not set; empty for others."""
    low, high = _SCALES
    if low <= value <= high:
        return ""
    return f"reader.{quantity}={value!r} is out of range; use a number from {low:g} to {high:g}"


def limit_fix(name: str, condition: str) -> Fix:
    """Return the fix for a slide that exceeds a limit: raise the limit under a condition."""
    return Fix(
        f"raise reader.{name} if {condition}",
        f"open it with open_slide(path, {name}=…) if {condition}",
    )


def check_slide(
    slide: str,
    size: Size,
    tiles: Iterable[Size | None],
    samples: int,
    max_pixels: int,
    max_tile_bytes: int,
) -> None:
    """Refuse a slide that exceeds a limit, before any allocation.

    Parameters
    ----------
    slide
        The slide's name, for the error.
    size
        The size of level 0 in pixels.
    tiles
        The size of a native tile of each level; None for a level without native tiles.
    samples
        Samples per pixel of a decoded native tile, of a byte each.
    max_pixels, max_tile_bytes
        The limits.

    Raises
    ------
    LimitError
        If level 0, or a native tile of any level, exceeds its limit.
    """
    if size.width * size.height > max_pixels:
        raise LimitError(
            slide,
            f"{size.width}x{size.height} pixels are more than max_pixels={max_pixels}",
            fix=limit_fix("max_pixels", "the slide is real"),
        )
    for level, tile in enumerate(tiles):
        if tile is None:
            continue
        needed = samples * tile.width * tile.height
        if needed > max_tile_bytes:
            raise LimitError(
                slide,
                f"a tile of level {level}, {tile.width}x{tile.height}, needs {needed:,} bytes,"
                f" more than max_tile_bytes={max_tile_bytes}",
                fix=limit_fix("max_tile_bytes", "memory allows"),
            )


def check_read(slide: str, size: Size, scale: float, what: str) -> None:
    """Refuse a read that would fill the memory, before any allocation.

    Parameters
    ----------
    slide
        The slide's name, for the error.
    size
        Pixels to return.
    scale
        Pixels of a level to read for each returned pixel, across and down.
    what
        The thing that is read, for the error.

    Raises
    ------
    LimitError
        If either number of pixels exceeds ``MAX_READ_PIXELS``.
    """
    width, height = size.width * scale, size.height * scale
    if not width * height <= MAX_READ_PIXELS:
        raise LimitError(
            slide,
            f"{what} of {size.width} x {size.height} pixels needs {width:.6g} x {height:.6g} pixels"
            f" of the slide, more than {MAX_READ_PIXELS:,} at once; choose smaller tiles or a finer"
            " resolution",
        )
