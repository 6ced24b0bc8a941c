"""Checks of masks from users and mask providers, and their conversion to bool arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.checks.components import callable_name, shown
from tiler.cover.slide_mask import SlideMask
from tiler.cover.terms import Cover, of_mask
from tiler.errors import MaskError
from tiler.geometry import Extent, is_number
from tiler.grid import Floats
from tiler.protocols import HasCover, Mask, MaskProvider, WSIReader
from tiler.regions import RegionSpec

_LEAST_PICTURE = 64
"""Pixels of a mask's shorter side from which its aspect ratio is compared with the slide's."""


def static_mask(mask: npt.ArrayLike | None, slide: str) -> Mask:
    """Convert a user's array, non-zero = tissue; None means tissue everywhere.

    Floats other than 0 and 1 are refused: the user chooses the threshold of a probability.

    Raises
    ------
    MaskError
        If the array is not two-dimensional, not of booleans or numbers, or has no pixels.
    """
    if mask is None:
        return np.ones((1, 1), bool)
    array = _numbers(mask)
    if array is None:
        what = f"the mask is {described(mask)}"
        raise MaskError(slide, f"{what}; pass an array (height, width), non-zero = tissue")
    if array.dtype.kind == "f" and not _is_binary(array):
        what = f"the mask is {described(mask)}, with values from {array.min()} to {array.max()}"
        raise MaskError(slide, f"{what}; threshold it, as in mask >= 0.5")
    return np.asarray(array != 0)


def provided_mask(provider: MaskProvider, source: WSIReader) -> Mask:
    """Call a mask provider and convert its result.

    Tissue is True in a bool array, non-zero in an array of two whole numbers, and at least the
    provider's attribute ``threshold`` in a map of fractions.

    Raises
    ------
    MaskError
        If the provider returns anything else; the error describes the result.
    """
    returned: object = provider.generate(source)
    name = f"{callable_name(provider)}.generate returned {described(returned)}"
    array = _numbers(returned)
    if array is None:
        raise MaskError(source.name, f"{name}; return a bool array (height, width)")
    if _is_transposed(array.shape, source):
        what = f"{name}, of which height and width are swapped: the slide's bounds have the size"
        size = f"{source.bounds.width}x{source.bounds.height}"
        raise MaskError(source.name, f"{what} {size}; return a bool array (height, width)")
    if array.dtype.kind == "b":
        return array.astype(bool, copy=False)
    threshold = getattr(provider, "threshold", None)
    if array.dtype.kind == "f" and threshold is not None:
        return _reaching(array, threshold, source.name, name)
    if _is_binary(array):
        return np.asarray(array != 0)
    if array.dtype.kind == "f":
        what = f"{name}, with values from {array.min()} to {array.max()}"
        fix = "return a bool array, or give the mask an attribute threshold (mask.threshold=0.5)"
        raise MaskError(source.name, f"{what}; {fix}")
    values = np.unique(array)
    listed = ", ".join(map(str, values[:4])) + (", …" if len(values) > 4 else "")
    what = f"{name}, with {len(values)} different values ({listed})"
    raise MaskError(source.name, f"{what}; return a bool array, or whole numbers of which one is 0")


def provided_slide_mask(provider: MaskProvider, source: WSIReader) -> SlideMask:
    """Call a mask provider: its method ``cover`` if it has one, else ``generate``.

    Raises
    ------
    MaskError
        If the result is invalid: see ``provided_cover`` and ``provided_mask``.
    """
    if isinstance(provider, HasCover):
        return SlideMask.of(provided_cover(provider, source))
    return SlideMask.plain(provided_mask(provider, source))


def provided_cover(provider: MaskProvider, source: WSIReader) -> Cover:
    """Return the exact area of a mask provider's tissue, also if it returns a raster.

    Raises
    ------
    MaskError
        If ``cover`` returns anything but a cover of the slide's bounds, or ``generate`` an invalid
        mask.
    """
    extent = Extent(float(source.bounds.width), float(source.bounds.height))
    if not isinstance(provider, HasCover):
        return of_mask(provided_mask(provider, source), extent)
    returned: object = provider.cover(source)
    name = f"{callable_name(provider)}.cover returned"
    if not isinstance(returned, Cover):
        raise MaskError(source.name, f"{name} {described(returned)}; return a tiler.cover.Cover")
    if returned.extent != extent:
        size = "a cover of {:g}x{:g} pixels".format(*returned.extent)
        raise MaskError(
            source.name,
            f"{name} {size}; return one of the slide's bounds, {extent.width:g}x{extent.height:g}",
        )
    return returned


def _is_transposed(shape: Sequence[int], source: WSIReader) -> bool:
    """Return whether only the transposed mask has the slide's aspect ratio, to within a pixel.

    A mask with a side below ``_LEAST_PICTURE`` pixels may have any aspect: it is no picture of the
    slide.
    """
    if min(shape) < _LEAST_PICTURE:
        return False
    width, height = source.bounds[2:]

    def fits(down: int, across: int) -> bool:
        narrow = (across + 1) * height < (down - 1) * width
        wide = (across - 1) * height > (down + 1) * width
        return not (narrow or wide)

    return fits(*reversed(shape)) and not fits(*shape)


def with_masks(
    regions: Iterable[RegionSpec], mask: Mask, columns: Floats, rows: Floats
) -> list[RegionSpec]:
    """Return regions with their pieces of a mask.

    Parameters
    ----------
    regions
        N regions.
    mask
        bool (h, w).
    columns, rows
        float (N, 2): first and last edge of each region, across and down, in mask pixels.
    """
    from tiler.region_masks import RegionMaskSpec

    return [
        RegionMaskSpec(**vars(region), **_piece(mask, column, row))
        for region, column, row in zip(regions, columns.tolist(), rows.tolist(), strict=True)
    ]


def _piece(mask: Mask, column: Sequence[float], row: Sequence[float]) -> dict[str, Any]:
    """Return the mask pixels that a region touches, and its footprint in them."""
    (x0, x1), (y0, y1) = column, row
    left, top, right, bottom = math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)
    piece = np.zeros((bottom - top, right - left), bool)
    inside = mask[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    at_y, at_x = max(-top, 0), max(-left, 0)
    piece[at_y : at_y + inside.shape[0], at_x : at_x + inside.shape[1]] = inside
    return {"mask": piece, "footprint": (x0 - left, y0 - top, x1 - x0, y1 - y0)}


def described(value: object) -> str:
    """Describe a value that is used as a mask: the type, or the dtype and shape of an array."""
    if isinstance(value, np.ndarray):
        return f"a numpy.ndarray of {value.dtype} and shape {value.shape}"
    if value is None:
        return "None"
    return shown(value)


def _numbers(value: object) -> npt.NDArray[Any] | None:
    """Return a value as an array; None unless it is a picture of booleans or real numbers."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # a ragged list, or a tensor that is not in main memory
        return None
    return array if array.ndim == 2 and array.size and array.dtype.kind in "biuf" else None


def _is_binary(array: npt.NDArray[Any]) -> bool:
    """Return whether all non-zero values are equal; for floats, whether they are 1."""
    others = array[array != 0]
    if not others.size:
        return True
    same = others.min() == others.max()
    return bool(same and (array.dtype.kind != "f" or others[0] == 1))


def _reaching(array: npt.NDArray[Any], threshold: object, slide: str, name: str) -> Mask:
    limit = float(str(threshold)) if is_number(threshold) else math.nan
    if not math.isfinite(limit):
        raise MaskError(
            slide, f"mask.threshold={threshold!r} is not a number; use one, such as 0.5"
        )
    if np.isnan(array).any():
        raise MaskError(slide, f"{name}, which contains NaN; return numbers only")
    return np.asarray(array >= limit)
