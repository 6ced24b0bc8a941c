"""A mask from an image file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tiler.checks.pictures import check_damage, opened, upright
from tiler.errors import ConfigError, LimitError, MaskError
from tiler.geometry import Size
from tiler.masks.checks import whole
from tiler.masks.thumbnail import MAX_PIXELS
from tiler.protocols import Mask, WSIReader
from tiler.storage.named import system_reason

PILLOW_LIMIT = 178_956_970
"""Pillow refuses larger images for any ``max_pixels`` (twice its MAX_IMAGE_PIXELS)."""

ASPECT_TOLERANCE = 0.02
"""The largest relative difference between the aspect ratios of mask and slide."""

_GREY = {"1", "L", "I", "I;16", "I;16L", "I;16B"}
_COLOUR = {"P", "RGB", "RGBA", "LA", "PA"}
_LISTED = 8  # values that an error lists
_COUNTED = 256  # colours that are counted
_WAY_OUT = "save it as an 8-bit grey PNG of 0 and 255"


@dataclass(frozen=True)
class FileMask:
    """A mask image on disk, stretched over the slide's bounded area: non-zero is tissue.

    The image's Exif orientation is applied.

    The image contains black and one other value: bool, grey (whole numbers of 8 to 32 bits),
    palette or RGB. Other greys, such as JPEG produces at edges, are refused.

    Parameters
    ----------
    path
        The file; ``{slide}`` in it stands for the slide's name.
    max_pixels
        Larger masks are refused before they are decoded; at most Pillow's limit.

    Raises
    ------
    ConfigError
        If a value is invalid; the error names it.
    """

    path: str
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        text = str(self.path) if isinstance(self.path, (str, Path)) else ""
        if text in ("", ".") or "\0" in text:
            raise ConfigError(f"mask.path={self.path!r} is invalid; use the path of a mask image")
        object.__setattr__(self, "path", text)
        whole("max_pixels", self.max_pixels, 1, PILLOW_LIMIT)

    def inputs(self, slide_name: str) -> tuple[Path, ...]:
        """Return the mask's file."""
        return (Path(self.path.replace("{slide}", slide_name)),)

    def generate(self, source: WSIReader) -> Mask:
        """Return the mask of a slide: bool (h, w), as large as the image.

        Raises
        ------
        MaskError
            If the file is missing, is not an image, or has more than two values; or if its
            aspect ratio differs from that of the slide's bounded area.
        LimitError
            If the image has more than ``max_pixels``.
        """
        (path,) = self.inputs(source.name)
        try:
            with opened(path) as image:
                self._refuse_size(image, path, source)
                check_damage(path, image.format)
                turned = upright(image)
                density = image.info.get("aspect") if turned.size == image.size else None
                _refuse_shape(Size(*turned.size), density or (1, 1), path, source)
                mask = _tissue(turned, path, source.name)
        except FileNotFoundError as error:
            raise MaskError(
                source.name,
                f"the mask {path} does not exist; create it, or change mask.path={self.path}",
            ) from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise LimitError(source.name, f"mask {path}: {error}; make it smaller") from error
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            if why := system_reason(error):
                what = f"mask {path} cannot be read ({why}); check the file and its permissions"
                raise MaskError(source.name, what) from error
            raise MaskError(
                source.name,
                f"mask {path} is not an image that Pillow reads: {error}; use an image file",
            ) from error
        return mask

    def _refuse_size(self, image: Image.Image, path: Path, source: WSIReader) -> None:
        size = Size(*image.size)
        if size.width * size.height > self.max_pixels:
            raise LimitError(
                source.name,
                f"mask {path} has {size.width}x{size.height} pixels, more than"
                f" mask.max_pixels={self.max_pixels:_}; make it smaller, or raise mask.max_pixels",
            )


def _refuse_shape(size: Size, density: tuple[int, int], path: Path, source: WSIReader) -> None:
    bounds = source.bounds
    area = Size(bounds.width, bounds.height)
    # A PNG may state that its pixels are not square, as those of MaskExporter do.
    stated = Size(size.width * density[1], size.height * density[0])
    if not (same_shape(size, area) or same_shape(stated, area)):
        raise MaskError(
            source.name,
            f"mask {path} is {size.width}x{size.height}; its aspect ratio is not that of the"
            f" slide's bounded area, {bounds.width}x{bounds.height} at"
            f" ({bounds.x}, {bounds.y}); use a mask of exactly that area, at any scale",
        )


def same_shape(mask: Size, area: Size) -> bool:
    """Return whether mask and area have one aspect ratio, within 2 % or one pixel of rounding."""
    across, down = mask.width * area.height, mask.height * area.width
    return abs(across - down) <= max(ASPECT_TOLERANCE * min(across, down), area.width, area.height)


def _tissue(image: Image.Image, path: Path, slide: str) -> Mask:
    """Return a bool array that is True where the image is not black."""
    if image.mode in _GREY:
        values = np.asarray(image)
        found = np.unique(values).tolist()
        if len(found) > 2 or (len(found) == 2 and 0 not in found):
            raise MaskError(slide, _refusal(path, found))
        return np.asarray(values != 0)
    if image.mode not in _COLOUR:
        raise MaskError(
            slide,
            f"mask {path} has pixels of kind {image.mode}; {_WAY_OUT}",
        )
    return _not_black(image, path, slide)


def _not_black(image: Image.Image, path: Path, slide: str) -> Mask:
    rgba = image.convert("RGBA")
    if rgba.getchannel("A").getextrema() != (255, 255):
        raise MaskError(
            slide, f"mask {path} has transparent pixels, whose meaning is unclear; {_WAY_OUT}"
        )
    found = rgba.getcolors(_COUNTED)  # None where there are more
    if found is None:
        raise MaskError(slide, f"mask {path} has more than {_COUNTED} colours; {_WAY_OUT}")
    colours = sorted(colour[:3] for _, colour in found if isinstance(colour, tuple))
    if len(colours) > 2 or (len(colours) == 2 and colours[0] != (0, 0, 0)):
        raise MaskError(slide, _refusal(path, colours))
    return np.asarray(np.asarray(rgba)[..., :3].any(axis=2))


def _refusal(path: Path, found: Sequence[object]) -> str:
    listed = ", ".join(str(value) for value in found[:_LISTED])
    more = f", … ({len(found)} in all)" if len(found) > _LISTED else ""
    return (
        f"mask {path} has the values {listed}{more}, but a mask has two, one of them 0 (black);"
        f" threshold it (JPEG produces greys at edges), then {_WAY_OUT}"
    )
