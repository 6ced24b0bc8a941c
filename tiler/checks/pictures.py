"""Plain image files, such as masks: damage that Pillow does not report, and orientation."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tiler.storage.named import opened_by_name

if TYPE_CHECKING:
    from PIL.Image import Image


_COLOR_MAP = 320  # tag of TIFF 6.0


@contextmanager
def opened(path: Path, formats: tuple[str, ...] | None = None) -> Iterator[Image]:
    """Open an image file with Pillow.

    Parameters
    ----------
    path
        The file. Pillow gets the open file. With a name, Pillow 13 maps an uncompressed grey
        TIFF into memory and then ignores its orientation.
    formats
        Pillow's names of the formats; None for all.
    """
    from PIL import Image

    with opened_by_name(path) as file, Image.open(file, formats=formats) as image:
        yield image


def check_damage(path: Path, kind: str | None) -> None:
    """Raise ``ValueError`` or ``OSError`` for a damaged JPEG or PNG that Pillow may still decode.

    Parameters
    ----------
    path
        The file.
    kind
        Pillow's name of its format.
    """
    if kind in ("JPEG", "MPO"):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            check_jpeg(data)
    elif kind == "PNG":
        from PIL import Image

        with Image.open(path, formats=[kind]) as image:
            image.verify()  # checks every checksum; the image is unusable afterwards


def check_jpeg(stream: bytes | mmap.mmap) -> None:
    """Raise ``ValueError`` for a JPEG with a libjpeg warning; other decoders hide the warnings.

    The whole file is read, but only the mean of each block is computed: 0.4 of the decoding time.
    """
    import simplejpeg

    simplejpeg.decode_jpeg(stream, fastdct=True, min_height=1, min_width=1, min_factor=8)


def upright(image: Image) -> Image:
    """Return a copy of an image with its Exif orientation applied, and its palette in 8 bits."""
    from PIL import ImageOps

    turned = ImageOps.exif_transpose(image)
    colours = _eight_bit_colours(image)
    if colours:
        turned.putpalette(colours)
    return turned


def _eight_bit_colours(image: Image) -> bytes:
    """Return the palette of a TIFF whose entries have 8 bits instead of 16; else nothing.

    Pillow takes the upper 8 bits of each entry, which are 0 then: the image would be black. libtiff
    also takes a colour map without entries from 256 for one of 8 bits.
    """
    from PIL.TiffImagePlugin import TiffImageFile

    if image.mode != "P" or not isinstance(image, TiffImageFile):
        return b""
    entries = image.tag_v2.get(_COLOR_MAP, ())
    if not entries or max(entries) > 255:
        return b""
    count = len(entries) // 3  # all reds, then all greens, then all blues
    return bytes(entries[channel * count + i] for i in range(count) for channel in range(3))
