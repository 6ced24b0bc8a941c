"""Colour transfer by Reinhard's method."""

from __future__ import annotations

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
from tiler.transforms.stains import TO_LAB, TO_LMS, Colours, reinhard

HE = Colours(
    (-0.57418549, -0.057755731, 0.023024108),
    (0.372044679, 0.061340366, 0.015883137),
)
"""The built-in reference: tissue of CMU-1-Small-Region.svs at 1 µm, an H&E slide of OpenSlide's
test data (CC0)."""

_LINEAR = 1 << 16
"""Logarithms of L, M and S are looked up in steps of 1/65536."""

_LOWEST, _HIGHEST, _UNIT = -3.0, 0.5, 1 << 15
"""The range of logarithms of results, which are looked up in steps of 1/32768: less than 0.1 grey
levels. The lowest is a quarter of a grey level."""

_LIGHT: Plane = ((np.arange(256) + 1) / 256).astype(np.float32)
_TO_RGB = np.linalg.inv(TO_LMS)


@dataclass(frozen=True, kw_only=True)
class Reinhard:
    """Gives a slide's tissue the mean and the deviation of a reference, in the space lαβ.

    Parameters
    ----------
    reference
        ``builtin`` (haematoxylin and eosin), a picture of tissue, or a JSON file with ``mean`` and
        ``std``, three numbers each.
    mpp
        Microns per pixel of the tissue that is measured; None for the tiles' own resolution.

    Raises
    ------
    ConfigError
        If a value is invalid, or the reference cannot be used; the error names it.

    References
    ----------
    Reinhard, E., Ashikhmin, M., Gooch, B., Shirley, P. (2001). Color transfer between images. IEEE
    Computer Graphics and Applications 21(5), 34-41.
    """

    reference: str = BUILTIN
    mpp: float | None = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "reference", check_reference("reinhard", self.reference))
        check_mpp("reinhard", self.mpp)
        self.target()

    def inputs(self) -> tuple[Path, ...]:
        """Return the reference's file."""
        return files_of(self.reference)

    def target(self) -> Colours:
        """Return the colours of the reference."""
        return reference_of("reinhard", self.reference, HE, reinhard, _read)

    def fit(self, source: WSIReader, tissue: Tissue) -> FittedReinhard:
        """Return the transform for one slide.

        Raises
        ------
        TransformError
            If the slide has no stained tissue in bright field.
        """
        pixels = tissue(self.mpp)
        found = measured("reinhard", reinhard, source, pixels)
        return FittedReinhard(found, self.target(), pixels.shape[1])

    @classmethod
    def from_facts(cls, source: WSIReader, facts: Mapping[str, Any]) -> FittedReinhard:
        """Return the transform that has these facts."""
        return FittedReinhard(_read(facts), _read(facts["reference"]), int(facts["pixels"]))


@dataclass(frozen=True)
class FittedReinhard:
    """The colours of a slide and of the reference; ``pixels`` is the size of the sample."""

    colours: Colours
    target: Colours
    pixels: int

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return the statistics of slide and reference."""
        return {
            **_content(self.colours),
            "reference": _content(self.target),
            "pixels": self.pixels,
        }

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return pixels with the colours of the reference."""
        return in_strips(self._changed, pixels)

    def _changed(self, pixels: Pixels) -> Pixels:
        logs, powers = _tables()
        light = planes_of(pixels, _LIGHT)
        cones = [looked_up(logs, combined(row * _LINEAR, 0.5, light)) for row in TO_LMS]
        matrix, offset = log_map(self.colours, self.target)
        moved = [
            looked_up(powers, combined(row * _UNIT, (start - _LOWEST) * _UNIT + 0.5, cones))
            for row, start in zip(matrix, offset, strict=True)
        ]
        # One less, because one was added; and a half, to round.
        found = (combined(row * 256, -0.5, moved) for row in _TO_RGB)
        return merged([np.clip(plane, 0, 255).astype(np.uint8) for plane in found])


def log_map(
    colours: Colours, target: Colours
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the matrix (3, 3) and the offset (3,) from logarithms of L, M, S to the new ones."""
    ratios = np.array(target.deviation) / np.array(colours.deviation)
    back = TO_LAB.T  # its rows are orthonormal
    matrix = back @ (ratios[:, np.newaxis] * TO_LAB)
    offset = back @ (np.array(target.mean) - ratios * np.array(colours.mean))
    return matrix, offset


@lru_cache(maxsize=1)
def _tables() -> tuple[Plane, Plane]:
    """Return the tables of logarithms and of powers of ten."""
    logs = np.log10(np.maximum(np.arange(_LINEAR + 1), 1) / _LINEAR)
    powers = 10.0 ** (_LOWEST + np.arange(round((_HIGHEST - _LOWEST) * _UNIT)) / _UNIT)
    return logs.astype(np.float32), powers.astype(np.float32)


def _content(colours: Colours) -> dict[str, Any]:
    return {"mean": list(colours.mean), "std": list(colours.deviation)}


def _read(content: Mapping[str, Any]) -> Colours:
    """Return the colours of a reference file.

    Raises
    ------
    ValueError
        If the file contains no valid colours.
    """
    mean, deviation = (numbers(content.get(name), 3, f'"{name}"') for name in ("mean", "std"))
    if min(deviation) <= 0:
        raise ValueError('"std" has a number that is not positive')
    return Colours(mean, deviation)
