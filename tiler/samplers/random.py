"""A random sample that depends on seed, slide and tile place alone."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from tiler.errors import ConfigError
from tiler.grid import Ints
from tiler.protocols import Tiles
from tiler.samplers.base import Amount

_NAMED = 5
"""So many values of a column with too few tiles are named one by one."""


@dataclass(frozen=True, kw_only=True)
class Random(Amount):
    """Keep a random sample of the tiles of each slide, or of each value of a column.

    The tiles with the lowest keys are kept. A tile's key is a hash of seed, slide id and place.
    So other slides, workers, engines and versions of Python change nothing. A larger ``n`` keeps
    all tiles of a smaller one.

    Parameters
    ----------
    seed
        Another seed gives another sample.
    by
        A column, such as ``tissue_id`` or ``label``: ``n`` tiles of each of its values.
    """

    seed: int = 0
    by: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ConfigError(f"sampler.seed={self.seed!r} is not a whole number")

    def choose(self, tiles: Tiles) -> npt.NDArray[np.bool_]:
        """Return which tiles are kept, bool (N,)."""
        order = self.order(tiles)
        ranks = np.empty(len(tiles), np.int64)
        ranks[order] = np.arange(len(tiles))
        chosen = np.zeros(len(tiles), bool)
        for group in self._groups(tiles):
            chosen[group[np.argsort(ranks[group])[: self.of(len(group))]]] = True
        return chosen

    def order(self, tiles: Tiles) -> npt.NDArray[np.intp]:
        """Return the indices of the tiles in the order in which they are chosen, (N,)."""
        x, y = tiles.locations.T
        return np.lexsort((x, y, place_keys(self.seed, tiles.slide_id, tiles.locations)))

    def notes(self, tiles: Tiles) -> tuple[str, ...]:
        """Return a remark for each value of the column with fewer tiles than ``n``."""
        if self.by is None:
            return super().notes(tiles)
        values, groups = tiles.column(self.by), self._groups(tiles)
        short = [group for group in groups if self.n is not None and len(group) < self.n]
        if len(short) > _NAMED:
            return (f"sampler.n={self.n}: {len(short)} values of {self.by} have fewer tiles",)
        return tuple(
            note
            for group in short or groups[:1]
            for note in self.shortfall(len(group), f" of {self.by}={values[group[0]]}")
        )

    def _groups(self, tiles: Tiles) -> list[npt.NDArray[np.intp]]:
        """Return the indices of the tiles of each value of the column; of all without a column."""
        if self.by is None:
            return [np.arange(len(tiles))]
        _, group = np.unique(tiles.column(self.by), return_inverse=True)
        order = np.argsort(group, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(tiles) else []


def place_keys(seed: int, slide_id: str, locations: Ints) -> npt.NDArray[np.uint64]:
    """Return a key for each place, uint64 (N,), evenly distributed.

    Seed and slide id are hashed by SHA-256; x and y are mixed in by the finalizer of SplitMix64
    (Steele, G. L., Lea, D., Flood, C. H. (2014). Fast splittable pseudorandom number generators.
    OOPSLA, 453-472).
    """
    text = f"{seed}\0{slide_id}".encode(errors="surrogateescape")
    base = np.frombuffer(sha256(text).digest()[:8], "<u8").astype(np.uint64)
    keys = np.broadcast_to(base, len(locations)).copy()
    for axis in range(2):
        keys = _mixed(keys ^ _mixed(locations[:, axis].astype(np.uint64)))
    return keys


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        mixed = values + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
