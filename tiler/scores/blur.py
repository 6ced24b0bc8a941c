"""The sharpness of a cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tiler.grid import Floats
from tiler.pixels.colour import to_grey
from tiler.protocols import Pixels
from tiler.scores.limits import Limits


@dataclass(frozen=True, kw_only=True)
class Blur(Limits):
    """The variance of the Laplacian over a cell: low where the picture is out of focus.

    The Laplacian is that of the grey picture, 3 x 3 pixels with four neighbours.

    References
    ----------
    Pech-Pacheco, J. L., et al. (2000). Diatom autofocusing in brightfield microscopy: a comparative
    study. Proceedings of the 15th International Conference on Pattern Recognition 3, 314-317.
    """

    margin: ClassVar[int] = 1
    min: float | None = 40.0
    mpp: float | None = 1.0

    def maps(self, pixels: Pixels) -> Iterator[npt.NDArray[Any]]:
        """Yield the Laplacian of the grey picture, and its square."""
        import cv2

        laplacian = cv2.Laplacian(to_grey(pixels), cv2.CV_16S)
        yield laplacian
        yield cv2.multiply(laplacian, laplacian, dtype=cv2.CV_32F)

    def value(self, means: Floats) -> Floats:
        """Return the variance from the means of both maps, (2, n)."""
        return np.asarray(np.maximum(means[1] - means[0] ** 2, 0.0))
