"""What a slide may ask for at most, unless the configuration says otherwise."""

from __future__ import annotations

from tiler.errors import Fix

MAX_PIXELS = 400_000_000_000
"""Level-0 pixels that a slide may claim by default: some ten times the largest scans."""

MAX_TILE_BYTES = 1 << 28
"""Memory that one of a slide's own tiles may take by default: 8192 x 8192 RGBA."""

CACHE_BYTES = 32 << 20
"""Decoded native tiles held by default: 170 of 256 x 256; more only leave the CPU's cache."""


def limit_fix(name: str, condition: str) -> Fix:
    """Return the fix of a slide that exceeds a limit: raise the limit if a condition is met."""
    return Fix(
        f"raise reader.{name} if {condition}",
        f"open it with open_slide(path, {name}=…) if {condition}",
    )
