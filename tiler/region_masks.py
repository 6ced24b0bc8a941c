"""Regions that carry their own piece of the mask."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tiler.errors import ConfigError
from tiler.geometry import is_number
from tiler.regions import RegionSpec


@dataclass(frozen=True, eq=False)
class RegionMaskSpec(RegionSpec):
    """A tile with its own piece of the mask.

    Parameters
    ----------
    mask
        bool (h, w): the mask's pixels that the tile touches, background outside the mask.
    footprint
        (x, y, width, height) of the tile in pixels of ``mask``, fractional: weighting the mask
        by it gives ``ratio``.
    """

    mask: npt.NDArray[np.bool_] = field(default_factory=lambda: np.ones((1, 1), bool), repr=False)
    footprint: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        mask = np.array(self.mask, dtype=bool)
        if mask.ndim != 2:
            raise ConfigError(f"mask has {mask.ndim} dimensions; use an array (height, width)")
        mask.flags.writeable = False
        footprint = tuple(self.footprint)
        if len(footprint) != 4 or not all(map(is_number, footprint)) or min(footprint[2:]) <= 0:
            raise ConfigError(f"footprint={footprint} is invalid; use x, y, width and height")
        object.__setattr__(self, "mask", mask)
        object.__setattr__(self, "footprint", footprint)

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self.mask.flags.writeable = False  # pickling forgets it

    def _key(self) -> tuple[object, ...]:
        region = (self.location, self.shape, self.resolution, self.ratio, self.downsample)
        return (*region, self.footprint, self.mask.shape, self.mask.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RegionMaskSpec) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())
