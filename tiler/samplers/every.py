"""The sampler that keeps all tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiler.errors import ConfigError
from tiler.protocols import Tiles


@dataclass(frozen=True, kw_only=True)
class All:
    """Keep all tiles.

    Parameters
    ----------
    n, fraction
        None. Hydra composes this sampler before those of a sweep, so it has the keys that a sweep
        over the others sets.

    Raises
    ------
    ConfigError
        If one is set: no tile would be left out.
    """

    n: int | None = None
    fraction: float | None = None

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if value is not None:
                raise ConfigError(
                    f"sampler.{key}={value!r} has no effect with sampler=all, which keeps all"
                    f" tiles; choose sampler=random (with sampler.{key}=null it keeps all, too)"
                )

    def choose(self, tiles: Tiles) -> npt.NDArray[np.bool_]:
        """Return True for every tile, bool (N,)."""
        return np.ones(len(tiles), bool)
