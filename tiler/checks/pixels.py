"""Check of the pixels that readers return: a user's own reader may return anything."""

from __future__ import annotations

import numpy as np

from tiler.errors import ComponentError
from tiler.protocols import Pixels, WSIReader


def checked_pixels(source: WSIReader, method: str, pixels: object, size: tuple[int, int]) -> Pixels:
    """Return pixels from a reader's method if they are an RGB picture of the right size.

    Raises
    ------
    ComponentError
        If the pixels are anything else.
    """
    width, height = size
    if (
        isinstance(pixels, np.ndarray)
        and pixels.dtype == np.uint8
        and pixels.shape == (height, width, 3)
    ):
        return pixels
    if isinstance(pixels, np.ndarray):
        found = f"an array of {pixels.dtype} and shape {pixels.shape}"
    else:
        found = f"a {type(pixels).__name__}"
    kind = type(source)
    raise ComponentError(
        source.name,
        f"{kind.__module__}.{kind.__qualname__}.{method} returned {found}; return uint8 of shape"
        f" {(height, width, 3)}",
    )
