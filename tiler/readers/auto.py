"""The reader ``auto``, which chooses a reader for each file."""

from __future__ import annotations

import logging
from pathlib import Path

from tiler.checks.arguments import as_path
from tiler.protocols import WSIReader
from tiler.readers.limits import CACHE_BYTES, MAX_PIXELS, MAX_TILE_BYTES

log = logging.getLogger("tiler")

_PLAIN_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def open_slide(
    path: str | Path,
    *,
    name: str | None = None,
    mpp: float | None = None,
    magnification: float | None = None,
    allow_upsampling: bool = False,
    max_pixels: int = MAX_PIXELS,
    max_tile_bytes: int = MAX_TILE_BYTES,
    scaled_decode: bool = False,
    cache_bytes: int = CACHE_BYTES,
    series: int | None = None,
) -> WSIReader:
    """Open a slide with the fastest reader that supports it.

    ``TiffReader`` opens the tiled TIFFs that it supports. OpenSlide opens all other slides.
    ``ImageReader`` opens other PNG and JPEG files as plain images. OpenSlide is tried first,
    because some slide files begin like images (MIRAX like a JPEG). Plain TIFFs need
    ``reader=image``.

    Parameters
    ----------
    path
        The file.
    name
        Its name in outputs; the file's stem if None.
    mpp, magnification
        Overrides of the file's values.
    allow_upsampling
        Whether a target finer than level 0 may be enlarged from it.
    max_pixels, max_tile_bytes
        Limits of the slide readers; plain images have a fixed limit.
    scaled_decode, cache_bytes
        See ``TiffReader``.
    series
        The number of the image to read, from 0, if a TIFF has several; None for the largest.

    Raises
    ------
    OpenError
        If no reader supports the file.
    """
    # Imported here, so that a process loads only the readers that it uses.
    from tiler.readers.preflight import look
    from tiler.readers.tiff_directories import MAGIC

    path = as_path(path, "path")
    look(path, name or path.stem)
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(MAGIC):
        from tiler.readers.tiff.layout import UnfitError
        from tiler.readers.tiff.reader import TiffReader

        try:
            return TiffReader(
                path,
                name=name,
                mpp=mpp,
                magnification=magnification,
                allow_upsampling=allow_upsampling,
                max_pixels=max_pixels,
                max_tile_bytes=max_tile_bytes,
                scaled_decode=scaled_decode,
                cache_bytes=cache_bytes,
                series=series,
            )
        except UnfitError as error:
            log.debug("OpenSlide reads it because: %s", error)
    elif _is_plain_image(path, head):
        from tiler.readers.image import ImageReader

        return ImageReader(
            path,
            name=name,
            mpp=mpp,
            magnification=magnification,
            allow_upsampling=allow_upsampling,
        )
    from tiler.readers.openslide.reader import OpenSlideReader

    return OpenSlideReader(
        path,
        name=name,
        mpp=mpp,
        magnification=magnification,
        allow_upsampling=allow_upsampling,
        max_pixels=max_pixels,
        max_tile_bytes=max_tile_bytes,
        series=series,
    )


def _is_plain_image(path: Path, head: bytes) -> bool:
    """Return whether a file with these first bytes is an image, and no slide."""
    # A MIRAX file begins like a JPEG even when the rest of the slide is missing.
    if not head.startswith(_PLAIN_IMAGES) or path.suffix.lower() == ".mrxs":
        return False
    import openslide

    return openslide.OpenSlide.detect_format(path) is None
