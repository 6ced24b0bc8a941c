"""The label of each cell from its shares of classes: arrays in, array out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tiler.grid import Floats

Assign = Literal["majority", "any", "threshold"]


def labels_of(
    shares: Mapping[str, Floats], assign: Assign, threshold: float = 0.5
) -> npt.NDArray[Any]:
    """Return the label of each cell.

    Parameters
    ----------
    shares
        For each class, at least one: float64 (ny, nx), 0 to 1. Classes may overlap.
    assign
        ``majority``: the class with the largest share. ``any``: the first class with a share.
        ``threshold``: the class with the largest share, if that reaches the threshold. The first
        of equal classes counts.
    threshold
        The minimum share of ``threshold``.

    Returns
    -------
    numpy.ndarray
        str (ny, nx); "" for cells without a label.
    """
    names = np.array([*shares, ""], object)
    stack = np.stack([*shares.values()])
    chosen = np.argmax(stack > 0, axis=0) if assign == "any" else np.argmax(stack, axis=0)
    share = np.take_along_axis(stack, chosen[np.newaxis], axis=0)[0]
    labelled = share >= threshold if assign == "threshold" else share > 0
    return np.asarray(names[np.where(labelled, chosen, len(shares))].astype(str))
