"""The number of tiles that a sampler keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tiler.errors import ConfigError
from tiler.geometry import is_number
from tiler.protocols import Tiles


@dataclass(frozen=True, kw_only=True)
class Amount:
    """A number of tiles, a share of them, or the smaller of both.

    Parameters
    ----------
    n
        The maximum number of tiles; None for no maximum.
    fraction
        The maximum share of the tiles, from 0 to 1; half a tile is rounded up. None for no maximum.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    n: int | None = None
    fraction: float | None = None

    def __post_init__(self) -> None:
        if self.n is not None and (isinstance(self.n, bool) or int(self.n) != self.n or self.n < 0):
            raise ConfigError(f"sampler.n={self.n!r} is not a whole number of tiles; use 0 or more")
        share = self.fraction
        if share is not None and not (is_number(share) and 0 <= share <= 1):
            raise ConfigError(f"sampler.fraction={share!r} is out of range; use 0 to 1")

    def of(self, count: int) -> int:
        """Return how many of ``count`` tiles are kept."""
        share = 1.0 if self.fraction is None else self.fraction
        most = math.floor(share * count + 0.5)
        return most if self.n is None else min(int(self.n), most)

    def notes(self, tiles: Tiles) -> tuple[str, ...]:
        """Return a remark if there is no maximum, or if there are fewer tiles than ``n``."""
        return self.shortfall(len(tiles), "")

    def shortfall(self, count: int, where: str) -> tuple[str, ...]:
        """Return a remark about ``count`` tiles to choose from; ``where`` names their group."""
        if self.n is None and self.fraction is None and count:
            return ("sampler.n and sampler.fraction are not set, so all tiles are kept",)
        if self.n is None or count >= self.n or not count:  # a slide without tiles has a reason
            return ()
        return (f"sampler.n={self.n}: only {count} tile{'s' * (count != 1)} to choose from{where}",)
