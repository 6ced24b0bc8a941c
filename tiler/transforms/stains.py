"""Stain mathematics: optical density, stain vectors (Macenko) and the space lαβ (Reinhard).

All results are rounded to ``DIGITS`` decimals. Linear algebra and arctangents differ in their last
bits between processors; rounded results are the same on all of them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tiler.protocols import Pixels

Floats = npt.NDArray[np.float64]

DIGITS = 9

LIGHT = 240.0
"""The value of a pixel that absorbs nothing. It belongs to the built-in reference, which was
published with it (Veta's implementation of Macenko's method, 2009 to 2013)."""

BETA = 0.15
"""Macenko: pixels of which a channel has a lower optical density are left out of the fit."""

ALPHA = 1.0
"""Macenko: the percentile of angles, from below and from above, that are the two stains."""

MAXIMUM = 99.0
"""Macenko: the percentile of a stain's concentrations that counts as its maximum."""

LEAST_PIXELS = 1000
"""The minimum number of stained pixels, so that 1 % of them are ten."""

LEAST_ANGLE = 6.0
"""The minimum angle between two stains in degrees. Real H&E at 1 µm has 15 to 36; one stain with
noise of two grey levels has 4 to 5."""

DARKEST = 64.0
"""The minimum median grey of tissue in bright field. H&E has 135 to 152, fluorescence 12 to 25."""

LEAST_DEVIATION = 1e-3
"""The minimum standard deviation in each channel of lαβ. Real H&E has 0.009 and more."""

TO_LMS = np.array(
    [[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]],
)
"""From RGB to the responses of the cones, rows L, M, S: equation 4 of Reinhard et al. 2001."""

TO_LAB = np.array(
    [[1 / math.sqrt(3)], [1 / math.sqrt(6)], [1 / math.sqrt(2)]],
) * np.array([[1.0, 1.0, 1.0], [1.0, 1.0, -2.0], [1.0, -1.0, 0.0]])
"""From the logarithms of L, M, S to lαβ: equation 6 of Reinhard et al. 2001."""


class FitError(ValueError):
    """Pixels that a transform cannot be fitted to; the text states the reason."""


class Stains(NamedTuple):
    """Two stains: their unit vectors of optical density in RGB, and their maxima.

    The first one absorbs more red, as haematoxylin does.
    """

    vectors: tuple[tuple[float, ...], ...]
    maxima: tuple[float, ...]


