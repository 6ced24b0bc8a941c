"""Resolutions, their downsample on a slide, and the plan to read them.

The *downsample* is the number of level-0 pixels per target pixel, along either axis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Protocol

from tiler.errors import ConfigError, Fix, ResolutionError
from tiler.geometry import is_number

LEVEL_TOLERANCE = 0.02
"""Relative tolerance by which a level may be coarser than the target."""


class Scan(Protocol):
    """The facts of a slide that a resolution needs."""

    @property
    def name(self) -> str: ...
    @property
    def level_downsamples(self) -> Sequence[float]: ...
    @property
    def mpp(self) -> float | None: ...
    @property
    def magnification(self) -> float | None: ...
    @property
    def provenance(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Level:
    """A level of the slide's own pyramid, 0 the finest."""

    value: int

    def __post_init__(self) -> None:
        value = self.value
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
            raise ConfigError(f"level={value!r} is invalid; use a whole number >= 0")
        object.__setattr__(self, "value", int(value))

    @property
    def token(self) -> str:
        """The resolution's name in files and tables, such as ``l_0``."""
        return f"l_{self.value}"

    def downsample(self, scan: Scan) -> float:
        """Level-0 pixels per target pixel."""
        levels = len(scan.level_downsamples)
        if self.value >= levels:
            left_out = scan.provenance.get("levels")
            why = f" ({left_out})" if left_out else ""
            raise ResolutionError(
                scan.name,
                f"level {self.value} does not exist: the slide has {levels}, 0 to {levels - 1}"
                f"{why}; choose one of them or a resolution in mpp",
            )
        return float(scan.level_downsamples[self.value])

    def mpp(self, scan: Scan) -> float:
        """Microns per target pixel."""
        return _known(scan, "mpp", "a size in microns") * self.downsample(scan)


@dataclass(frozen=True)
class Magnification:
    """An objective power, such as 20 for 20x.

    Parameters
    ----------
    value
        The power.
    tolerance
        A level within this relative difference is used without resampling.
    """

    value: float
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _positive(self.value, "magnification"))
        object.__setattr__(self, "tolerance", _share(self.tolerance))

    @property
    def token(self) -> str:
        """The resolution's name in files and tables, such as ``mag_20.0x``."""
        return f"mag_{self.value}x"

    def downsample(self, scan: Scan) -> float:
        """Level-0 pixels per target pixel."""
        downsample = _known(scan, "magnification", "a magnification") / self.value
        return _near_level(downsample, scan, self.tolerance)

    def mpp(self, scan: Scan) -> float:
        """Microns per target pixel."""
        return _known(scan, "mpp", "a size in microns") * self.downsample(scan)


@dataclass(frozen=True)
class MPP:
    """Microns per pixel.

    Parameters
    ----------
    value
        The microns.
    tolerance
        A level within this relative difference is used without resampling.
    """

    value: float
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _positive(self.value, "mpp"))
        object.__setattr__(self, "tolerance", _share(self.tolerance))

    @property
    def token(self) -> str:
        """The resolution's name in files and tables, such as ``mpp_0.5``."""
        return f"mpp_{self.value}"

    def downsample(self, scan: Scan) -> float:
        """Level-0 pixels per target pixel."""
        downsample = self.value / _known(scan, "mpp", "a resolution in mpp")
        return _near_level(downsample, scan, self.tolerance)

    def mpp(self, scan: Scan) -> float:
        """Microns per target pixel: the value itself, or those of the level that is used."""
        if not self.tolerance:
            return self.value
        mpp, downsample = _known(scan, "mpp", "a resolution in mpp"), self.downsample(scan)
        return self.value if downsample == self.value / mpp else mpp * downsample


Resolution = Level | Magnification | MPP


@dataclass(frozen=True)
class ReadPlan:
    """The level to read for a target, and the factor by which to reduce it.

    Attributes
    ----------
    level
        The pyramid level to read.
    scale
        Pixels of that level per target pixel; 1 when nothing is resampled.
    """

    level: int
    scale: float


def plan_read(
    downsample: float, level_downsamples: Sequence[float], *, slide: str, allow_upsampling: bool
) -> ReadPlan:
    """Choose the coarsest level that is still fine enough for a target downsample.

    Parameters
    ----------
    downsample
        Level-0 pixels per target pixel.
    level_downsamples
        The same number for each level of the pyramid, finest first.
    slide
        The slide's name, for the error.
    allow_upsampling
        Whether a target finer than level 0 may be enlarged from it.

    Raises
    ------
    ResolutionError
        If the target is finer than the scan and upsampling is not allowed.
    """
    fine = [i for i, d in enumerate(level_downsamples) if d <= downsample * (1 + LEVEL_TOLERANCE)]
    if not fine and not allow_upsampling:
        raise ResolutionError(
            slide,
            f"the target is finer than the scan ({1 / downsample:.4g} pixels from each scanned"
            " one)",
            fix=Fix(
                "choose a coarser resolution, or reader.allow_upsampling=true to enlarge",
                "choose a coarser resolution, or enlarge: open_slide(path, allow_upsampling=True)",
            ),
        )
    level = max(fine, key=lambda i: level_downsamples[i]) if fine else 0
    same = level_at(downsample, level_downsamples)
    if same is not None:
        return ReadPlan(same, 1.0)
    return ReadPlan(level, downsample / level_downsamples[level])


def level_at(downsample: float, level_downsamples: Sequence[float]) -> int | None:
    """Return the level with exactly the target's downsample, if there is one."""
    for level, other in enumerate(level_downsamples):
        if math.isclose(downsample, other, rel_tol=1e-9):
            return level
    return None


def _known(scan: Scan, quantity: str, wish: str) -> float:
    value: float | None = getattr(scan, quantity)
    if value is None:
        raise ResolutionError(
            scan.name,
            f"{wish} needs the slide's {quantity}, which is not usable:"
            f" {scan.provenance[quantity]}",
            fix=Fix(
                f"set reader.{quantity}=… (or a reader.{quantity} column for this slide in"
                " slides.table), or use resolution=level",
                f"open it with open_slide(path, {quantity}=…), or use resolution=Level(…)",
            ),
        )
    return value


def _near_level(downsample: float, scan: Scan, tolerance: float) -> float:
    """Return the nearest level's downsample if it is within the tolerance, else the given one."""
    if tolerance:
        nearest = min(scan.level_downsamples, key=lambda other: abs(other - downsample))
        if abs(nearest - downsample) <= tolerance * downsample * (1 + 1e-9):
            return float(nearest)
    return downsample


def _share(value: float) -> float:
    if not is_number(value) or not 0 <= value < 1:
        raise ConfigError(
            f"resolution.tolerance={value!r} is invalid; use a number from 0 to below 1"
        )
    return float(value)


def _positive(value: float, field: str) -> float:
    if not is_number(value) or not 0 < value < math.inf:
        raise ConfigError(f"{field}={value!r} is invalid; use a positive number")
    return float(value)
