"""Find tiles by their locations in columns of many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def find(locations: Ints, known: Ints) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    """Return for each location whether it is known, and its row.

    Parameters
    ----------
    locations
        int64 (N, 2): x, y.
    known
        int64 (M, 2), in ``order``.
    """
    if not len(known):
        return np.zeros(len(locations), bool), np.zeros(len(locations), np.intp)
    places, wanted = _places(known), _places(locations)
    rows = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
    return places[rows] == wanted, rows


def order(locations: Ints) -> npt.NDArray[np.intp]:
    """Return the indices that sort locations by x, then y."""
    return np.lexsort(locations.T[::-1])


def _places(locations: Ints) -> npt.NDArray[np.void]:
    """Return locations (N, 2) as (N,) values that sort by x, then y."""
    pairs = np.ascontiguousarray(locations).view([("x", np.int64), ("y", np.int64)])
    return pairs.reshape(-1)
