"""Colours of Aperio's JPEG 2000 tiles, which do not state their colour space."""

from __future__ import annotations

import numpy as np

from tiler.protocols import Pixels


def has_subsampled_chroma(data: bytes, *, allowed: bool) -> bool:
    """Return whether the chroma of a JPEG 2000 codestream is subsampled.

    XRsiz and YRsiz of the three components begin at byte 42, after Ssiz (ITU-T T.800, A.5.1).

    Raises
    ------
    ValueError
        If the subsampling is unknown, or RGB is subsampled.
    """
    if not data.startswith(b"\xff\x4f\xff\x51"):
        if allowed:
            raise ValueError(f"not a JPEG 2000 codestream: it begins with {data[:4].hex()}")
        return False  # a JP2 box, which states the colour space
    first, second, third = (tuple(data[at : at + 2]) for at in (43, 46, 49))
    if first != (1, 1) or second != third or second not in ((1, 1), (2, 1), (2, 2)):
        raise ValueError(f"components subsampled by {first}, {second} and {third}")
    if second != (1, 1) and not allowed:
        raise ValueError(f"RGB subsampled by {second}")
    return second != (1, 1)


def from_ycbcr(pixels: Pixels) -> Pixels:
    """Convert YCbCr to RGB, uint8 (h, w, 3), with OpenSlide's rounding."""
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
# rounded to whole numbers; for green to 1/65536, and their sum to whole numbers.
_CHROMA = np.arange(-128, 128)
_RED_OF_CR = np.rint(1.402 * _CHROMA).astype(np.int16)
_BLUE_OF_CB = np.rint(1.772 * _CHROMA).astype(np.int16)
_GREEN_OF_CR = np.rint(-0.71414 * 65536 * _CHROMA).astype(np.int32)
_GREEN_OF_CB = np.rint((0.5 - 0.34414 * _CHROMA) * 65536).astype(np.int32)
