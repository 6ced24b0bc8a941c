"""Colours of Aperio's JPEG 2000 tiles, which the tiles do not name."""

from __future__ import annotations

import numpy as np

from tiler.protocols import Pixels


def has_subsampled_chroma(data: bytes, *, allowed: bool) -> bool:
    """Return whether the colours of a JPEG 2000 codestream are coarser than its brightness.

    XRsiz and YRsiz of three components lie from byte 42 on, after Ssiz (ITU-T T.800, A.5.1).

    Raises
    ------
    ValueError
        If they are, and must not be; or in a way that is not known.
    """
    if not data.startswith(b"\xff\x4f\xff\x51"):
        if allowed:
            raise ValueError(f"no JPEG 2000 codestream: it begins with {data[:4].hex()}")
        return False  # in a box, which names the colours
    first, second, third = (tuple(data[at : at + 2]) for at in (43, 46, 49))
    if first != (1, 1) or second != third or second not in ((1, 1), (2, 1), (2, 2)):
        raise ValueError(f"components subsampled by {first}, {second} and {third}")
    if second != (1, 1) and not allowed:
        raise ValueError(f"RGB subsampled by {second}")
    return second != (1, 1)


def from_ycbcr(pixels: Pixels) -> Pixels:
    """YCbCr to RGB, uint8 (h, w, 3), rounded as OpenSlide rounds."""
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
