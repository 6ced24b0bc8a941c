"""Plain images (PNG, JPEG, TIFF, …) through Pillow: thumbnails and small pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from tiler.checks.arguments import as_path
from tiler.checks.pictures import check_damage, opened, upright
from tiler.errors import DepthError, Fix, LimitError, OpenError
from tiler.geometry import Box, Size
from tiler.protocols import Pixels
from tiler.readers.base import Facts, LevelReader
from tiler.readers.jpeg2000 import openjpeg
from tiler.readers.plain_tiff import check_plain_tiff
from tiler.readers.preflight import look
from tiler.readers.scale import resolve
from tiler.readers.tiff.pixels import DEPTH_FIX
from tiler.readers.tiff_directories import MAGIC

_CONVERT = "convert the image to a tiled pyramid (vips tiffsave --tile --pyramid)"
_EIGHT_BIT = {"1", "L", "LA", "P", "PA", "RGB", "RGBA"}
_FORMATS = ("PNG", "JPEG", "TIFF", "JPEG2000", "WEBP", "BMP", "GIF")
"""The formats whose depth and damage are reported. For others Pillow may run other programs."""

_PNG_DEPTH_AT = 24


class ImageReader(LevelReader):
    """An ordinary image as a slide of one level, in memory, with its Exif orientation applied.

    Parameters
    ----------
    path
        The image file.
    name
        Its name in outputs; the file's stem if None.
    mpp, magnification
        The scale of the scan; the image's dots per inch describe paper.
    allow_upsampling
        Whether a target finer than the image may be enlarged from it.
    max_pixels
        Larger images are refused before they are decoded.

    Raises
    ------
    OpenError
        If Pillow cannot read the file, or it is damaged.
    DepthError
        If the image has more than 8 bits per channel, or channels other than grey or RGB.
    LimitError
        If the image has more than ``max_pixels``.
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
        path = as_path(path, "path")
        self._pixels, self.icc_profile = _load(path, name or path.stem, max_pixels)
        height, width, _ = self._pixels.shape
        missing = "plain images state no scale of a scan"
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
            sparse=(),
        )
        super().__init__(path, name, facts, allow_upsampling)

    def close(self) -> None:
        """Do nothing: no file is open."""

    def _read_level(self, level: int, x: int, y: int, size: Size) -> Pixels:
        out = np.empty((size.height, size.width, 3), np.uint8)
        out[:] = self.facts.background
        width, height = self.dimensions
        left, right = max(0, x), min(width, x + size.width)
        top, bottom = max(0, y), min(height, y + size.height)
        if left < right and top < bottom:
            out[top - y : bottom - y, left - x : right - x] = self._pixels[top:bottom, left:right]
        return out


def _load(path: Path, name: str, max_pixels: int) -> tuple[Pixels, bytes | None]:
    """Return the pixels of an image, and its ICC profile."""
    look(path, name)
    try:
        with opened(path, _FORMATS) as image:
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
            _check(path, name, image)
            profile = image.info.get("icc_profile")
            rgba = upright(image).convert("RGBA")
    except Image.DecompressionBombError as error:
        raise LimitError(name, f"{path.name}: {error}") from error
    except UnidentifiedImageError as error:
        if _head(path, 4) in MAGIC:
            check_plain_tiff(path, name)  # reports the reason
        what = f"{path.name} is not an image that tiler reads: {error}; use PNG, JPEG or TIFF"
        raise OpenError(name, what) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise OpenError(name, f"{path.name} cannot be decoded: {error}; copy it again") from error
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    pixels = np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    return pixels, profile if isinstance(profile, bytes) and profile else None


def _check(path: Path, name: str, image: Image.Image) -> None:
    """Refuse depths that Pillow would reduce to 8 bits, and damage that it does not report."""
    if image.format == "TIFF":
        check_plain_tiff(path, name)
    if image.format == "PNG" and _png_depth(path) > 8:
        raise DepthError(name, f"{path.name} has {_png_depth(path)} bits per sample; {DEPTH_FIX}")
    if image.mode not in _EIGHT_BIT:
        raise DepthError(name, f"{path.name} has pixels of kind {image.mode}; {DEPTH_FIX}")
    if image.format == "JPEG2000":
        openjpeg.check(path.read_bytes(), Size(*image.size))
    check_damage(path, image.format)


def _png_depth(path: Path) -> int:
    return _head(path, _PNG_DEPTH_AT + 1)[-1]


def _head(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)