class Colours(NamedTuple):
    """Mean and standard deviation of each channel of lαβ."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


def density_of(values: npt.NDArray[Any]) -> Floats:
    """Return the optical density of 8-bit values; one is added so that 0 has a density."""
    return np.asarray(-np.log((values + 1.0) / LIGHT))


_DENSITY = density_of(np.arange(256))


def check_bright(pixels: Pixels) -> None:
    """Refuse pixels of which most are dark, as in fluorescence.

    Raises
    ------
    FitError
        If they are, or there are none.
    """
    if not pixels.size:
        raise FitError("there is no tissue")
    grey = float(np.median(pixels.reshape(-1, 3).sum(axis=1))) / 3
    if grey < DARKEST:
        raise FitError(f"the tissue is dark (median grey {grey:.0f} of 255), as in fluorescence")


def stained(pixels: Pixels) -> Floats:
    """Return the optical densities of stained pixels, float64 (n, 3).

    Raises
    ------
    FitError
        If there are too few.
    """
    density = _DENSITY[pixels.reshape(-1, 3)]
    found = density[(density >= BETA).all(axis=1)]
    if len(found) < LEAST_PIXELS:
        raise FitError(
            f"only {len(found)} of {len(density)} pixels are stained, but a fit needs"
            f" {LEAST_PIXELS}"
        )
    return found


def macenko(pixels: Pixels) -> Stains:
    """Return the stains of pixels by Macenko's method.

    The plane of the two largest singular values contains the stains. The percentiles ``ALPHA`` and
    100 - ``ALPHA`` of the angles in it are the two stains. The concentrations of a pixel are the
    solution of least squares.

    Raises
    ------
    FitError
        If there are too few stained pixels, or only one stain.

    References
    ----------
    Macenko, M. et al. (2009). A method for normalizing histology slides for quantitative analysis.
    IEEE International Symposium on Biomedical Imaging, 1107-1110.
    """
    density = stained(pixels)
    # The singular vectors of the densities, from the sums of their products.
    products = [[float(np.sum(one * other)) for other in density.T] for one in density.T]
    _, axes = np.linalg.eigh(np.array(products))
    first = axes[:, 2] * math.copysign(1.0, float(axes[:, 2].sum()))
    second = axes[:, 1] * math.copysign(1.0, float(axes[0, 1]))
    angles = np.arctan2(_along(density, second), _along(density, first))
    ends = [float(angle) for angle in np.percentile(angles, [ALPHA, 100 - ALPHA])]
    if (apart := math.degrees(ends[1] - ends[0])) < LEAST_ANGLE:
        raise FitError(f"it has one stain: all colours are within {apart:.1f}°")
    vectors = [math.cos(angle) * first + math.sin(angle) * second for angle in ends]
    vectors.sort(key=lambda vector: -float(vector[0]))
    pair = tuple(_rounded(vector) for vector in vectors)
    solve = np.array(solution(pair))
    maxima = _rounded([float(np.percentile(_along(density, row), MAXIMUM)) for row in solve])
    if min(maxima) <= 0:
        raise FitError("it has one stain: the other one has no concentration")
    return Stains(pair, maxima)


def solution(vectors: tuple[tuple[float, ...], ...]) -> list[list[float]]:
    """Return the matrix (2, 3) from densities to the concentrations of least squares."""
    one, other = vectors
    a, b, c = (
        sum(x * y for x, y in zip(left, right, strict=True))
        for left, right in ((one, one), (one, other), (other, other))
    )
    area = a * c - b * b
    return [
        [(c * x - b * y) / area for x, y in zip(one, other, strict=True)],
        [(a * y - b * x) / area for x, y in zip(one, other, strict=True)],
    ]


def angle_between(vectors: tuple[tuple[float, ...], ...]) -> float:
    """Return the angle between two vectors, in degrees."""
    one, other = (np.array(vector) for vector in vectors)
    cosine = float(one @ other) / float(np.linalg.norm(one) * np.linalg.norm(other))
    return math.degrees(math.acos(min(1.0, max(-1.0, cosine))))


def reinhard(pixels: Pixels) -> Colours:
    """Return the statistics of pixels in lαβ.

    Raises
    ------
    FitError
        If too few pixels are stained, or they hardly differ.

    References
    ----------
    Reinhard, E., Ashikhmin, M., Gooch, B., Shirley, P. (2001). Color transfer between images. IEEE
    Computer Graphics and Applications 21(5), 34-41.
    """
    stained(pixels)
    logs = lms_logs(pixels.reshape(-1, 3))
    channels = [_along(logs, row) for row in TO_LAB]
    found = Colours(
        _rounded([float(channel.mean()) for channel in channels]),
        _rounded([float(channel.std()) for channel in channels]),
    )
    if min(found.deviation) < LEAST_DEVIATION:
        raise FitError(
            f"its colours are too uniform (standard deviations in lαβ {list(found.deviation)})"
        )
    return found


def lms_logs(pixels: Pixels) -> Floats:
    """Return the decimal logarithms of L, M and S of pixels, (n, 3)."""
    light = (pixels + 1.0) / 256
    return np.stack([np.log10(_along(light, row)) for row in TO_LMS], axis=1)


def _along(values: Floats, row: Floats) -> Floats:
    """Return the product of (n, 3) with a vector, without BLAS: that depends on the processor."""
    x, y, z = (float(number) for number in row)
    return np.asarray(values[:, 0] * x + values[:, 1] * y + values[:, 2] * z)


def _rounded(values: npt.ArrayLike) -> tuple[float, ...]:
    return tuple(round(float(value), DIGITS) + 0.0 for value in np.asarray(values))
