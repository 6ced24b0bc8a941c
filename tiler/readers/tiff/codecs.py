"""Decoding of one native tile of a TIFF to the pixels that OpenSlide returns.

JPEG and the lossless codecs give the same bits. So does JPEG 2000, which OpenJPEG decodes for both;
only subsampled chroma (33003) is rounded differently, by at most 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tiler.geometry import Size
from tiler.protocols import Pixels
from tiler.readers.tiff.jpeg import SOI, jpeg_decoder

Decode = Callable[[bytes], Pixels]
"""From a tile's bytes to its pixels; raises one of ``DECODE_ERRORS`` for a damaged tile."""

DECODE_ERRORS = (ValueError, RuntimeError)
"""Errors of the codec libraries: simplejpeg raises the first, imagecodecs both."""

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
    """Storage of the tiles of one level: values of the TIFF tags with these names."""

    tile: Size
    compression: int
    photometric: int
    predictor: int = _NO_PREDICTOR
    tables: bytes | None = None

    @property
    def is_jpeg(self) -> bool:
        """Return whether the tiles are JPEG streams, which libjpeg can decode at a smaller size."""
        return self.compression == _JPEG

    @property
    def is_ycbcr(self) -> bool:
        """Return whether JPEG tiles are YCbCr or RGB: the TIFF decides, not the streams."""
        return self.photometric == _YCBCR


def unknown_coding(coding: Coding) -> str | None:
    """Return the reason why this storage is not supported; None if it is."""
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
        A storage for which ``unknown_coding`` returns None.
    factor
        1, or for JPEG 2, 4 or 8: the reduction of the decoded tile along both axes.
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

    from tiler.readers.jpeg2000 import openjpeg
    from tiler.readers.jpeg2000.colours import from_ycbcr, has_subsampled_chroma

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
        # imagecodecs treats subsampled chroma as YCbCr, and converts it.
        return from_ycbcr(pixels) if ycbcr and not subsampled else pixels

    return decode
