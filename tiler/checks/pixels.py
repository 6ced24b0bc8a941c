"""Checks of the pixels that readers and transforms return: a user's own may return anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiler.checks.components import callable_name
from tiler.errors import ComponentError
from tiler.protocols import FittedTransform, Pixels, WSIReader


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
    raise _broken(source, f"{callable_name(source)}.{method}", pixels, (height, width, 3))


def read_only(pixels: Pixels) -> Pixels:
    """Return a view of pixels that raises an error when it is changed: others see them, too."""
    view = pixels.view()
    view.flags.writeable = False
    return view


def transformed(source: WSIReader, pixels: Pixels, transforms: Sequence[FittedTransform]) -> Pixels:
    """Return pixels after all transforms, in their order; none of them may change its input.

    Raises
    ------
    ComponentError
        If a transform returns anything except uint8 of the same shape.
    """
    for transform in transforms if pixels.size else ():  # a sample of no tissue
        made: object = transform(read_only(pixels))
        if not isinstance(made, np.ndarray) or (made.dtype, made.shape) != (np.uint8, pixels.shape):
            raise _broken(source, callable_name(transform), made, pixels.shape)
        pixels = made
    return pixels


def _broken(source: WSIReader, what: str, pixels: object, shape: tuple[int, ...]) -> ComponentError:
    if isinstance(pixels, np.ndarray):
        found = f"an array of {pixels.dtype} and shape {pixels.shape}"
    else:
        found = f"a {type(pixels).__name__}"
    return ComponentError(source.name, f"{what} returned {found}; return uint8 of shape {shape}")
