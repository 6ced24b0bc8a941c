"""Plain images (PNG, JPEG, TIFF) through Pillow: thumbnails and small pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from tiler.errors import Fix, LimitError, OpenError
from tiler.geometry import Box, Size
from tiler.protocols import Pixels
from tiler.readers.base import Facts, LevelReader
from tiler.readers.preflight import look
from tiler.readers.scale import resolve

_CONVERT = "convert the image to a tiled pyramid (vips tiffsave --tile --pyramid)"
_EIGHT_BIT = {"1", "L", "LA", "P", "PA", "RGB", "RGBA"}


class ImageReader(LevelReader):
    """An ordinary image as a slide of one level, held in memory.

    Parameters
    ----------
    path
        The image file.
    name
        Its name in outputs; the file's stem if None.
    mpp, magnification
        What the image itself cannot say: its dots per inch describe paper.
    allow_upsampling
        Whether a target finer than the image may be enlarged from it.
    max_pixels
        Larger images are refused before they are decoded.

    Raises
    ------
    OpenError
        When Pillow cannot read the file, or it has more than 8 bits per channel.
    LimitError
        When it has more than ``max_pixels``.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        mpp: float | None = None,
        magnification: float | None = None,
        allow_upsampling: bool = False,
        max_pixels: int = 100_000_000,
    ) -> None:
        path = Path(path)
        self._pixels = _load(path, name or path.stem, max_pixels)
        height, width, _ = self._pixels.shape
        missing = "plain images do not say how they were scanned"
        known_mpp, mpp_note = resolve("mpp", mpp, (None, missing), "")
        power, power_note = resolve("magnification", magnification, (None, missing), "")
        facts = Facts(
            level_dimensions=(Size(width, height),),
            level_downsamples=(1.0,),
            bounds=Box(0, 0, width, height),
            mpp=known_mpp,
            magnification=power,
            provenance={"mpp": mpp_note, "magnification": power_note},
            properties={},
        )
        super().__init__(path, name, facts, allow_upsampling)

    def close(self) -> None:
        """Nothing is held open."""

    def _read_level(self, level: int, x: int, y: int, size: Size) -> Pixels:
        out = np.empty((size.height, size.width, 3), np.uint8)
        out[:] = self.facts.background
        width, height = self.dimensions
        left, right = max(0, x), min(width, x + size.width)
        top, bottom = max(0, y), min(height, y + size.height)
        if left < right and top < bottom:
            out[top - y : bottom - y, left - x : right - x] = self._pixels[top:bottom, left:right]
        return out


def _load(path: Path, name: str, max_pixels: int) -> Pixels:
    look(path, name)
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise LimitError(
                    name,
                    f"{width}x{height} is more than max_pixels={max_pixels:_}",
                    fix=Fix(
                        f"raise reader.max_pixels, or {_CONVERT}",
                        f"open it with ImageReader(path, max_pixels=…), or {_CONVERT}",
                    ),
                )
            if image.mode not in _EIGHT_BIT:
                raise OpenError(
                    name,
                    f"{path.name} has pixels of kind {image.mode}; tiler reads 8-bit grey or RGB:"
                    " convert it first",
                )
            rgba = image.convert("RGBA")
    except Image.DecompressionBombError as error:
        raise LimitError(name, f"{path.name}: {error}") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise OpenError(name, f"{path.name} is not an image that Pillow reads: {error}") from error
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
