"""Stain normalization by Macenko's method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.protocols import Pixels, Tissue, WSIReader
from tiler.transforms.planes import Plane, combined, in_strips, looked_up, merged, planes_of
from tiler.transforms.reference import (
    BUILTIN,
    check_mpp,
    check_reference,
    files_of,
    measured,
    numbers,
    reference_of,
)
from tiler.transforms.stains import (
    LEAST_ANGLE,
    LIGHT,
    Stains,
    angle_between,
    density_of,
    macenko,
    solution,
)

HE = Stains(
    ((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581)),
    (1.9705, 1.0308),
)
"""The built-in reference: haematoxylin and eosin of Veta's implementation of the method, which most
others use."""

_UNIT = 1 << 14
"""Optical density is looked up in steps of 1/16384: at most 0.01 grey levels."""

_TRANSPARENT = math.log(256 / LIGHT)
"""The density of the value 255 is below 0 by so much."""

_START = _TRANSPARENT * _UNIT + 0.5
"""Steps count from there; a half is added to round."""

_DENSITY: Plane = density_of(np.arange(256)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Macenko:
    """Replaces the two stains of a slide by those of a reference.

    Parameters
    ----------
    reference
        ``builtin`` (haematoxylin and eosin), a picture of tissue, or a JSON file with ``stains``,
        two vectors of optical density in RGB, and ``max``, the maximum of each.
    mpp
        Microns per pixel of the tissue that is measured; None for the tiles' own resolution.

    Raises
    ------
    ConfigError
        If a value is invalid, or the reference cannot be used; the error names it.

    References
    ----------
    Macenko, M. et al. (2009). A method for normalizing histology slides for quantitative analysis.
    IEEE International Symposium on Biomedical Imaging, 1107-1110.
    """

    reference: str = BUILTIN
    mpp: float | None = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "reference", check_reference("macenko", self.reference))
        check_mpp("macenko", self.mpp)
        self.target()

    def inputs(self) -> tuple[Path, ...]:
        """Return the reference's file."""
        return files_of(self.reference)

    def target(self) -> Stains:
        """Return the stains of the reference."""
        return reference_of("macenko", self.reference, HE, macenko, _read)

    def fit(self, source: WSIReader, tissue: Tissue) -> FittedMacenko:
        """Return the transform for one slide.

        Raises
        ------
        TransformError
            If the slide does not have two stains in bright field.
        """
        pixels = tissue(self.mpp)
        found = measured("macenko", macenko, source, pixels)
        return FittedMacenko(found, self.target(), pixels.shape[1])

    @classmethod
    def from_facts(cls, source: WSIReader, facts: Mapping[str, Any]) -> FittedMacenko:
        """Return the transform that has these facts."""
        return FittedMacenko(_stains(facts), _stains(facts["reference"]), int(facts["pixels"]))


@dataclass(frozen=True)
class FittedMacenko:
    """The stains of a slide and of the reference; ``pixels`` is the size of the sample."""

    stains: Stains
    target: Stains
    pixels: int

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return the stains of slide and reference."""
        return {
            **_content(self.stains),
            "reference": _content(self.target),
            "pixels": self.pixels,
        }

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return pixels with the stains of the reference."""
        return in_strips(self._changed, pixels)

    def _changed(self, pixels: Pixels) -> Pixels:
        matrix, levels = _tables(self.stains, self.target)
        density = planes_of(pixels, _DENSITY)
        return merged([looked_up(levels, combined(row, _START, density)) for row in matrix])


def matrix_of(stains: Stains, target: Stains) -> npt.NDArray[np.float64]:
    """Return the matrix (3, 3) from the optical densities of a slide to those of the reference."""
    solve = solution(stains.vectors)
    found = np.zeros((3, 3))
    for row, vector, own, wanted in zip(
        solve, target.vectors, stains.maxima, target.maxima, strict=True
    ):
        found += wanted / own * np.outer(vector, row)
    return found


@lru_cache(maxsize=8)
def _tables(stains: Stains, target: Stains) -> tuple[npt.NDArray[np.float64], Pixels]:
    """Return the matrix in steps of density, and the 8-bit values by step."""
    steps = np.arange(round((_TRANSPARENT + math.log(2 * LIGHT)) * _UNIT))
    levels = LIGHT * np.exp(_TRANSPARENT - steps / _UNIT) - 1
    return matrix_of(stains, target) * _UNIT, np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def _content(stains: Stains) -> dict[str, Any]:
    return {"stains": [list(one) for one in stains.vectors], "max": list(stains.maxima)}


def _stains(content: Mapping[str, Any]) -> Stains:
    """Return the stains that ``_content`` describes, to the bit."""
    first, second = (numbers(vector, 3, '"stains"') for vector in content["stains"])
    return Stains((first, second), numbers(content["max"], 2, '"max"'))


def _read(content: Mapping[str, Any]) -> Stains:
    """Return the stains of a reference file.

    Raises
    ------
    ValueError
        If the file contains no valid stains.
    """
    rows = content.get("stains")
    if not isinstance(rows, list) or len(rows) != 2:
        raise ValueError('"stains" must be a list of 2 lists of 3 numbers')
    vectors = []
    for row in rows:
        vector = numbers(row, 3, '"stains"')
        length = math.hypot(*vector)
        if not length:
            raise ValueError('"stains" has a vector of zeros')
        if sum(vector) <= 0:
            raise ValueError(f'"stains" has {row}, which absorbs no light')
        vectors.append(tuple(value / length for value in vector))
    maxima = numbers(content.get("max"), 2, '"max"')
    if min(maxima) <= 0:
        raise ValueError('"max" has a number that is not positive')
    if (angle := angle_between(tuple(vectors))) < LEAST_ANGLE:
        raise ValueError(f'"stains" are within {angle:.1f}°: one stain')
    return Stains(tuple(vectors), maxima)
