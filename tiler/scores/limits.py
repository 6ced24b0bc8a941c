"""Limits and scale that all scores have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tiler.errors import ConfigError
from tiler.geometry import is_number
from tiler.grid import Floats
from tiler.protocols import Mask, Score


@dataclass(frozen=True, kw_only=True)
class Limits:
    """A score's limits, and the scale at which it is measured.

    Parameters
    ----------
    min, max
        A cell is kept if its score is at least ``min`` and at most ``max``; None for no limit.
    mpp
        Microns per pixel at which it is measured; None for the tiles' own resolution.

    Raises
    ------
    ConfigError
        If a value is out of range; the error names it.
    """

    min: float | None = None
    max: float | None = None
    mpp: float | None = None

    def __post_init__(self) -> None:
        for key in ("min", "max"):
            value = getattr(self, key)
            if value is not None and not (is_number(value) and math.isfinite(value)):
                raise ConfigError(
                    f"{self._key(key)}={value!r} is not a number; use a number, or null"
                )
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ConfigError(
                f"{self._key('min')}={self.min} is above {self._key('max')}={self.max};"
                " choose a range that is not empty"
            )
        if self.mpp is not None and not (is_number(self.mpp) and 0 < self.mpp < math.inf):
            raise ConfigError(
                f"{self._key('mpp')}={self.mpp!r} is invalid; use a positive number, or null"
            )

    def _key(self, key: str) -> str:
        return f"filter.{type(self).__name__.lower()}.{key}"

    def _check_level(self, level: object) -> None:
        """Refuse a limit of 8-bit values that is not from 0 to 255."""
        if not isinstance(level, int) or isinstance(level, bool) or not 0 <= level <= 255:
            raise ConfigError(
                f"{self._key('level')}={level!r} is out of range; use a whole number from 0 to 255"
            )


def passes(score: Score, values: Floats) -> Mask:
    """Return where values lie within a score's limits; NaN, a cell not measured, does not."""
    low = -math.inf if score.min is None else score.min
    high = math.inf if score.max is None else score.max
    return np.asarray((values >= low) & (values <= high))
