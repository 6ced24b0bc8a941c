"""One native tile of a TIFF: from its bytes to its pixels, the same as OpenSlide's.

JPEG and the lossless codecs give the same bits. JPEG 2000 comes from OpenJPEG on both sides and is
the same too, except that subsampled chroma (33003) is converted with other rounding: at most 1.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

import numpy as np

from tiler.geometry import Size
from tiler.protocols import Pixels

Decode = Callable[[bytes], Pixels]
"""Raises one of ``DECODE_ERRORS`` for a tile that is damaged."""

DECODE_ERRORS = (ValueError, RuntimeError)
"""What the codec libraries raise: simplejpeg the first, imagecodecs either."""

RGB, YCBCR = 2, 6  # TIFF 6.0, PhotometricInterpretation

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
    """How the tiles of one level are stored: values of the TIFF tags of those names."""

    tile: Size
    compression: int
    photometric: int
    predictor: int = _NO_PREDICTOR
    tables: bytes | None = None

    @property
    def is_jpeg(self) -> bool:
        """Whether the tiles are JPEG streams, which can be decoded smaller than they are."""
        return self.compression == _JPEG


def unknown_coding(coding: Coding) -> str | None:
    """Why tiles stored like this are not decoded here; None when they are."""
    known = {_JPEG, _UNCOMPRESSED, *_BYTE_CODECS, *_IMAGE_CODECS}
    if coding.compression not in known:
        return f"compression {coding.compression} is not one it knows"
    carries_ycbcr = coding.compression in (_JPEG, _APERIO_YCBCR, _APERIO_RGB)
    if coding.photometric != RGB and not (coding.photometric == YCBCR and carries_ycbcr):
        return f"photometric interpretation {coding.photometric} is not RGB"
    allowed = (_NO_PREDICTOR, _HORIZONTAL) if coding.compression in _BYTE_CODECS else (1,)
    if coding.predictor not in allowed and not (coding.is_jpeg or _is_image(coding)):
        return f"predictor {coding.predictor} is not one it knows"
    if coding.tables is not None and coding.tables[:2] != _SOI:
        return f"its JPEGTables begin with {coding.tables[:4].hex()}"
    return None


def decoder(coding: Coding, factor: int = 1) -> Decode:
    """A function from the bytes of one tile to its pixels, (height, width, 3).

    Parameters
    ----------
    coding
        One for which ``unknown_coding`` is None.
    factor
        1, or for JPEG 2, 4 or 8: decode to a tile so many times smaller along both axes.
    """
    if coding.is_jpeg:
        return _jpeg_decoder(coding, factor)
    return _image_decoder(coding) if _is_image(coding) else _bytes_decoder(coding)


def _is_image(coding: Coding) -> bool:
    return coding.compression in _IMAGE_CODECS


# JPEG (ITU-T T.81, annex B; TIFF Technical Note 2)

_SOI = b"\xff\xd8"
_FILL, _EOI, _SOS = 0xFF, 0xD9, 0xDA
_TABLES = {0xC4, 0xDB}  # Huffman and quantization
_COLOUR_MARKERS = {0xE0, 0xEE}  # APP0 of JFIF, APP14 of Adobe


def jpeg_stream(coding: Coding) -> Callable[[bytes], bytes]:
    """What makes a tile's bytes a JPEG file of its own that any program shows in the right colours.

    The function that is returned adds the tables that all tiles share, and a marker for the
    colours, where the bytes do without; it raises ``ValueError`` when they are not such a tile.
    """
    import simplejpeg

    width, height = coding.tile
    tables = b"" if coding.tables is None else _segments(coding.tables, only=_TABLES)[0]
    colours = "YCbCr" if coding.photometric == YCBCR else "RGB"
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([colours == "YCbCr"])

    def complete(data: bytes) -> bytes:
        """With the tables, and a marker for the colours in place of all others."""
        segments, rest = _segments(data, without=_COLOUR_MARKERS)
        return b"".join((_SOI, tables, adobe, segments, data[rest:]))

    def whole(data: bytes) -> bytes:
        stream = complete(data) if tables else data
        found = simplejpeg.decode_jpeg_header(stream)  # before memory is taken for it
        if found[2] != colours and stream is data:
            # OpenSlide takes the colours from the TIFF, whatever the stream says.
            stream = complete(data)
            found = simplejpeg.decode_jpeg_header(stream)
        if found[:3] != (height, width, colours):
            raise ValueError(f"a JPEG of {found[1]}x{found[0]} {found[2]}, not {width}x{height}")
        return stream

    return whole


def _jpeg_decoder(coding: Coding, factor: int) -> Decode:
    import simplejpeg

    whole = jpeg_stream(coding)
    shape = (coding.tile.height // factor, coding.tile.width // factor, 3)

    def decode(data: bytes) -> Pixels:
        pixels: Pixels = simplejpeg.decode_jpeg(
            whole(data),
            fastdct=False,
            fastupsample=False,
            min_height=shape[0],
            min_width=shape[1],
            min_factor=factor,
        )
        if pixels.shape != shape:
            raise ValueError(f"a JPEG decoded to {pixels.shape}, not {shape}")
        return pixels

    return decode


def _segments(
    stream: bytes, *, only: Container[int] | None = None, without: Container[int] = ()
) -> tuple[bytes, int]:
    """The segments of a JPEG stream that have, or have not, one of these markers.

    Returns
    -------
    tuple
        The segments before the scan, joined; and where the rest of the stream begins.
    """
    if stream[:2] != _SOI:
        raise ValueError(f"no JPEG: it begins with {stream[:4].hex()}")
    kept, at = [], 2
    while at + 4 <= len(stream) and stream[at] == _FILL:
        marker = stream[at + 1]
        if marker == _FILL:
            at += 1
            continue
        if marker in (_SOS, _EOI):
            break
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker not in without and (only is None or marker in only):
            kept.append(stream[at:end])
        at = end
    return b"".join(kept), at


# Streams of bytes, and images with a header of their own


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
        subsampled = wavelets and _has_subsampled_chroma(data, allowed=ycbcr)
        pixels = np.empty((height, width, 3), np.uint8)
        codec(data, out=pixels)  # refuses an image of any other size before decoding it
        # Subsampled chroma tells imagecodecs that it is YCbCr, and it converts by itself.
        return _from_ycbcr(pixels) if ycbcr and not subsampled else pixels

    return decode


def _has_subsampled_chroma(data: bytes, *, allowed: bool) -> bool:
    """Whether the colours of a JPEG 2000 codestream are coarser than its brightness.

    XRsiz and YRsiz of three components lie from byte 42 on, after Ssiz (ITU-T T.800, A.5.1).

    Raises
    ------
    ValueError
        When they are, and must not be; or in a way that is not known.
    """
    if not data.startswith(b"\xff\x4f\xff\x51"):
        if allowed:
            raise ValueError(f"no JPEG 2000 codestream: it begins with {data[:4].hex()}")
        return False  # in a box, which says what the colours are
    first, second, third = (tuple(data[at : at + 2]) for at in (43, 46, 49))
    if first != (1, 1) or second != third or second not in ((1, 1), (2, 1), (2, 2)):
        raise ValueError(f"components subsampled by {first}, {second} and {third}")
    if second != (1, 1) and not allowed:
        raise ValueError(f"RGB subsampled by {second}")
    return second != (1, 1)


def _from_ycbcr(pixels: Pixels) -> Pixels:
    """YCbCr to RGB, rounded as OpenSlide rounds."""
    luma = pixels[..., 0].astype(np.int16)
    blue, red = pixels[..., 1], pixels[..., 2]
    rgb = np.stack(
        [
            luma + _RED_OF_CR[red],
            luma + ((_GREEN_OF_CB[blue] + _GREEN_OF_CR[red]) >> 16).astype(np.int16),
            luma + _BLUE_OF_CB[blue],
        ],
        axis=-1,
    )
    pixels_rgb: Pixels = np.clip(rgb, 0, 255).astype(np.uint8)
    return pixels_rgb


# R = Y + 1.402 Cr, G = Y - 0.34414 Cb - 0.71414 Cr, B = Y + 1.772 Cb (JFIF 1.02), each product
# rounded: to 1/65536 for green, whose two are added before they are rounded to whole numbers.
_CHROMA = np.arange(-128, 128)
_RED_OF_CR = np.rint(1.402 * _CHROMA).astype(np.int16)
_BLUE_OF_CB = np.rint(1.772 * _CHROMA).astype(np.int16)
_GREEN_OF_CR = np.rint(-0.71414 * 65536 * _CHROMA).astype(np.int32)
_GREEN_OF_CB = np.rint((0.5 - 0.34414 * _CHROMA) * 65536).astype(np.int32)
