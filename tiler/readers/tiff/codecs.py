"""One native tile of a TIFF: from its bytes to its pixels, the same as OpenSlide's.

JPEG and the lossless codecs give the same bits. JPEG 2000 comes from OpenJPEG on both sides and is
the same too, except that subsampled chroma (33003) is converted with other rounding: at most 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tiler.geometry import Size
from tiler.protocols import Pixels
from tiler.readers.jpeg2000 import openjpeg
from tiler.readers.jpeg2000.colours import from_ycbcr, has_subsampled_chroma
from tiler.readers.tiff.jpeg import SOI, jpeg_decoder

Decode = Callable[[bytes], Pixels]
"""Raises one of ``DECODE_ERRORS`` for a tile that is damaged."""

DECODE_ERRORS = (ValueError, RuntimeError)
"""What the codec libraries raise: simplejpeg the first, imagecodecs either."""

_RGB, _YCBCR = 2, 6  # TIFF 6.0, PhotometricInterpretation

_JPEG = 7
_APERIO_YCBCR, _APERIO_RGB = 33003, 33005
_UNCOMPRESSED = 1
_BYTE_CODECS = {
    5: "lzw_decode",
    8: "deflate_decode",
    32946: "deflate_decode",
    34926: "zstd_decode",
    50000: "zstd_decode",
}
_IMAGE_CODECS = {
    _APERIO_YCBCR: "jpeg2k_decode",
    _APERIO_RGB: "jpeg2k_decode",
    34712: "jpeg2k_decode",
    34927: "webp_decode",
    50001: "webp_decode",
    50002: "jpegxl_decode",
    52546: "jpegxl_decode",
}
_NO_PREDICTOR, _HORIZONTAL = 1, 2


@dataclass(frozen=True)
class Coding:
    """Storage of the tiles of one level: values of the TIFF tags of those names."""

    tile: Size
    compression: int
    photometric: int
    predictor: int = _NO_PREDICTOR
    tables: bytes | None = None

    @property
    def is_jpeg(self) -> bool:
        """Return whether the tiles are JPEG streams, which can be decoded smaller than they are."""
        return self.compression == _JPEG

    @property
    def is_ycbcr(self) -> bool:
        """Return whether JPEG tiles are YCbCr, else RGB; the streams do not decide it."""
        return self.photometric == _YCBCR


def unknown_coding(coding: Coding) -> str | None:
    """Return why tiles stored like this are not decoded here; None when they are."""
    known = {_JPEG, _UNCOMPRESSED, *_BYTE_CODECS, *_IMAGE_CODECS}
    if coding.compression not in known:
        return f"compression {coding.compression} is not supported"
    carries_ycbcr = coding.compression in (_JPEG, _APERIO_YCBCR, _APERIO_RGB)
    if coding.photometric != _RGB and not (coding.photometric == _YCBCR and carries_ycbcr):
        return f"photometric interpretation {coding.photometric} is not RGB"
    allowed = (_NO_PREDICTOR, _HORIZONTAL) if coding.compression in _BYTE_CODECS else (1,)
    if coding.predictor not in allowed and not (coding.is_jpeg or _is_image(coding)):
        return f"predictor {coding.predictor} is not supported"
    if coding.tables is not None and coding.tables[:2] != SOI:
        return f"its JPEGTables begin with {coding.tables[:4].hex()}"
    return None


def decoder(coding: Coding, factor: int = 1) -> Decode:
    """Return a function from the bytes of one tile to its pixels, (height, width, 3).

    Parameters
    ----------
    coding
        One for which ``unknown_coding`` is None.
    factor
        1, or for JPEG 2, 4 or 8: decode to a tile so many times smaller along both axes.
    """
    if coding.is_jpeg:
        return jpeg_decoder(coding.tile, coding.tables, ycbcr=coding.is_ycbcr, factor=factor)
    return _image_decoder(coding) if _is_image(coding) else _bytes_decoder(coding)


def _is_image(coding: Coding) -> bool:
    return coding.compression in _IMAGE_CODECS


def _bytes_decoder(coding: Coding) -> Decode:
    import imagecodecs

    width, height = coding.tile
    count = 3 * width * height
    name = _BYTE_CODECS.get(coding.compression)
    codec = name and getattr(imagecodecs, name)

    def decode(data: bytes) -> Pixels:
        if codec:
            flat = np.asarray(codec(data, out=np.empty(count, np.uint8)))
        else:
            flat = np.frombuffer(data, np.uint8)[:count]
        if flat.size != count:
            raise ValueError(f"{flat.size:,} bytes of pixels instead of {count:,}")
        pixels = flat.reshape(height, width, 3)
        if coding.predictor == _HORIZONTAL:
            imagecodecs.delta_decode(pixels, axis=1, out=pixels)
        return pixels

    return decode


def _image_decoder(coding: Coding) -> Decode:
    import imagecodecs

    width, height = coding.tile
    codec = getattr(imagecodecs, _IMAGE_CODECS[coding.compression])

    ycbcr = coding.compression == _APERIO_YCBCR
    wavelets = _IMAGE_CODECS[coding.compression] == "jpeg2k_decode"

    def decode(data: bytes) -> Pixels:
        subsampled = wavelets and has_subsampled_chroma(data, allowed=ycbcr)
        pixels = np.empty((height, width, 3), np.uint8)
        if wavelets:
            openjpeg.decode(data, pixels)
        else:
            codec(data, out=pixels)  # refuses an image of any other size before decoding it
        # imagecodecs takes subsampled chroma for YCbCr, and converts it.
        return from_ycbcr(pixels) if ycbcr and not subsampled else pixels

    return decode
