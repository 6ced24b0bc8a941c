"""Limits of a slide's size, which the configuration can change."""

from __future__ import annotations

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


def limit_fix(name: str, condition: str) -> Fix:
    """Return the fix for a slide that exceeds a limit: raise the limit under a condition."""
    return Fix(
        f"raise reader.{name} if {condition}",
        f"open it with open_slide(path, {name}=…) if {condition}",
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
