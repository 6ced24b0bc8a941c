"""Damage in a native tile's bytes that OpenSlide and Pillow do not report."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial

from tiler.geometry import Size
from tiler.readers.jpeg2000 import openjpeg
from tiler.readers.tiff.jpeg import jpeg_check
from tiler.readers.tiff.pixels import number_of
from tiler.readers.tiff.tile_table import TILE_HEIGHT, TILE_WIDTH
from tiler.readers.tiff_directories import Tags

Check = Callable[[bytes], None]
"""A check that raises ``ValueError`` for damaged bytes of a native tile."""

# Tags of TIFF 6.0 and its Technical Note 2
BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANES, TABLES = 258, 259, 262, 277, 284, 347

_UNCOMPRESSED, _JPEG, _DEFLATE, _JPEG_2000 = 1, 7, (8, 32946), (33003, 33005, 34712)
_RGB, _YCBCR = 2, 6
_WARNING = "Corrupt JPEG data"

_AT_ONCE = 1 << 20
"""Bytes that are inflated at once: a decompression bomb must not fill the memory."""


def openslide_check(tags: Tags) -> Check | None:
    """Return the check for tiles that OpenSlide decodes, or None.

    OpenSlide decodes JPEG of three samples itself. It fails on libjpeg's warnings, but reads
    nothing behind the last row: two of five damaged tiles that libjpeg would report. libtiff
    decodes the other tiles; it hides libjpeg's warnings, and does not compare the checksum of
    deflate. OpenJPEG decodes JPEG 2000, and does not report most damage.
    """
    direct = tags.get(SAMPLES) == 3 and tags.get(PLANES, 1) == 1
    if tags.get(COMPRESSION) == _JPEG and direct and tags.get(PHOTOMETRIC) in (_RGB, _YCBCR):
        return partial(_warned, check=_jpeg(tags))
    return libtiff_check(tags)


def _warned(data: bytes, check: Check) -> None:
    """Raise ``ValueError`` for a warning; OpenSlide itself reports a JPEG that has no pixels."""
    try:
        check(data)
    except ValueError as error:
        if _WARNING in str(error):
            raise


def _jpeg(tags: Tags) -> Check:
    tables = tags.get(TABLES)
    return jpeg_check(tables if isinstance(tables, bytes) else None)


def libtiff_check(tags: Tags) -> Check | None:
    """Return the check for tiles or strips that libtiff decodes, or None."""
    compression = tags.get(COMPRESSION, 1)
    if compression == _JPEG:
        return _jpeg(tags)
    if compression in _JPEG_2000:
        size = Size(*(number_of(tags, tag) for tag in (TILE_WIDTH, TILE_HEIGHT)))
        return partial(openjpeg.check, size=size)
    return _inflate if compression in _DEFLATE else None


def plain_bytes(tags: Tags, tile: Size) -> int | None:
    """Return the bytes of an uncompressed tile, or of one plane; None for compressed tiles."""
    bits, samples = tags.get(BITS, 1), tags.get(SAMPLES, 1)
    bits = bits[0] if isinstance(bits, tuple) and bits else bits
    if tags.get(COMPRESSION, 1) != _UNCOMPRESSED or tags.get(PHOTOMETRIC) == _YCBCR:
        return None  # chroma may be subsampled
    if not (isinstance(bits, int) and isinstance(samples, int)):
        return None
    together = samples if tags.get(PLANES, 1) == 1 else 1
    return -(-tile.width * together * bits // 8) * tile.height


def _inflate(data: bytes) -> None:
    """Raise ``ValueError`` if deflated bytes do not match their final checksum."""
    inflater = zlib.decompressobj()
    try:
        while data and not inflater.eof:
            inflater.decompress(data, _AT_ONCE)
            data = inflater.unconsumed_tail
    except zlib.error as error:
        raise ValueError(f"deflate: {error}") from error
    if not inflater.eof:
        raise ValueError("deflate: its end is missing")
