"""Limits of a slide's size, which the configuration may change."""

from __future__ import annotations

from tiler.errors import Fix, LimitError
from tiler.geometry import Size

MAX_PIXELS = 400_000_000_000
"""Level-0 pixels that a slide may claim by default: some ten times the largest scans."""

MAX_TILE_BYTES = 1 << 28
"""Memory that one of a slide's own tiles may take by default: 8192 x 8192 RGBA."""

MAX_READ_PIXELS = 1 << 29
"""Pixels that are read or returned at once: 1.6 GB of RGB, a tile of 23,170 x 23,170."""

CACHE_BYTES = 32 << 20
"""Decoded native tiles kept by default: 170 of 256 x 256; more only leave the CPU's cache."""


def limit_fix(name: str, condition: str) -> Fix:
    """Return the fix of a slide that exceeds a limit: raise the limit if a condition is met."""
    return Fix(
        f"raise reader.{name} if {condition}",
        f"open it with open_slide(path, {name}=…) if {condition}",
    )


def check_read(slide: str, size: Size, scale: float, what: str) -> None:
    """Refuse a read that would fill the memory, before any of it is taken.

    Parameters
    ----------
    slide
        Names the slide in the error.
    size
        Pixels that are to be returned.
    scale
        Pixels of a level, across and down, that are read for each of them.
    what
        Names what is read in the error.

    Raises
    ------
    LimitError
        If that is more than ``MAX_READ_PIXELS``.
    """
    width, height = size.width * scale, size.height * scale
    if not width * height <= MAX_READ_PIXELS:
        raise LimitError(
            slide,
            f"{what} of {size.width} x {size.height} pixels needs {width:.6g} x {height:.6g} pixels"
            f" of the slide, more than {MAX_READ_PIXELS:,} at once; choose smaller tiles or a finer"
            " resolution",
        )
