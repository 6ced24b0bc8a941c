"""Area averaging: the one resize. Each output pixel is the mean of what it covers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tiler.geometry import Size
from tiler.protocols import Pixels


def area_mean(
    pixels: Pixels, left: float, top: float, scale_x: float, scale_y: float, shape: Size
) -> Pixels:
    """Reduce pixels by averaging over the exact, fractional footprint of each output pixel.

    Output pixel (i, j) covers ``left + i * scale_x`` to ``left + (i + 1) * scale_x`` across, and
    likewise down, in pixels of the input; the result is rounded to the nearest integer.

    Parameters
    ----------
    pixels
        uint8 (h, w, 3), large enough to hold every footprint.
    left, top
        Where the first footprint begins, in pixels of the input.
    scale_x, scale_y
        Input pixels per output pixel.
    shape
        Size of the result.
    """
    whole = all(float(v).is_integer() for v in (left, top, scale_x, scale_y))
    if whole:
        import cv2

        x, y = int(left), int(top)
        crop = pixels[y : y + shape.height * int(scale_y), x : x + shape.width * int(scale_x)]
        reduced = cv2.resize(crop, tuple(shape), interpolation=cv2.INTER_AREA)
        return np.asarray(reduced, np.uint8)
    rows = _mean_along_rows(pixels, top, scale_y, shape.height)
    both = _mean_along_rows(rows.transpose(1, 0, 2), left, scale_x, shape.width)
    return np.rint(both.transpose(1, 0, 2)).astype(np.uint8)


def _mean_along_rows(
    values: npt.NDArray[np.generic], start: float, scale: float, count: int
) -> npt.NDArray[np.float32]:
    """Mean over ``count`` consecutive stretches of ``scale`` rows, the first one at ``start``."""
    edges = np.clip(start + scale * np.arange(count + 1), 0, len(values))
    index = np.minimum(edges.astype(np.intp), len(values) - 1)
    part = (edges - index).astype(np.float32)[:, None, None]
    # Sums between whole rows, never from the top: float32 stays exact to a thousandth of a grey.
    sums = np.add.reduceat(values, index[:-1], axis=0, dtype=np.float32)
    sums[index[:-1] == index[1:]] = 0  # reduceat gives the row itself for an empty stretch
    sums[-1] = values[index[-2] : index[-1]].sum(axis=0, dtype=np.float32)
    fractions = part * values[index]
    sums += fractions[1:]
    sums -= fractions[:-1]
    sums /= np.float32(scale)
    return sums
